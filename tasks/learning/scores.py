"""The value of every held-out question: answers right or wrong, ranks of the gold documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from clara_model import Clara, ClaraConfig, world
from clara_model.evaluation.metrics import score
from clara_model.evaluation.metrics.retrieval import recall_at, reciprocal_rank
from clara_model.evaluation.systems import rank, score_candidates
from clara_model.memory import MemoryStore, build_memory
from clara_model.modeling.adapters import QUERY_REASONER
from clara_model.retrieval import Bm25Index
from tasks.learning.rows import (
    crowds,
    described_questions,
    gold_documents,
    questions,
    two_hop_questions,
)
from tasks.learning.world_facts import chance_among
from tasks.storage import Record

EXACT = "open.em"  # the project's default exact match
BY_NAME, BY_ALIAS = 0.0, 1.0
_COMPRESS_BATCH = 64

# A set of questions: `groups` says which ones belong together, `scores` holds values by metric.
Sets = dict[str, Record]


def score_model(settings: Record, needs: dict[str, Path], store: Path) -> Sets:
    """Score one model on what belongs to it.

    Args:
        settings: Of the scoring job.
        needs: Folders of the `model` and of the decoder, `base`.
        store: Where memories may lie while this runs.

    Returns:
        For each set of questions `groups` and `scores`, one value a question.
    """
    return _SCORES[settings["what"]](settings, needs, store)


def _reader(settings: Record, needs: dict[str, Path], store: Path) -> Sets:
    """The bare decoder: with the gold document, with none, and with several in text."""
    del store
    length = settings["doc_max_length"]
    # Nothing is compressed: rate and k only complete the configuration.
    config = ClaraConfig(doc_max_length=length, compr_rate=length, generation_top_k=1)
    model = Clara.from_base(needs["model"], config, device=settings["device"])

    def em(rows: list[Record], documents: list[list[str]]) -> list[float]:
        return _matches(rows, _ask(settings, rows, documents, model.answer_from_full_text))

    by_name, several = _by_name(settings), _several(settings)
    chances = [chance_among(row["question"], row["gold_answer"], row["docs"]) for row in several]
    gold = [[text] for text in gold_documents(by_name)]
    hops = _two_hop_rows(settings) if "hint_share" in settings else []
    return {
        "name": _set(by_name, gold_text=em(by_name, gold),
                     closed_book=em(by_name, [[] for _ in by_name])),
        "several": _set(several, text=em(several, [row["docs"] for row in several]),
                        random=[0.0 if value is None else value for value in chances]),
        **({"two_hop": _set(hops, text=em(hops, _best_found(hops, settings["num_docs"])))}
           if hops else {}),
    }  # fmt: skip


def _best_found(rows: list[Record], k: int) -> list[list[str]]:
    """Of each question k documents: its golds, then other companies that the hint fits, then any.

    It is the most that a retriever can give who reads nothing but the question.
    """
    found = []
    for row in rows:
        places = [*row["pos_index"], *world.hinted_companies(row), *range(len(row["docs"]))]
        chosen = sorted(list(dict.fromkeys(places))[:k])
        found.append([row["docs"][place] for place in chosen])
    return found


def _stage1(settings: Record, needs: dict[str, Path], store: Path) -> Sets:
    """The gold document's memory and the question."""
    rows = _by_name(settings)
    documents = [[text] for text in gold_documents(rows)]
    model, memories = _compressed(settings, needs, store, documents)
    answers = _ask_memories(settings, rows, documents, memories, model.answer_stage1)
    return {"name": _set(rows, em=_matches(rows, answers))}


def _five_docs(settings: Record, needs: dict[str, Path], store: Path) -> Sets:
    """The memories of several documents, one of which holds the answer."""
    rows = _several(settings)
    documents = [row["docs"] for row in rows]
    model, memories = _compressed(settings, needs, store, documents)
    answers = _ask_memories(settings, rows, documents, memories, model.generate_from_memory)
    return {"several": _set(rows, em=_matches(rows, answers))}


def _stage3(settings: Record, needs: dict[str, Path], store: Path) -> Sets:
    """Candidates ranked by the model, by what it started from, and by BM25."""
    sets = {
        "name": _by_name(settings),
        "alias": questions(settings["questions"], settings["num_candidates"], BY_ALIAS),
    }
    if settings.get("described"):
        sets["described"] = described_questions(settings["questions"], settings["num_candidates"])
    every = [row["docs"] for rows in sets.values() for row in rows]
    model, memories = _compressed(settings, needs, store, every)
    found = {name: _retrieved(settings, model, memories, rows) for name, rows in sets.items()}
    start: Callable[[list[str], int], torch.Tensor]
    if settings.get("query_init") == "random":
        # Back to where it started: B is zero, whatever A is drawn. Nothing is asked of it after.
        model.reset_adapter(QUERY_REASONER)
        start = model.represent_queries
    else:
        start = _as_documents(model)
    for name, rows in sets.items():
        queries = start([row["question"] for row in rows], _COMPRESS_BATCH)
        scores = _rank_scores("before.", rows, _ranked(rows, memories, queries))
        found[name]["scores"] |= scores
    return found


def _as_documents(model: Clara) -> Callable[[list[str], int], torch.Tensor]:
    """Questions under the encoder, which is what a query reasoner starts from."""
    return lambda asked, batch_size: model.compress_documents(asked, batch_size).flatten(1)


def _retrieved(settings: Record, model: Clara, memories: MemoryStore, rows: list[Record]) -> Record:
    asked = [row["question"] for row in rows]
    ranking = _ranked(rows, memories, model.represent_queries(asked, _COMPRESS_BATCH))
    k = model.config.generation_top_k
    chosen = [
        [row["docs"][i] for i in places[:k]] for row, places in zip(rows, ranking, strict=True)
    ]
    answers = _ask_memories(settings, rows, chosen, memories, model.generate_from_memory)
    return _set(
        rows,
        em=_matches(rows, answers),
        **_rank_scores("", rows, ranking),
        **_rank_scores("bm25.", rows, _bm25(rows)),
    )


def _two_hop(settings: Record, needs: dict[str, Path], store: Path) -> Sets:
    """Questions over two documents: both found, answered, and answered from one of them alone."""
    rows = _two_hop_rows(settings)
    model, memories = _compressed(settings, needs, store, [row["docs"] for row in rows])
    asked = [row["question"] for row in rows]
    ranking = _ranked(rows, memories, model.represent_queries(asked, _COMPRESS_BATCH))
    k = model.config.generation_top_k
    given = {
        "em": [places[:k] for places in ranking],
        # The same number of documents, with one of the two gold ones left out.
        **{
            f"em_without_{n}": [
                [i for i in places if i != row["pos_index"][n]][:k]
                for row, places in zip(rows, ranking, strict=True)
            ]
            for n in (0, 1)
        },
    }
    scores = {}
    for name, places in given.items():
        documents = [[r["docs"][i] for i in own] for r, own in zip(rows, places, strict=True)]
        answers = _ask_memories(settings, rows, documents, memories, model.generate_from_memory)
        scores[name] = _matches(rows, answers)
    golds = [row["pos_index"] for row in rows]
    both = [float(set(g) <= set(r[:5])) for r, g in zip(ranking, golds, strict=True)]
    # A random company that the question's hint fits: what can be had without the second hop.
    guess = [world.shortcut_scores([row])["hinted"] for row in rows]
    return {"two_hop": _set(rows, **{"both@5": both}, guess=guess, **scores)}


_SCORES: dict[str, Callable[[Record, dict[str, Path], Path], Sets]] = {
    "reader": _reader,
    "stage1": _stage1,
    "stage3": _stage3,
    "five_docs": _five_docs,
    "two_hop": _two_hop,
}


def _by_name(settings: Record) -> list[Record]:
    return questions(settings["questions"], settings["num_candidates"], BY_NAME)


def _several(settings: Record) -> list[Record]:
    return questions(settings["questions"], settings["num_docs"], BY_NAME)


def _two_hop_rows(settings: Record) -> list[Record]:
    return two_hop_questions(
        settings["questions"], settings["num_candidates"], settings["hint_share"]
    )


def _set(rows: list[Record], **scores: list[float]) -> Record:
    return {"groups": crowds(rows), "scores": scores}


def _compressed(
    settings: Record, needs: dict[str, Path], store: Path, documents: list[list[str]]
) -> tuple[Clara, MemoryStore]:
    model = Clara.from_pretrained(needs["model"], needs["base"], device=settings["device"])
    texts = (text for texts in documents for text in texts)
    return model, build_memory(model, texts, store, batch_size=_COMPRESS_BATCH)


def _ranked(rows: list[Record], memories: MemoryStore, queries: torch.Tensor) -> list[list[int]]:
    scores = score_candidates(queries, [row["docs"] for row in rows], memories)
    return [rank(own) for own in scores]


def _bm25(rows: list[Record]) -> list[list[int]]:
    """Candidates by BM25 over the pool of all candidates."""
    places: dict[str, int] = {}
    for row in rows:
        for text in row["docs"]:
            places.setdefault(text, len(places))
    index = Bm25Index(list(places))
    ranking = []
    for row in rows:
        scores = index.scores(row["question"])
        ranking.append(rank([float(scores[places[text]]) for text in row["docs"]]))
    return ranking


def _rank_scores(
    prefix: str, rows: list[Record], ranking: Sequence[list[int]]
) -> dict[str, list[float]]:
    pairs = [(places, row["pos_index"]) for places, row in zip(ranking, rows, strict=True)]
    return {
        f"{prefix}recall@1": [recall_at(1, places, golds) for places, golds in pairs],
        f"{prefix}recall@5": [recall_at(5, places, golds) for places, golds in pairs],
        f"{prefix}mrr": [reciprocal_rank(places, golds) for places, golds in pairs],
    }


def _ask(
    settings: Record,
    rows: list[Record],
    documents: list[list[str]],
    answer: Callable[[list[str], list[list[str]], int, int], list[str]],
) -> list[str]:
    return answer([row["question"] for row in rows], documents, settings["max_new_tokens"],
                  settings["batch_size"])  # fmt: skip


def _ask_memories(
    settings: Record,
    rows: list[Record],
    documents: list[list[str]],
    memories: MemoryStore,
    answer: Callable[[list[str], torch.Tensor, int, int], list[str]],
) -> list[str]:
    memory = torch.stack([memories.lookup(texts) for texts in documents])  # (B, k, n, H)
    return answer([row["question"] for row in rows], memory, settings["max_new_tokens"],
                  settings["batch_size"])  # fmt: skip


def _matches(rows: list[Record], answers: list[str]) -> list[float]:
    return [
        score(EXACT, answer.strip(), [row["gold_answer"]])
        for row, answer in zip(rows, answers, strict=True)
    ]
