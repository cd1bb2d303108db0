# SPDX-License-Identifier: Apache-2.0
"""Changes shipments in a Postgres database, and inserts a row in its outbox in the same transaction.

    feed.py --database postgresql://postgres@127.0.0.1/postgres --create    makes the table of shipments
    feed.py --database postgresql://postgres@127.0.0.1/postgres             changes shipments until SIGINT or SIGTERM

Needs psql, and an outbox table as `penstock postgres init-outbox` makes it.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import threading

STATUSES = ["packed", "sent", "arrived"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--database", required=True, help="a connection string")
    parser.add_argument("--rate", type=float, default=4, help="changes a second")
    parser.add_argument("--create", action="store_true", help="only make the table of shipments")
    return parser.parse_args()


def psql(database, **options):
    """psql, which reads SQL from its standard input and ends at the first error."""
    command = ["psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", database]
    # A session of its own: Ctrl-C is for us, and psql ends with its input.
    return subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True, **options)


def change(number, status):
    """A step of a shipment: the change, and the row that tells of it, or neither of them."""
    payload = json.dumps({"shipment": number, "status": status})
    return f"""
        BEGIN;
        INSERT INTO shipments (id, status) VALUES ({number}, '{status}')
            ON CONFLICT (id) DO UPDATE SET status = excluded.status;
        INSERT INTO outbox (group_key, payload) VALUES ('shipment-{number}', '{payload}');
        COMMIT;
        """


def feed(database, rate):
    """Changes shipments until a signal; psql's exit status."""
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    process = psql(database)
    under_way, number, changes = {}, 0, 0
    while process.poll() is None and not stop.wait(1 / rate):
        if len(under_way) < 5:
            number += 1
            under_way[number] = 0
        shipment = random.choice(list(under_way))
        process.stdin.write(change(shipment, STATUSES[under_way[shipment]]))
        process.stdin.flush()
        under_way[shipment] += 1
        if under_way[shipment] == len(STATUSES):
            del under_way[shipment]
        changes += 1
    process.stdin.close()
    print(f"{changes} changes made")
    return process.wait()


def create(database):
    """Makes the table of shipments; psql's exit status."""
    process = psql(database)
    process.communicate("CREATE TABLE IF NOT EXISTS shipments (id bigint PRIMARY KEY, status text NOT NULL);")
    return process.returncode


def main():
    options = arguments()
    try:
        return create(options.database) if options.create else feed(options.database, options.rate)
    except OSError as error:
        print(f"psql: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
