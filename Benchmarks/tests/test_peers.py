# SPDX-License-Identifier: Apache-2.0
"""Each peer does what its figures claim."""

from __future__ import annotations

import base64
import concurrent.futures
import hashlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from typing import Any
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import tables
from harness.bench import PEERS
from harness.database import database
from harness.processes import Processes, RunFailed, Server, last_json_line


def output(name: str, *arguments: str) -> bytes:
    """What a peer prints."""
    return subprocess.run([str(PEERS / name), *arguments], stdout=subprocess.PIPE, check=True).stdout


class PeerTests(unittest.TestCase):
    """Runs each peer on a small load."""

    def setUp(self) -> None:
        self.processes = self.enterContext(Processes())
        self.folder = self.enterContext(tempfile.TemporaryDirectory())

    def serve(self, name: str, *arguments: str) -> Server:
        """A running server."""
        return self.processes.serve([str(PEERS / name), *arguments])

    def measure(self, name: str, *arguments: str) -> dict[str, float]:
        """The line of a peer."""
        return self.processes.measure([str(PEERS / name), *arguments])

    def test_the_broker_holds_every_record_and_both_ways_of_reading_find_them(self) -> None:
        broker = self.serve("mock_broker", "--records", "100001", "--value-bytes", "100", "--key-bytes", "8")
        for how in ([], ["--group", "g"]):
            result = self.measure(
                "kafka_null", "--brokers", broker.ready["bootstrap"], "--records", "100001", *how
            )
            self.assertEqual(result["records"], 100001)
            self.assertEqual(result["bytes"], 100001 * 108)

    def test_a_broker_that_must_drop_records_refuses_to_start(self) -> None:
        with self.assertRaises(RunFailed):
            self.serve("mock_broker", "--records", "100000", "--value-bytes", "1024", "--partitions", "1")

    def test_the_written_event_is_json_and_its_values_decode(self) -> None:
        for size in (0, 1, 2, 3, 100):
            text = output(
                "event_writer",
                "--print",
                "--header",
                "--records",
                "3",
                "--value-bytes",
                str(size),
                "--key-bytes",
                "7",
            )
            event = json.loads(text)
            self.assertEqual(event["eventSource"], "SelfManagedKafka")
            records = event["records"]["bench-7"]
            self.assertEqual([record["offset"] for record in records], [1000000, 1000001, 1000002])
            for record in records:
                self.assertEqual(len(base64.b64decode(record["value"], validate=True)), size)
                self.assertEqual(len(base64.b64decode(record["key"], validate=True)), 7)
                header = bytes(record["headers"][0]["traceparent"])
                self.assertRegex(header.decode(), r"^00-[0-9a-f]{32}-[0-9a-f]{16}-01$")

    def test_the_sink_counts_what_the_client_sends(self) -> None:
        sink = self.serve("http_sink", "--needle", '"offset":')
        url = f"http://127.0.0.1:{sink.ready['port']}/"
        body = pathlib.Path(self.folder, "body")
        body.write_bytes(output("event_writer", "--print", "--records", "50", "--value-bytes", "20000"))
        result = self.measure(
            "http_client",
            "--url",
            url,
            "--body-file",
            str(body),
            "--in-flight",
            "4",
            "--requests",
            "90",
            "--warmup",
            "10",
        )
        self.assertEqual(result["requests"], 90)
        stats = json.loads(urllib.request.urlopen(url + "stats").read())
        self.assertEqual(stats["requests"], 100)
        self.assertEqual(stats["body_bytes"], 100 * body.stat().st_size)
        self.assertEqual(stats["records"], 100 * 50)
        urllib.request.urlopen(urllib.request.Request(url + "reset", data=b"")).read()
        self.assertEqual(json.loads(urllib.request.urlopen(url + "stats").read())["requests"], 0)

    def test_the_sink_prints_its_counters_on_sigusr1_and_ends_with_its_input(self) -> None:
        sink = self.serve("http_sink")
        os.kill(sink.process.pid, signal.SIGUSR1)
        assert sink.process.stdout and sink.process.stdin
        self.assertEqual(json.loads(sink.process.stdout.readline())["requests"], 0)
        sink.process.stdin.close()
        self.assertEqual(sink.process.wait(5), 0)

    def test_the_sink_answers_late_when_told_to(self) -> None:
        sink = self.serve("http_sink", "--delay-us", "20000", "--answer", '{"a":1}')
        url = f"http://127.0.0.1:{sink.ready['port']}/"
        answer = urllib.request.urlopen(urllib.request.Request(url, data=b"x")).read()
        self.assertEqual(answer, b'{"a":1}')
        result = self.measure(
            "http_client", "--url", url, "--in-flight", "8", "--requests", "40", "--warmup", "8"
        )
        self.assertGreaterEqual(result["p50_us"], 20000)

    def test_the_sink_closes_on_what_it_does_not_understand(self) -> None:
        sink = self.serve("http_sink")
        with self.assertRaises(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{sink.ready['port']}/")

    def call(self, queue: Server, operation: str, **body: object) -> dict[str, Any]:
        """The answer to a call of SQS."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{queue.ready['port']}/",
            data=json.dumps({"QueueUrl": queue.ready["url"], **body}).encode(),
            headers={"X-Amz-Target": f"AmazonSQS.{operation}"},
        )
        answer: dict[str, Any] = json.loads(urllib.request.urlopen(request, timeout=30).read())
        return answer

    def queue_stats(self, queue: Server) -> dict[str, Any]:
        """The counters of a queue."""
        text = urllib.request.urlopen(f"http://127.0.0.1:{queue.ready['port']}/stats", timeout=10).read()
        return last_json_line("sqs_queue", text.decode())

    def test_the_queue_gives_each_message_once_and_counts_each_deletion_once(self) -> None:
        queue = self.serve("sqs_queue", "--messages", "25", "--message-bytes", "300")
        self.assertEqual(self.call(queue, "GetQueueUrl", QueueName="bench"), {"QueueUrl": queue.ready["url"]})
        batches = [self.call(queue, "ReceiveMessage", MaxNumberOfMessages=10)["Messages"] for _ in range(3)]
        self.assertEqual([len(batch) for batch in batches], [10, 10, 5])
        self.assertEqual(self.call(queue, "ReceiveMessage", MaxNumberOfMessages=10), {})
        messages = [message for batch in batches for message in batch]
        for key in ("MessageId", "ReceiptHandle"):
            self.assertEqual(len({message[key] for message in messages}), 25)
        for message in messages:
            self.assertRegex(message["MessageId"], r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
            self.assertEqual(len(message["Body"]), 300)
            self.assertEqual(json.loads(message["Body"])["status"], "paid")
            self.assertEqual(message["MD5OfBody"], hashlib.md5(message["Body"].encode()).hexdigest())
            self.assertIn("SentTimestamp", message["Attributes"])
        attributes = self.call(queue, "GetQueueAttributes", AttributeNames=["All"])["Attributes"]
        self.assertEqual(attributes["ApproximateNumberOfMessages"], "0")
        self.assertEqual(attributes["ApproximateNumberOfMessagesNotVisible"], "25")
        entries = [
            {"Id": f"e{index}", "ReceiptHandle": message["ReceiptHandle"]}
            for index, message in enumerate(batches[0])
        ]
        wrong = {"Id": "wrong", "ReceiptHandle": "AQEB" + "x" * 340}
        for _ in range(2):
            answer = self.call(queue, "DeleteMessageBatch", Entries=[*entries[:9], wrong])
            self.assertEqual([done["Id"] for done in answer["Successful"]], [f"e{index}" for index in range(9)])
            self.assertEqual(answer["Failed"][0]["Id"], "wrong")
            self.assertEqual(answer["Failed"][0]["Code"], "ReceiptHandleIsInvalid")
        answer = self.call(queue, "DeleteMessageBatch", Entries=entries[9:])
        self.assertEqual(answer, {"Successful": [{"Id": "e9"}]})
        stats = self.queue_stats(queue)
        self.assertEqual((stats["messages"], stats["received"], stats["deleted"]), (25, 25, 10))
        self.assertGreater(stats["seconds"], 0)

    def test_a_message_that_is_given_back_comes_again(self) -> None:
        queue = self.serve("sqs_queue", "--messages", "2", "--message-bytes", "1")
        first, second = self.call(queue, "ReceiveMessage", MaxNumberOfMessages=10)["Messages"]
        self.assertEqual((first["Body"], first["MD5OfBody"]), ("x", hashlib.md5(b"x").hexdigest()))
        entries = [
            {"Id": "0", "ReceiptHandle": first["ReceiptHandle"], "VisibilityTimeout": 30},
            {"Id": "1", "ReceiptHandle": second["ReceiptHandle"], "VisibilityTimeout": 0},
        ]
        answer = self.call(queue, "ChangeMessageVisibilityBatch", Entries=entries)
        self.assertEqual(answer, {"Successful": [{"Id": "0"}, {"Id": "1"}]})
        answer = self.call(queue, "DeleteMessageBatch", Entries=entries[1:])
        self.assertEqual([failed["Id"] for failed in answer["Failed"]], ["1"])
        again = self.call(queue, "ReceiveMessage", MaxNumberOfMessages=10)["Messages"]
        self.assertEqual([message["MessageId"] for message in again], [second["MessageId"]])

    def test_a_receive_waits_for_messages_and_no_longer_than_it_was_asked_to(self) -> None:
        queue = self.serve("sqs_queue", "--messages", "10", "--empty")
        started = time.monotonic()
        self.assertEqual(self.call(queue, "ReceiveMessage", MaxNumberOfMessages=10, WaitTimeSeconds=1), {})
        self.assertGreaterEqual(time.monotonic() - started, 1)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            waiting = pool.submit(self.call, queue, "ReceiveMessage", MaxNumberOfMessages=7, WaitTimeSeconds=20)
            while self.queue_stats(queue)["waiting"] == 0:
                self.assertFalse(waiting.done())
            reset = urllib.request.Request(f"http://127.0.0.1:{queue.ready['port']}/reset", data=b"")
            urllib.request.urlopen(reset).read()
            self.assertEqual(len(waiting.result()["Messages"]), 7)
        stats = self.queue_stats(queue)
        self.assertEqual((stats["received"], stats["receives"], stats["waiting"]), (7, 1, 0))

    def test_the_queue_refuses_what_it_does_not_know(self) -> None:
        queue = self.serve("sqs_queue")
        entries = [{"Id": str(index), "ReceiptHandle": "x"} for index in range(11)]
        for operation, body in (
            ("SendMessage", {}),
            ("ReceiveMessage", {"MaxNumberOfMessages": 11}),
            ("DeleteMessageBatch", {"Entries": []}),
            ("DeleteMessageBatch", {"Entries": entries}),
        ):
            with self.assertRaises(urllib.error.HTTPError) as refused:
                self.call(queue, operation, **body)
            self.assertEqual(refused.exception.code, 400)
            self.assertIn("__type", json.loads(refused.exception.read()))

    def test_large_answers_reach_a_client_that_reads_late(self) -> None:
        queue = self.serve("sqs_queue", "--messages", "10", "--message-bytes", "1000000")
        with socket.create_connection(("127.0.0.1", queue.ready["port"])) as late:
            body = b'{"MaxNumberOfMessages":10}'
            late.sendall(
                b"POST / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.ReceiveMessage\r\n"
                + f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            while self.queue_stats(queue)["received"] == 0:
                pass
            with http.client.HTTPResponse(late) as response:
                response.begin()
                messages = json.loads(response.read())["Messages"]
        self.assertEqual([len(message["Body"]) for message in messages], [1_000_000] * 10)

    def test_the_client_deletes_each_message_after_its_event(self) -> None:
        queue = self.serve("sqs_queue", "--messages", "2000", "--message-bytes", "1024")
        sink = self.serve("http_sink", "--needle", '"messageId":')
        url = f"http://127.0.0.1:{sink.ready['port']}/"
        event = pathlib.Path(self.folder, "event")
        event.write_text('{"Records":[' + ",".join(['{"messageId":"x"}'] * 10) + "]}")
        command = ["--endpoint", f"http://127.0.0.1:{queue.ready['port']}/", "--queue-url", queue.ready["url"]]
        command += ["--function-url", url, "--event-file", str(event), "--in-flight", "4", "--messages", "2000"]
        self.assertEqual(self.measure("sqs_client", *command)["messages"], 2000)
        stats, arrived = self.queue_stats(queue), json.loads(urllib.request.urlopen(url + "stats").read())
        self.assertEqual((stats["received"], stats["deleted"]), (2000, 2000))
        self.assertEqual((stats["receives"], stats["deletions"]), (200, 200))
        self.assertEqual((arrived["requests"], arrived["records"]), (200, 2000))
        self.assertLessEqual(stats["connections"] - 1, 4)

    def streams_call(self, stream: Server, operation: str, **body: object) -> dict[str, Any]:
        """The answer of a scripted stream."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{stream.ready['port']}/",
            data=json.dumps(body).encode(),
            headers={"X-Amz-Target": f"DynamoDBStreams_20120810.{operation}"},
        )
        answer: dict[str, Any] = json.loads(urllib.request.urlopen(request, timeout=10).read())
        return answer

    def test_the_stream_gives_each_record_of_its_shards_in_order(self) -> None:
        stream = self.serve("stream_server", "--records", "2501", "--shards", "2", "--page", "600")
        arn = self.streams_call(stream, "ListStreams", TableName="bench")["Streams"][0]["StreamArn"]
        description = self.streams_call(stream, "DescribeStream", StreamArn=arn)["StreamDescription"]
        numbers: list[list[int]] = []
        identities: set[str] = set()
        for shard in description["Shards"]:
            place = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
            iterator = self.streams_call(stream, "GetShardIterator", **place)["ShardIterator"]
            first = int(shard["SequenceNumberRange"]["StartingSequenceNumber"])
            numbers.append([])
            while True:
                page = self.streams_call(stream, "GetRecords", ShardIterator=iterator, Limit=1000)
                iterator = page["NextShardIterator"]
                if not page["Records"]:
                    break
                self.assertLessEqual(len(page["Records"]), 600)
                for record in page["Records"]:
                    numbers[-1].append(int(record["dynamodb"]["SequenceNumber"]) - first)
                    identities.add(record["eventID"])
        self.assertEqual(numbers, [list(range(1251)), list(range(1250))])
        self.assertEqual(len(identities), 2501)
        text = urllib.request.urlopen(f"http://127.0.0.1:{stream.ready['port']}/stats", timeout=10).read()
        stats = last_json_line("stream_server", text.decode())
        self.assertEqual((stats["records"], stats["given"], stats["pages"]), (2501, 2501, 6))

    def test_the_stream_refuses_what_it_does_not_know(self) -> None:
        stream = self.serve("stream_server")
        for operation, body in (
            ("UpdateStream", {}),
            ("GetRecords", {"ShardIterator": "9|0"}),
            ("GetRecords", {"ShardIterator": "1|0", "Limit": 1001}),
            ("GetShardIterator", {"ShardId": "shardId-99", "ShardIteratorType": "TRIM_HORIZON"}),
        ):
            with self.assertRaises(urllib.error.HTTPError) as refused:
                self.streams_call(stream, operation, **body)
            self.assertEqual(refused.exception.code, 400)

    def test_the_client_reads_each_page_of_a_stream_once(self) -> None:
        stream = self.serve("stream_server", "--records", "12345", "--shards", "3")
        url = f"http://127.0.0.1:{stream.ready['port']}/"
        result = self.measure("streams_client", "--endpoint", url, "--shards", "3", "--records", "12345")
        stats = json.loads(urllib.request.urlopen(url + "stats").read())
        self.assertEqual((result["records"], stats["given"], stats["pages"]), (12345, 12345, 15))
        self.assertLessEqual(stats["connections"] - 1, 3)

    def test_workers_answer_every_invocation_over_both_kinds_of_socket(self) -> None:
        worker = str(PEERS / "runtime_worker")
        for address in ([], ["--unix", os.path.join(self.folder, "api")]):
            result = self.measure(
                "runtime_server", "--worker", worker, "--workers", "3", "--invocations", "500", *address
            )
            self.assertEqual(result["invocations"], 500)

    def test_the_floors_have_figures(self) -> None:
        self.assertGreater(
            self.measure("fsync_floor", "--directory", self.folder, "--seconds", "0.1")["commits"], 0
        )
        for address in (["--tcp"], ["--unix", os.path.join(self.folder, "ping")]):
            self.assertGreater(self.measure("pingpong", "--round-trips", "200", *address)["p50_us"], 0)

    def test_allocations_are_counted_by_library_and_once_each(self) -> None:
        counts = []
        for records in ("1000", "1500"):
            path = os.path.join(self.folder, "counts-" + records)
            environment = {"LD_PRELOAD": str(PEERS / "malloc_count.so"), "MALLOC_COUNT_FILE": path}
            self.processes.measure(
                [str(PEERS / "event_writer"), "--records", records, "--seconds", "0.01"], environment
            )
            counts.append(last_json_line("malloc_count", pathlib.Path(path).read_text()))
        self.assertEqual(counts[1]["by"]["program"] - counts[0]["by"]["program"], 500)

    def test_a_wrong_argument_is_refused_by_name(self) -> None:
        result = subprocess.run(
            [str(PEERS / "pingpong"), "--tpc"], capture_output=True, text=True, check=False
        )
        self.assertEqual(result.returncode, 2)
        self.assertIn("--tpc", result.stderr)


class DatabaseTests(unittest.TestCase):
    """The peers that read a Postgres server."""

    def setUp(self) -> None:
        self.processes = self.enterContext(Processes())
        bench = mock.Mock(processes=self.processes)
        self.server = self.enterContext(database(bench))

    def test_the_listener_counts_each_notification(self) -> None:
        command = [str(PEERS / "listen_client"), "--database", self.server.url, "--notifications", "3000"]
        listener = self.processes.serve(command)
        self.server.run("NOTIFY other, 'x'")
        tables.notify(self.server, 3000)
        out, _ = listener.process.communicate(timeout=60)
        result = last_json_line("listen_client", out)
        self.assertEqual((result["records"], result["bytes"]), (3000, 3000 * 80))

    def test_the_reader_of_changes_counts_rows_and_confirms_them(self) -> None:
        self.server.run(
            "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE other (id int); CREATE PUBLICATION bench FOR TABLE t"
        )
        self.server.run("SELECT pg_create_logical_replication_slot('bench', 'pgoutput')")
        self.server.run("INSERT INTO other VALUES (1)")
        for first in (1, 1001):
            self.server.run(f"INSERT INTO t SELECT n, 'x' FROM generate_series({first}, {first + 999}) n")
        command = [str(PEERS / "replication_client"), "--database", self.server.url + "?replication=database"]
        result = self.processes.measure([*command, "--rows", "2000"])
        self.assertEqual(result["records"], 2000)
        lag = "SELECT pg_current_wal_lsn() - confirmed_flush_lsn < 1000 FROM pg_replication_slots"
        self.assertEqual(self.server.run(lag), "t")


if __name__ == "__main__":
    unittest.main()
