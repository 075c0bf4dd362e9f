"""The held-out questions: their candidates, and which documents a setting gives to a system."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from clara_model.evaluation.benchmarks import Asked, Audit, LoadedBenchmark
from clara_model.evaluation.benchmarks import Sample as PublicSample
from clara_model.evaluation.benchmarks.pool import identity
from clara_model.evaluation.metrics.cjk import tokenize_answer
from clara_model.retrieval import Bm25Index
from clara_model.rows import read_rows
from configs.schema import PipelineConfig
from tasks.evaluation.public import load_public
from tasks.rows.retrieved import audit_retrieved
from tasks.storage import hash_json
from tasks.workspace import Workspace

# The one setting of the workspace's own questions that nothing in its documents answers.
UNANSWERABLE = "unanswerable"
# Whole documents are resampled from so many on: of fewer, resampling says little.
_FEWEST_DOCUMENTS = 20


@dataclass(frozen=True)
class Sample:
    """One held-out question.

    Args:
        id: Id of the row.
        question: The question.
        candidates: N documents.
        golds: Accepted answers.
        positives: Positions of the gold documents among the candidates; may be empty.
        order: All positions by falling BM25 score: of the whole corpus where the candidates were
            retrieved from it, else over the pool of all candidates.
        missing: Gold documents that are not among the candidates; 0 in oracle.
        cluster: What is asked about: a document or a passage; empty where it is unknown.
    """

    id: str
    question: str
    candidates: tuple[str, ...]
    golds: tuple[str, ...]
    positives: tuple[int, ...]
    order: tuple[int, ...]
    missing: int = 0
    cluster: str = ""

    @property
    def subject(self) -> str:
        """What questions that are not independent of each other share."""
        return self.cluster or self.id

    @property
    def all_golds(self) -> tuple[int, ...]:
        """Positions of all gold documents; a missing one has a negative, which no ranking holds."""
        return (*self.positives, *range(-self.missing, 0))


@dataclass(frozen=True)
class Benchmark:
    """The held-out questions of one source in one pool of candidates.

    Args:
        name: "documents" (the user's), "unanswerable" (theirs, too), "world" (the generated one),
            or a public benchmark's.
        pool: "normal" (candidates as retrieved), "oracle" (golds among them), or "unanswerable"
            (none of them holds an answer).
        samples: The questions.
        providers: Who made questions and answers, where the rows say so.
        key: Hash of everything above.
        public: The public benchmark that it is: its metrics, version, and what was set aside; its
            samples stand in the same order.
        audit: For a public benchmark: pool, N, and how often the golds are present.
    """

    name: str
    pool: str
    samples: tuple[Sample, ...]
    providers: tuple[str, ...]
    key: str
    public: LoadedBenchmark | None = None
    audit: Audit | None = None


def load_benchmarks(config: PipelineConfig, workspace: Workspace) -> list[Benchmark]:
    """The workspace's and the public benchmarks in the configured settings; empty ones left out.

    Raises:
        ConfigError: If a public benchmark is not where the settings say.
        DataError: If a row does not fit; names file, line and field. If normal rows were given
            golds.
    """
    folders = {"world": workspace.world / "benchmark"}
    benchmarks = []
    for name in config.evaluation.held_out:
        folder = folders.get(name, workspace.benchmark)
        for pool in (UNANSWERABLE,) if name == UNANSWERABLE else config.evaluation.settings:
            path = folder / f"{pool}.jsonl"
            if path.is_file():
                rows = list(islice(read_rows(path, "stage3"), config.evaluation.max_questions))
                if (name, pool) == ("documents", "normal") and rows:
                    audit_retrieved(workspace, rows)
                benchmark = _load(rows, name, pool)
                benchmarks += [benchmark] if benchmark.samples else []
    return benchmarks + [_of_public(*one) for one in load_public(config, workspace)]


def choose_documents(sample: Sample, setting: str, k: int) -> list[int]:
    """Positions of the candidates that a system which does not choose for itself is given.

    Args:
        sample: The question.
        setting: "normal": the best k by BM25. "oracle": the gold documents, filled up to k by
            BM25. "gold": the gold documents alone. "decoy": one wrong document of the right kind.
            "closed": none.
        k: Documents the generator reads.

    Returns:
        Positions in BM25 order, whatever the reason they were chosen for: their place tells
        nothing about which is gold.
    """
    if setting == "closed":
        return []
    if setting == "decoy":
        return [_decoy(sample)]
    chosen = set(sample.positives) if setting in ("oracle", "gold") else set()
    for position in sample.order:
        if setting == "gold" or len(chosen) >= k:
            break
        chosen.add(position)
    return [position for position in sample.order if position in chosen]


def _load(rows: list[dict[str, Any]], name: str, pool: str) -> Benchmark:
    if pool == "normal":  # candidates stand as BM25 found them, best first
        orders = [list(range(len(row["docs"]))) for row in rows]
    else:
        orders = bm25_orders([row["question"] for row in rows], [row["docs"] for row in rows])
    by_document = len({row.get("source") for row in rows}) >= _FEWEST_DOCUMENTS
    samples = tuple(
        replace(
            _sample(row, i, order),
            missing=_missing(row) if pool == "normal" else 0,
            cluster=_asked_about(row, by_document),
        )
        for i, (row, order) in enumerate(zip(rows, orders, strict=True))
    )
    providers = sorted({str(row["provider"]) for row in rows if row.get("provider")})
    return Benchmark(name, pool, samples, tuple(providers), hash_json([name, pool, rows]))


def _of_public(
    loaded: LoadedBenchmark, pool: str, asked: Sequence[Asked], audit: Audit
) -> Benchmark:
    texts = [[document.full for document in one.candidates] for one in asked]
    if pool == "normal":  # best first, as they were retrieved
        orders = [list(range(len(own))) for own in texts]
    else:
        orders = bm25_orders([one.sample.question for one in asked], texts)
    samples = tuple(
        Sample(
            id=one.sample.id,
            question=one.sample.question,
            candidates=tuple(own),
            golds=one.sample.golds,
            positives=one.gold_positions,
            order=tuple(order),
            missing=one.num_golds - len(one.gold_positions) if pool == "normal" else 0,
            cluster=_first_gold(one.sample),
        )
        for one, own, order in zip(asked, texts, orders, strict=True)
    )
    key = hash_json([loaded.key, pool, texts])
    return Benchmark(loaded.name, pool, samples, (), key, loaded, audit)


def _sample(row: dict[str, Any], position: int, order: list[int]) -> Sample:
    golds = row.get("golden_answers") or [row["gold_answer"]]
    return Sample(
        id=row["id"] or f"row-{position}",
        question=row["question"],
        candidates=tuple(row["docs"]),
        golds=tuple(golds),
        positives=tuple(sorted(set(row["pos_index"]))),
        order=tuple(order),
    )


def _missing(row: dict[str, Any]) -> int:
    """Gold passages that were not retrieved; a row that does not name its passages has one."""
    golds = len(set(row.get("passage_ids") or [None]))
    return max(0, golds - len(set(row["pos_index"])))


def _asked_about(row: dict[str, Any], by_document: bool) -> str:
    """What questions share that are not independent: the document, else the first gold passage."""
    known = row.get("source") if by_document else None
    if known := known or next(iter(row.get("passage_ids") or ()), None):
        return str(known)
    golds = sorted(row["pos_index"])
    return _digest(row["docs"][golds[0]]) if golds else ""


def _first_gold(sample: PublicSample) -> str:
    golds = sample.gold_positions
    return identity(sample.documents[golds[0]]) if golds else ""


def bm25_orders(questions: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[list[int]]:
    """Each question's candidates by falling BM25 score over the pool of all candidates.

    Equal scores are ordered by a hash of the text, so that the place in a row decides nothing.
    """
    pool = list(dict.fromkeys(text for texts in candidates for text in texts))
    place = {text: i for i, text in enumerate(pool)}
    index = Bm25Index(pool)
    orders = []
    for question, texts in zip(questions, candidates, strict=True):
        scores = index.scores(question)
        order = sorted(
            range(len(texts)),
            key=lambda i: (-float(scores[place[texts[i]]]), _digest(texts[i])),
        )
        orders.append(order)
    return orders


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _decoy(sample: Sample) -> int:
    """A wrong document, drawn from the half of them that is worded most like the gold one.

    Documents of one kind share their wording, so the half holds the right kind; the draw is by
    hash of question and text.
    """
    gold = set(tokenize_answer(" ".join(sample.candidates[i] for i in sample.positives)))
    wrong = [i for i in range(len(sample.candidates)) if i not in sample.positives]

    def likeness(position: int) -> float:
        words = set(tokenize_answer(sample.candidates[position]))
        return len(words & gold) / max(1, len(words | gold))

    alike = sorted(wrong, key=lambda i: (-likeness(i), i))[: max(1, len(wrong) // 2)]
    return min(alike, key=lambda i: _digest(sample.question + sample.candidates[i]))
