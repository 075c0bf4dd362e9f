"""Which systems are compared, question by question, and what a paired test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

from clara_model.evaluation.bootstrap import compare_paired
from tasks.evaluation.entrants import BEFORE
from tasks.evaluation.scores import Values
from tasks.storage import Record

Place = tuple[str, str, str]  # benchmark, setting, system
PerQuestion = dict[Place, dict[str, Values]]
Side = tuple[str, str]  # setting, system
# (benchmark, setting) -> what each question is about, see `Sample.cluster`.
Clusters = Callable[[str, str], Sequence[str]]

# Of the workspace's own evaluation: (metric, first, second); `lead` is the benchmark's leading one.
_OWN = (
    ("recall@1", ("oracle", "stage3"), ("oracle", BEFORE)),
    ("recall@1", ("oracle", "stage3"), ("oracle", "bm25")),
    ("lead", ("oracle", "stage1"), ("oracle", "closed_book")),
    ("lead", ("oracle", "stage2"), ("oracle", "closed_book")),
    ("lead", ("oracle", "stage3"), ("oracle", "closed_book")),
    ("lead", ("oracle", "stage3"), ("oracle", "stage2")),
    ("lead", ("oracle", "stage2"), ("oracle", "full_text")),
    ("lead", ("oracle", "stage2"), ("decoy", "stage2")),
    ("lead", ("gold", "stage2"), ("decoy", "stage2")),
    ("lead", ("normal", "stage3"), ("normal", "closed_book")),
)


def compare(
    scored: PerQuestion,
    leads: Mapping[str, str],
    systems: Sequence[Record],
    samples: int,
    clusters: Clusters,
) -> list[Record]:
    """Paired tests on each benchmark.

    Args:
        scored: Values by place and metric.
        leads: The leading metric of each benchmark.
        systems: Of `Entrant.describe`; those of the workspace are compared as listed above,
            named ones each with each.
        samples: Resamples and permutations of a test.
        clusters: Questions that are drawn, and swapped, together.
    """
    rows = []
    for benchmark, lead in leads.items():
        for name, first, second in _sides(scored, benchmark, systems):
            metric = lead if name == "lead" else name
            ours = scored.get((benchmark, *first), {}).get(metric, {})
            theirs = scored.get((benchmark, *second), {}).get(metric, {})
            both = sorted(ours.keys() & theirs.keys())
            if both:
                about = clusters(benchmark, first[0])
                found = compare_paired(
                    [ours[i] for i in both],
                    [theirs[i] for i in both],
                    clusters=[about[i] for i in both],
                    samples=samples,
                )
                rows.append({
                    "benchmark": benchmark, "metric": metric,
                    "first": dict(zip(("setting", "system"), first, strict=True)),
                    "second": dict(zip(("setting", "system"), second, strict=True)),
                    "n": found.n, "value": round(found.difference, 4), "low": round(found.low, 4),
                    "high": round(found.high, 4), "p": round(found.p_value, 4),
                    "shown": found.shown,
                })  # fmt: skip
    return rows


def _sides(
    scored: PerQuestion, benchmark: str, systems: Sequence[Record]
) -> Iterator[tuple[str, Side, Side]]:
    if any(system["id"] == BEFORE for system in systems):
        yield from _OWN
        return
    for setting in dict.fromkeys(place[1] for place in scored if place[0] == benchmark):
        for first, second in combinations([system["id"] for system in systems], 2):
            yield "lead", (setting, first), (setting, second)
        choosers = [system["id"] for system in systems if system["chooses"]]
        for first, second in combinations([*choosers, "bm25"], 2):
            yield "recall@1", (setting, first), (setting, second)
