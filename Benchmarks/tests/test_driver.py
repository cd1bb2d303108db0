# SPDX-License-Identifier: Apache-2.0
"""The driver compares what it says it compares, and never passes what it has not seen."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import unittest
from unittest import mock

BENCHMARKS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(BENCHMARKS))

from harness.figures import AGAIN, Rounds, alternate
from harness.goals import GOALS, Bounds, Goal, at_least, at_most, evaluate, side
from harness.processes import Measurement, Processes, RunFailed

FAKE = BENCHMARKS / "tests" / "fake_penstock_bench.py"
FAKE_PRODUCT = BENCHMARKS / "tests" / "fake_penstock.py"


def goal(bounds: Bounds) -> Goal:
    """A goal on the figure `v`."""
    return Goal("T", "test", "e", "u", side("peer", "v"), side("ours", "v"), bounds)


def rounds(*pairs: tuple[float, float, float]) -> Rounds:
    """Rounds of (peer, ours, peer again)."""
    return Rounds("peer", [{"peer": {"v": a}, "ours": {"v": b}, AGAIN: {"v": c}} for a, b, c in pairs])


def driver(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs run.py with stand-ins for both programs on a small load."""
    command = [
        sys.executable,
        str(BENCHMARKS / "run.py"),
        "--bench",
        str(FAKE),
        "--product",
        str(FAKE_PRODUCT),
        "--scale",
        "0.01",
        *arguments,
    ]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


class EvaluationTests(unittest.TestCase):
    """Ratios and verdicts."""

    def test_the_ratio_is_the_median_of_the_rounds_ratios(self) -> None:
        row = evaluate(goal(at_least(0.5, 0.8)), rounds((95, 90, 105), (10, 9, 10), (100, 10, 100)))
        assert row.ratio and row.same
        self.assertAlmostEqual(row.ratio.median, 0.9)
        self.assertAlmostEqual(row.ratio.low, 0.1)
        self.assertAlmostEqual(row.same.high, 105 / 95)
        self.assertEqual(row.verdict, "goal met")

    def test_verdicts_follow_the_bounds_in_both_directions(self) -> None:
        for ours, verdict in ((9, "goal met"), (6, "above floor"), (4, "BELOW FLOOR")):
            self.assertEqual(evaluate(goal(at_least(0.5, 0.8)), rounds((10, ours, 10))).verdict, verdict)
        for ours, verdict in ((14, "goal met"), (25, "above floor"), (31, "BELOW FLOOR")):
            self.assertEqual(evaluate(goal(at_most(3, 1.5)), rounds((10, ours, 10))).verdict, verdict)

    def test_a_missing_figure_does_not_pass(self) -> None:
        result = Rounds("peer", [{"peer": {"v": 1}, AGAIN: {"v": 1}}], {"ours": "not built"})
        row = evaluate(goal(at_least(0.5, 0.8)), result)
        self.assertFalse(row.passed)
        self.assertIn("not built", row.verdict)

    def test_a_measurement_without_its_key_is_an_error(self) -> None:
        with self.assertRaises(RunFailed):
            evaluate(
                goal(at_least(0.5, 0.8)),
                Rounds("peer", [{"peer": {"v": 1}, "ours": {"w": 1}, AGAIN: {"v": 1}}]),
            )

    def test_rounds_alternate_and_the_reference_runs_twice(self) -> None:
        order: list[str] = []

        def subject(name: str) -> Measurement:
            order.append(name)
            return {"v": 1}

        alternate(
            {"peer": lambda: subject("peer"), "ours": lambda: subject("ours")}, {"ours"}, 2, lambda line: None
        )
        self.assertEqual(order, ["peer", "ours", "peer", "peer", "ours", "peer"])

    def test_ours_is_not_tried_again_after_a_failure_but_a_peer_must_run(self) -> None:
        tries: list[str] = []

        def fails() -> Measurement:
            tries.append("once")
            raise RunFailed("broken")

        result = alternate({"peer": lambda: {"v": 1}, "ours": fails}, {"ours"}, 3, lambda line: None)
        self.assertEqual((len(tries), result.failures), (1, {"ours": "broken"}))
        with self.assertRaises(RunFailed):
            alternate({"peer": fails}, {"ours"}, 1, lambda line: None)

    def test_goal_names_are_unique(self) -> None:
        names = [one.id for one in GOALS]
        self.assertEqual(len(names), len(set(names)))


class ProcessTests(unittest.TestCase):
    """Whatever is started is stopped."""

    def test_a_signal_while_a_process_starts_waits_until_it_is_known(self) -> None:
        real = subprocess.Popen
        started: list[subprocess.Popen[str]] = []

        def interrupted(*arguments: object, **options: object) -> subprocess.Popen[str]:
            started.append(real(*arguments, **options))  # type: ignore[call-overload]
            signal.raise_signal(signal.SIGINT)
            return started[0]

        # A shell's job in the background inherits an ignored SIGINT.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with mock.patch("harness.processes.subprocess.Popen", interrupted):
                with self.assertRaises(KeyboardInterrupt), Processes() as processes:
                    processes.start(["sleep", "600"])
        finally:
            signal.signal(signal.SIGINT, before)
        self.assertEqual([process.returncode for process in started], [-signal.SIGTERM])


class DriverTests(unittest.TestCase):
    """The whole driver with stand-ins for penstock-bench and penstock."""

    def test_every_goal_gets_a_figure(self) -> None:
        result = driver("--repeats", "1", "--format", "json", "--only", ",".join(one.id for one in GOALS))
        self.assertEqual(result.returncode, 0, result.stderr)
        rows = json.loads(result.stdout)["rows"]
        self.assertEqual([row["goal"] for row in rows], [one.id for one in GOALS])
        for row in rows:
            if row["goal"] not in ("G13", "G17"):
                self.assertIsNotNone(row["ratio"], row)

    def test_records_lost_on_the_way_to_the_sink_give_no_figure(self) -> None:
        result = driver("--repeats", "1", "--only", "G5", "--format", "json", FAKE_LOSES="1")
        row = json.loads(result.stdout)["rows"][0]
        self.assertFalse(row["passed"])
        self.assertIn("the sink received", row["verdict"])

    def test_messages_deleted_without_an_event_give_no_figure(self) -> None:
        result = driver("--repeats", "1", "--only", "queue", "--format", "json", FAKE_LOSES="1")
        row = json.loads(result.stdout)["rows"][0]
        self.assertFalse(row["passed"])
        self.assertIn("the function received 2999 and 3000 were deleted", row["verdict"])

    def test_rows_deleted_without_an_event_give_no_figure(self) -> None:
        result = driver("--repeats", "1", "--only", "tables", "--format", "json", FAKE_LOSES="1")
        row = json.loads(result.stdout)["rows"][0]
        self.assertFalse(row["passed"])
        self.assertIn("of 2000 rows 1999 reached the function", row["verdict"])

    def test_a_slot_that_was_not_moved_on_gives_no_figure(self) -> None:
        result = driver("--repeats", "1", "--only", "replication", "--format", "json", FAKE_LOSES="1")
        row = json.loads(result.stdout)["rows"][0]
        self.assertFalse(row["passed"])
        self.assertIn("not moved on", row["verdict"])

    def test_notifications_that_did_not_come_give_no_figure(self) -> None:
        result = driver("--repeats", "1", "--only", "notifications", "--format", "json", FAKE_LOSES="1")
        row = json.loads(result.stdout)["rows"][0]
        self.assertFalse(row["passed"])
        self.assertIn("notifications 9999 came", row["verdict"])

    def test_a_checkpoint_before_the_end_of_its_shard_gives_no_figure(self) -> None:
        result = driver("--repeats", "1", "--only", "stream", "--format", "json", FAKE_LOSES="1")
        row = json.loads(result.stdout)["rows"][0]
        self.assertFalse(row["passed"])
        self.assertIn("the checkpoints are", row["verdict"])

    def test_a_century_that_ends_too_early_has_no_figure(self) -> None:
        result = driver("--repeats", "1", "--only", "schedules", "--format", "json", FAKE_TIMES="1")
        rows = {row["goal"]: row for row in json.loads(result.stdout)["rows"]}
        self.assertFalse(rows["G27"]["passed"])
        self.assertIn("the last one is 2026-01-02", rows["G27"]["verdict"])
        self.assertEqual(rows["G15"]["verdict"], "goal met")

    def test_a_missing_key_costs_no_row_of_another_experiment(self) -> None:
        result = driver("--repeats", "1", "--only", "G8,G14", "--format", "json", FAKE_OMITS="p99_us")
        rows = json.loads(result.stdout)["rows"]
        self.assertIn("ours printed no p99_us", rows[0]["verdict"])
        self.assertIsNotNone(rows[1]["ratio"])

    def test_a_product_that_ends_has_no_figure_and_its_last_words_are_told(self) -> None:
        result = driver("--repeats", "1", "--only", "G20", "--format", "json", FAKE_FAILS="no such broker")
        row = json.loads(result.stdout)["rows"][0]
        self.assertFalse(row["passed"])
        self.assertIn("it said: no such broker", row["verdict"])

    def test_an_experiment_is_chosen_by_its_name(self) -> None:
        result = driver("--repeats", "2", "--only", "idle", "--format", "json")
        rows = json.loads(result.stdout)["rows"]
        self.assertEqual([row["goal"] for row in rows], ["G18", "G18b", "G19"], result.stderr)
        self.assertGreater(rows[2]["ours_median"], 1)

    def test_wrong_names_and_a_hasty_gate_are_refused(self) -> None:
        self.assertEqual(driver("--only", "G99").returncode, 2)
        self.assertEqual(driver("--gate", "--repeats", "2").returncode, 2)

    def test_an_interrupted_run_leaves_no_process_and_no_file(self) -> None:
        command = [sys.executable, str(BENCHMARKS / "run.py"), "--bench", str(FAKE), "--only", "G1"]
        # A shell's job in the background inherits an ignored SIGINT, and Python would then not see one.
        process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert process.stderr
        for line in process.stderr:
            if line.startswith("round 1"):
                break
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGINT)
        with process.stderr:
            process.stderr.read()
        self.assertEqual(process.wait(30), 130)
        self.assertTrue(children)
        self.assertFalse([pid for pid in children if pathlib.Path(f"/proc/{pid}").exists()])
        self.assertFalse(list((BENCHMARKS.parent / ".build-bench").glob("run-*")))


if __name__ == "__main__":
    unittest.main()
