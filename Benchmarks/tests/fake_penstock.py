#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stands in for `penstock run` in the driver's tests: owns what it is asked for, and POSTs events until it is told to stop.

FAKE_FAILS ends it at once with these words.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import pathlib
import signal
import sys
import threading
import urllib.request

OWNED = 'penstock_partitions_owned{trigger="all"} 1000000\n'


class Admin(http.server.BaseHTTPRequestHandler):
    """The admin API, as far as the driver asks."""

    def do_GET(self) -> None:
        """Metrics, whatever the path."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(OWNED)))
        self.end_headers()
        self.wfile.write(OWNED.encode())

    def log_message(self, format: str, *values: object) -> None:
        """Says nothing."""


def main() -> None:
    """Runs until SIGTERM."""
    if failure := os.environ.get("FAKE_FAILS"):
        sys.exit(failure)
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
    options = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
    configuration = json.loads(pathlib.Path(options["--config"]).read_text())
    url = configuration["functions"]["sink"]["http"]["url"]
    policy = next(iter(configuration["triggers"].values()))
    count = policy["batch"]["size"] * (10 if policy.get("ordering") == "key" else 1)
    server = http.server.HTTPServer(("127.0.0.1", 0), Admin)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ready = pathlib.Path(options["--ready-file"])
    ready.with_suffix(".new").write_text(f"{server.server_port}\n")
    ready.with_suffix(".new").rename(ready)
    value = base64.b64encode(b"x" * 100).decode()
    event = {"records": {"t-0": [{"offset": index, "value": value} for index in range(count)]}}
    body = json.dumps(event, separators=(",", ":")).encode()
    while True:
        urllib.request.urlopen(urllib.request.Request(url, data=body, method="POST")).read()


main()
