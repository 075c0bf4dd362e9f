"""Proof that training never saw what the benchmark asks about, read back from the written files."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator

from clara_model.errors import DataError
from clara_model.rows import count_rows, read_jsonl
from tasks.negatives.answers import plain_text
from tasks.passages.alike import group_alike
from tasks.rows.documents import digest
from tasks.rows.leaks import BenchmarkKeys, find_leaks, passage_ids, questions_of
from tasks.storage import Record, write_json
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

# Enough to see the pattern; a broken split has thousands.
_NAMED, _WRITTEN = 3, 100

_BENCHMARKS = ("oracle.jsonl", "normal.jsonl", "unanswerable.jsonl")


def audit_split(workspace: Workspace) -> None:
    """Check the split of a workspace's rows, write what was found to audit.json, and say it.

    No source, and no two versions of one document, have passages on both sides; no training row is
    about, or shows, a benchmark passage (by id, source or text); every benchmark row is about a
    benchmark passage; no question is asked on both sides. Besides, and without failing, benchmark
    rows are named whose answer stands in a sentence that training documents hold too: two sources
    may well quote the same.

    Raises:
        DataError: If any of this does not hold; names the first violations.
    """
    found = list(find_violations(workspace))
    shared = [] if found else list(find_shared_sentences(workspace))
    write_json(
        workspace.audit,
        {
            "apart": not found,
            "violations": found[:_WRITTEN],
            "violations_counted": len(found),
            "shared_answer_sentences": shared[:_WRITTEN],
            "shared_answer_sentences_counted": len(shared),
            "sides": _sides(workspace),
        },
    )
    if found:
        more = f" (and {len(found) - _NAMED} more)" if len(found) > _NAMED else ""
        raise DataError(
            f"{workspace.root}: training and benchmark are not apart: "
            f"{'; '.join(found[:_NAMED])}{more}. "
            "Run `clara synthesize --force`, then `clara mine --force`"
        )
    log.info("split: training and benchmark are apart (%s)", workspace.audit)
    if shared:
        log.warning(
            "%d benchmark rows have their answer in a sentence that training documents hold too: "
            "%s; see %s", len(shared), "; ".join(shared[:_NAMED]), workspace.audit,
        )  # fmt: skip


def find_violations(workspace: Workspace) -> Iterator[str]:
    """Every way in which the two sides touch, in words."""
    held_ids: set[str] = set()
    held_texts: set[int] = set()
    sides: dict[str, str] = {}
    for _, passage in read_jsonl(workspace.passages):
        side, source = passage["split"], passage["source"]
        if sides.setdefault(source, side) != side:
            yield f"source {source} is on both sides"
        if side == "benchmark":
            held_ids.add(passage["id"])
            held_texts.add(digest(plain_text(passage["text"])))
    yield from _divided_versions(workspace, sides)

    held_questions: set[int] = set()
    for name in _held_out(workspace):
        for number, row in read_jsonl(workspace.benchmark / name):
            held_questions |= _asked(row)
            for identity in passage_ids(row):
                if identity not in held_ids:
                    yield f"{name}:{number} asks about training passage {identity}"

    judged: dict[int, bool] = {}
    for number, row in read_jsonl(workspace.all_training_data):
        where = f"{workspace.all_training_data.name}:{number}"
        about = [identity for identity in passage_ids(row) if identity in held_ids]
        if about or sides.get(row.get("source", "")) == "benchmark":
            yield f"{where} is about benchmark passage {', '.join(about or passage_ids(row))}"
        if any(_is_held(text, held_texts, judged) for text in row["docs"]):
            yield f"{where} shows a benchmark passage"
        if _asked(row) & held_questions:
            yield f"{where} asks a benchmark question"


def find_shared_sentences(workspace: Workspace) -> Iterator[str]:
    """Benchmark rows whose answer can be read in a sentence of the training rows, in words."""
    for name in _held_out(workspace):
        keys = BenchmarkKeys()
        for number, row in read_jsonl(workspace.benchmark / name):
            keys.add(number, row, "stage3")
        for leak in find_leaks(keys, read_jsonl(workspace.all_training_data)):
            if leak.by == "answer sentence":
                where = f"{workspace.all_training_data.name}:{leak.train_line}"
                yield f"{name}:{leak.line} and {where}: {leak.words[:120]!r}"


def _held_out(workspace: Workspace) -> Iterator[str]:
    """The benchmark's files; the last is there only if a held-out question has no answer."""
    yield from _BENCHMARKS[:-1]
    if (workspace.benchmark / _BENCHMARKS[-1]).is_file():
        yield _BENCHMARKS[-1]


def _divided_versions(workspace: Workspace, sides: dict[str, str]) -> Iterator[str]:
    if not workspace.raw_knowledge.is_file():
        return
    rows = (row for _, row in read_jsonl(workspace.raw_knowledge))
    texts = {row["file_path"]: row["content"] for row in rows if row["file_path"] in sides}
    for group in group_alike(texts):
        if len({sides[source] for source in group}) > 1:
            yield f"{', '.join(group)} are versions of one document, on both sides"


def _is_held(text: str, held: set[int], judged: dict[int, bool]) -> bool:
    """Whether a text is a benchmark passage; each text is looked at once."""
    key = digest(text)
    if key not in judged:
        judged[key] = digest(plain_text(text)) in held
    return judged[key]


def _asked(row: Record) -> set[int]:
    return {digest(plain_text(question)) for question in questions_of(row)}


def _sides(workspace: Workspace) -> dict[str, dict[str, int]]:
    """Sources, passages and rows of each side."""
    sources: dict[str, set[str]] = {"train": set(), "benchmark": set()}
    passages: Counter[str] = Counter()
    for _, passage in read_jsonl(workspace.passages):
        sources[passage["split"]].add(passage["source"])
        passages[passage["split"]] += 1
    rows = {
        "train": count_rows([workspace.all_training_data]),
        "benchmark": count_rows([workspace.benchmark / "oracle.jsonl"]),
    }
    return {
        side: {"sources": len(sources[side]), "passages": passages[side], "rows": rows[side]}
        for side in sources
    }
