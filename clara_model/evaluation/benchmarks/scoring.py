"""Which metrics an answer gets: the benchmark's official ones, the paper's, and fairer variants."""

from __future__ import annotations

from clara_model.evaluation.benchmarks.sample import LoadedBenchmark, Sample
from clara_model.evaluation.metrics import score

# The CLaRa paper's evaluation reads the first gold alone; `_any` accepts every gold.
PAPER = ("clara.acc", "clara.em", "clara.f1")
FAIR = ("clara.acc_any", "clara.em_any", "clara.f1_any")
# Words parted by spaces mean nothing in Chinese: these compare characters.
CJK = ("open.em", "open.f1", "open.contains")


def answer_metrics(benchmark: LoadedBenchmark) -> dict[str, tuple[str, ...]]:
    """Names of the answer metrics of a benchmark, by group: official, paper, fair, cjk."""
    groups = {"official": benchmark.spec.metrics, "paper": PAPER, "fair": FAIR}
    if benchmark.is_chinese:
        groups["cjk"] = CJK
    taken: set[str] = set()
    names: dict[str, tuple[str, ...]] = {}
    for group, members in groups.items():
        own = tuple(name for name in members if name not in taken)
        taken.update(own)
        if own:
            names[group] = own
    return names


def leading_metric(benchmark: LoadedBenchmark) -> str:
    """The one number to look at first: official, or character-wise where it would mislead."""
    official = benchmark.spec.metrics[0]
    is_blind = benchmark.is_chinese and not official.startswith(("cmrc2018.", "open."))
    return "open.f1" if is_blind else official


def is_scored(benchmark: LoadedBenchmark, sample: Sample) -> bool:
    """Whether an answer to this question counts.

    Questions without golds do not, except in SQuAD 2, where saying nothing is the right answer.
    """
    return bool(sample.golds) or benchmark.name == "squad2"


def score_answer(benchmark: LoadedBenchmark, sample: Sample, prediction: str) -> dict[str, float]:
    """All answer metrics of one prediction, by name; empty where the question is not scored."""
    if not is_scored(benchmark, sample):
        return {}
    names = (name for group in answer_metrics(benchmark).values() for name in group)
    official = set(benchmark.spec.metrics)
    return {
        name: score(name, prediction, sample.golds)
        for name in names
        # Without golds the paper's metrics say nothing.
        if sample.golds or name in official
    }
