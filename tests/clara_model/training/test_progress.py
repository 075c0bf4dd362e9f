"""Which checkpoints on the way are kept."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from clara_model.training.progress import Progress, finished, prune


def _write(folder: Path, best: set[int]) -> None:
    for step in (1, 2, 3, 4, 5):
        path = folder / f"step-{step:07d}"
        path.mkdir()
        progress = Progress("one", step, 0, is_best=step in best)
        (path / "state.json").write_text(json.dumps(asdict(progress)))


@pytest.mark.parametrize(
    ("best", "kept"),
    [(set(), [4, 5]), ({2}, [2, 4, 5]), ({1, 3}, [3, 4, 5]), ({4}, [4, 5])],
    ids=str,
)
def test_the_newest_and_the_last_best_are_kept(
    tmp_path: Path, best: set[int], kept: list[int]
) -> None:
    _write(tmp_path, best)
    prune(tmp_path, keep=2)
    assert [progress.step for _, progress in finished(tmp_path)] == kept
    assert len(list(tmp_path.iterdir())) == len(kept)
