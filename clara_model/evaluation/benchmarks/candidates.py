"""The two settings: N candidates a question, with its golds among them, or as retrieved."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clara_model.errors import ConfigError, DataError
from clara_model.evaluation.benchmarks.pool import Pool, Retrieve, bm25, identity
from clara_model.evaluation.benchmarks.sample import Document, LoadedBenchmark, Sample

SETTINGS = ("normal", "oracle")
_NAMED = 3  # questions that a failing audit names


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with the candidates of its setting.

    Args:
        sample: The question.
        candidates: N documents; in `normal` as retrieved, best first, in `oracle` shuffled.
        gold_positions: Which of them are gold.
    """

    sample: Sample
    candidates: tuple[Document, ...]
    gold_positions: tuple[int, ...]

    @property
    def num_golds(self) -> int:
        """Distinct golds of the question: those not among the candidates as well."""
        return _num_golds(self.sample)


@dataclass(frozen=True)
class Audit:
    """How often the golds are among the candidates of a setting.

    Args:
        setting: "normal" or "oracle".
        pool: Name of the pool, and how many passages it holds.
        pool_size: Passages that candidates were drawn from.
        num_candidates: N.
        questions: How many were asked.
        with_golds: Questions that have gold documents at all.
        any_present: Of these, those with at least one gold among the candidates.
        all_present: Of these, those with all of them.
    """

    setting: str
    pool: str
    pool_size: int
    num_candidates: int
    questions: int
    with_golds: int
    any_present: int
    all_present: int

    @property
    def words(self) -> str:
        """One line for a table's caption."""
        return (
            f"{self.setting}: N {self.num_candidates} of {self.pool_size:,} passages "
            f"({self.pool}); a gold is present for {self.any_present} of {self.with_golds} "
            f"questions that have one, all golds for {self.all_present}"
        )


def build_setting(
    benchmark: LoadedBenchmark,
    setting: str,
    pool: Pool,
    *,
    num_candidates: int = 20,
    retrieve: Retrieve = bm25,
) -> tuple[list[Asked], Audit]:
    """Candidates for every question, audited.

    In `normal` they are the best `num_candidates` of the pool for the question, whether a gold is
    among them or not. In `oracle` they are the golds, the other documents that came with the
    question, and then the best of the pool, in an order drawn by hash.

    Args:
        benchmark: The questions.
        setting: "normal" or "oracle".
        pool: Where candidates are retrieved from.
        num_candidates: N; a smaller pool gives fewer.
        retrieve: Finds passages in the pool.

    Raises:
        ConfigError: If the setting is unknown, N too small for the golds, or the pool empty.
        DataError: If the audit finds golds in `normal` that were given, not found.
    """
    if setting not in SETTINGS:
        raise ConfigError(f"no setting {setting!r}; there are: {', '.join(SETTINGS)}")
    if not pool.documents:
        raise ConfigError(
            f"{benchmark.path}: these questions come without documents; give a corpus folder"
        )
    texts = [document.full for document in pool.documents]
    questions = [sample.question for sample in benchmark.samples]
    found = retrieve(questions, texts, num_candidates)
    build = _as_retrieved if setting == "normal" else _with_golds
    asked = [
        build(sample, [pool.documents[i] for i in positions], pool, num_candidates)
        for sample, positions in zip(benchmark.samples, found, strict=True)
    ]
    audit = audit_golds(
        asked, setting, pool, num_candidates=num_candidates, retrieve=lambda *_: found
    )
    return asked, audit


def audit_golds(
    asked: Sequence[Asked],
    setting: str,
    pool: Pool,
    *,
    num_candidates: int,
    retrieve: Retrieve = bm25,
) -> Audit:
    """Count how often golds are present, and prove that `normal` was given none.

    In `normal` every question is retrieved again: a gold among its candidates that the retriever
    does not find among its first N was put there.

    Raises:
        DataError: If golds were put into `normal`, or `oracle` lacks golds that exist.
    """
    if setting == "normal":
        _refuse_given_golds(asked, pool, num_candidates, retrieve)
    with_golds = [one for one in asked if _gold_keys(one.sample)]
    present = [(len(one.gold_positions), _num_golds(one.sample)) for one in with_golds]
    if setting == "oracle":
        lacking = [one.sample.id for one in with_golds if not _has_own_golds(one)]
        _refuse(lacking, "oracle lacks gold documents that came with the question")
    return Audit(
        setting=setting,
        pool=pool.name,
        pool_size=len(pool.documents),
        num_candidates=num_candidates,
        questions=len(asked),
        with_golds=len(with_golds),
        any_present=sum(found > 0 for found, _ in present),
        all_present=sum(found >= wanted for found, wanted in present),
    )


def _as_retrieved(
    sample: Sample, retrieved: Sequence[Document], pool: Pool, num_candidates: int
) -> Asked:
    return _ask(sample, retrieved[:num_candidates])


def _with_golds(
    sample: Sample, retrieved: Sequence[Document], pool: Pool, num_candidates: int
) -> Asked:
    golds = [sample.documents[i] for i in sample.gold_positions]
    if len(golds) > num_candidates:
        raise ConfigError(
            f"question {sample.id} has {len(golds)} gold documents, more than "
            f"num_candidates {num_candidates}"
        )
    chosen = _distinct((*golds, *sample.documents, *retrieved))[:num_candidates]
    return _ask(sample, sorted(chosen, key=lambda document: _draw(sample, document)))


def _ask(sample: Sample, candidates: Sequence[Document]) -> Asked:
    golds = _gold_keys(sample)
    places = tuple(i for i, one in enumerate(candidates) if identity(one) in golds)
    return Asked(sample, tuple(candidates), places)


def _refuse_given_golds(
    asked: Sequence[Asked], pool: Pool, num_candidates: int, retrieve: Retrieve
) -> None:
    texts = [document.full for document in pool.documents]
    questions = [one.sample.question for one in asked]
    given = []
    for one, positions in zip(asked, retrieve(questions, texts, num_candidates), strict=True):
        found = {identity(pool.documents[i]) for i in positions}
        golds = _gold_keys(one.sample)
        if any(identity(c) in golds and identity(c) not in found for c in one.candidates):
            given.append(one.sample.id)
    _refuse(given, "normal was given gold documents that its retriever does not find")


def _refuse(ids: Sequence[str], what: str) -> None:
    if ids:
        more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
        raise DataError(f"{what}: questions {', '.join(ids[:_NAMED])}{more}")


def _has_own_golds(one: Asked) -> bool:
    present = {identity(one.candidates[i]) for i in one.gold_positions}
    return _gold_keys(one.sample) <= present


def _gold_keys(sample: Sample) -> set[str]:
    return {identity(sample.documents[i]) for i in sample.gold_positions}


def _num_golds(sample: Sample) -> int:
    """Distinct golds, those that the file itself lacks among them."""
    return len(_gold_keys(sample)) + len(sample.extras.get("missing_golds", ()))


def _distinct(documents: Iterable[Document]) -> list[Document]:
    return list({identity(document): document for document in documents}.values())


def _draw(sample: Sample, document: Document) -> str:
    """A place that question and passage decide, and nothing else: not whether it is gold."""
    return hashlib.sha256(f"{sample.question}\n{document.full}".encode()).hexdigest()
