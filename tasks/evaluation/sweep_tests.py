"""Whether the values of a sweep differ: paired tests on the same questions, against the first."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clara_model.errors import DataError
from clara_model.evaluation.bootstrap import compare_paired
from configs.schema import PipelineConfig
from tasks.evaluation.pairs import Place
from tasks.evaluation.reconstruction import passage_scores
from tasks.evaluation.stored import Stored, read_stored
from tasks.evaluation.summary import clusters_of, score_all
from tasks.storage import Record

log = logging.getLogger(__name__)

RECONSTRUCTION = "reconstruction"
_ROUGE = "reconstruction.rougeL"


@dataclass(frozen=True)
class Asked:
    """What one value of a sweep scores, question by question.

    Args:
        values: By place and metric: the value of every question, by its id.
        subjects: By place: what each question is about.
    """

    values: Mapping[Place, Mapping[str, Mapping[str, float]]]
    subjects: Mapping[Place, Mapping[str, str]]


def read_values(config: PipelineConfig, folder: Path) -> Asked | None:
    """Score a variant's stored predictions again, question by question; None where they are gone.

    Its means stand on the page all the same, so that is a warning.
    """
    try:
        stored = read_stored(folder)
    except DataError as err:
        log.warning("no paired test of this value: %s", err)
        return None
    refusals = list(config.synthesis.refusals.values())
    scored = score_all(stored.benchmarks, stored.index, stored.predictions, refusals)
    ids = {(b.name, b.pool): [sample.id for sample in b.samples] for b in stored.benchmarks}
    clusters = clusters_of(stored.benchmarks)
    values: dict[Place, dict[str, dict[str, float]]] = {}
    subjects: dict[Place, dict[str, str]] = {}
    for place, metrics in scored.items():
        benchmark, setting, _ = place
        own = ids.get((benchmark, setting)) or ids[(benchmark, "oracle")]
        values[place] = {
            name: {own[i]: value for i, value in by_number.items()}
            for name, by_number in metrics.items()
        }
        subjects[place] = dict(zip(own, clusters(benchmark, setting), strict=True))
    return Asked({**values, **_regenerated(stored)}, subjects)


def _regenerated(stored: Stored) -> dict[Place, dict[str, dict[str, float]]]:
    """ROUGE-L of each passage that was written anew, by its text."""
    return {
        (entry["benchmark"], RECONSTRUCTION, entry["system"]): {
            _ROUGE: {text["original"]: passage_scores(text)[_ROUGE] for text in texts}
        }
        for entry, texts in stored.written
    }


def compare_with_first(
    asked: Sequence[tuple[str, Asked]], wanted: Sequence[tuple[Place, str]], samples: int
) -> list[Record]:
    """Every value of a sweep against the first one, on the questions that both were asked.

    Args:
        asked: Label and scores of each value, in the sweep's order.
        wanted: Places and metrics of the sweep's tables.
        samples: Resamples and permutations of a test.

    Returns:
        Label, place, metric, n, difference (this value minus the first), interval, p and whether
        it is shown.
    """
    if not asked:
        return []
    (against, first), *others = asked
    return [
        {"label": label, "against": against, **row}
        for label, other in others
        for row in _compare(other, first, wanted, samples)
    ]


def _compare(
    ours: Asked, first: Asked, wanted: Sequence[tuple[Place, str]], samples: int
) -> Iterator[Record]:
    for place, metric in wanted:
        one = ours.values.get(place, {}).get(metric, {})
        two = first.values.get(place, {}).get(metric, {})
        both = sorted(one.keys() & two.keys())
        if not both:
            continue
        about = first.subjects.get(place, {})
        found = compare_paired(
            [one[i] for i in both],
            [two[i] for i in both],
            clusters=[about.get(i, i) for i in both],
            samples=samples,
        )
        benchmark, setting, system = place
        yield {
            "benchmark": benchmark, "setting": setting, "system": system, "metric": metric,
            "n": found.n, "value": round(found.difference, 4), "low": round(found.low, 4),
            "high": round(found.high, 4), "p": round(found.p_value, 4), "shown": found.shown,
        }  # fmt: skip
