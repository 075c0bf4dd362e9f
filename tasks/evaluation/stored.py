"""What an evaluation left on disk, read back: all that scores need, and no model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from clara_model.errors import DataError
from tasks.evaluation.benchmarks import Benchmark
from tasks.evaluation.judged import read_judged
from tasks.evaluation.places import prediction_path
from tasks.evaluation.questions import read_questions
from tasks.evaluation.reconstruction import read_reconstruction
from tasks.storage import Record, read_records

# An entry of the index, and the rows that belong to it.
Answered = list[tuple[Record, list[Record]]]


@dataclass(frozen=True)
class Stored:
    """One evaluation.

    Args:
        index: What was asked: systems, and jobs with their costs.
        benchmarks: The questions.
        predictions: Each job's entry of the index, and its predictions.
        written: Each CLaRa model's entry of the index, and the passages that it wrote anew.
    """

    index: Record
    benchmarks: list[Benchmark]
    predictions: Answered
    written: Answered


def read_stored(folder: Path) -> Stored:
    """Read back the evaluation in a folder.

    Raises:
        DataError: If there was none, or some of its predictions are gone.
    """
    path = folder / "index.json"
    if not path.is_file():
        raise DataError(f"{path}: nothing evaluated yet; run `clara evaluate` first")
    index = json.loads(path.read_text(encoding="utf-8"))
    predictions = []
    for job in index["jobs"]:
        place = prediction_path(folder, job["benchmark"], job["setting"], job["system"])
        if not place.is_file():
            raise DataError(f"{place}: predictions are gone; run `clara evaluate --force`")
        judged = read_judged(folder, job) if index["judged"] else {}
        predictions.append(({**job, "judged": judged}, read_records(place)))
    written = read_reconstruction(folder, index)
    return Stored(index, read_questions(folder), predictions, written)
