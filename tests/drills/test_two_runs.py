"""Two `clara run` on one workspace at once: each step is done once, by one of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from drill import Drill, MakeDrill, recorded_steps

pytestmark = pytest.mark.slow

DUE = ("mine", "stage3")


def test_two_runs_at_once_do_each_step_once(
    undisturbed: Drill, copy_of_it: MakeDrill, tmp_path: Path
) -> None:
    drill = copy_of_it(tmp_path / "of_it")
    drill.forget(*DUE)
    processes = [drill.start("run"), drill.start("run")]
    said = [process.communicate(timeout=800)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    both = "\n".join(said)
    assert "Traceback" not in both
    assert re.search(r"(mine|stage3): waiting for \S+ \(process \d+, since ", both)
    assert [len(re.findall(f" {step}: done in", both)) for step in DUE] == [1, 1]
    assert drill.results() == undisturbed.results()
    recorded = recorded_steps(drill.workspace / "mlflow.db")
    assert [recorded.count(step) for step in DUE] == [1, 1]
    assert list((drill.workspace / "leases").iterdir()) == []
    assert "Everything is up to date." in drill.run("run")
