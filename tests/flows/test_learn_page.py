"""What the flow `learn` shows on its page."""

from __future__ import annotations

from pathlib import Path

from flows.learn import proof_markdown, proof_table
from tasks.learning.learn import Proof
from tasks.learning.schedule import Outcome

INTERVAL = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 10}
SUMMARY = {
    "title": "Proof", "jobs": {"planned": 5, "done": 3},
    "targets": [
        {"number": 1, "what": "EM", "asked": "at least 0.9", "interval": INTERVAL, "met": False},
        {"number": 2, "what": "Recall", "asked": "at least 0.9", "interval": None, "met": None},
    ],
}  # fmt: skip
OUTCOME = Outcome(["a", "b", "c"], ["after"], {"bad": "no memory"})
PROOF = Proof(SUMMARY, Path("learning.md"), OUTCOME)


def test_the_table_has_a_row_a_target() -> None:
    assert proof_table(PROOF) == [
        {"target": 1, "what": "EM", "asked for": "at least 0.9",
         "reached": "0.500 [0.250, 0.750]", "met": "not met"},
        {"target": 2, "what": "Recall", "asked for": "at least 0.9", "reached": "–",
         "met": "not run"},
    ]  # fmt: skip


def test_the_summary_tells_what_was_reached_and_what_failed() -> None:
    page = proof_markdown(PROOF, "http://m/#/runs/1")
    assert "3 of 5 jobs are done; the whole page: `learning.md`" in page
    assert "| 1 | EM | at least 0.9 | 0.500 [0.250, 0.750] | not met |" in page
    assert "Failed: bad." in page
    assert "Not done, as they need it: after." in page
    assert "(http://m/#/runs/1)" in page
