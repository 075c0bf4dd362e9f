"""What the card tells, gathered from a workspace's files in one pass over each."""

from __future__ import annotations

import heapq
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clara_model.rows import read_jsonl
from configs.schema import PipelineConfig
from tasks.data_card.lengths import Lengths, token_counter
from tasks.manifests import read_manifest
from tasks.rows.documents import digest
from tasks.storage import Record
from tasks.workspace import Workspace

# Columns of the tables of rows, and the files of each.
PURPOSES = {
    "stage 1": ("pretrain_data.jsonl",),
    "stage 2": ("instruction_data.jsonl",),
    "stage 3": ("end_to_end_data.jsonl",),
    "benchmark": ("benchmark/oracle.jsonl", "benchmark/unanswerable.jsonl"),
}
# In the order of the paper, then ours; others follow by name.
KINDS = ("simple", "complex", "joint", "cross_lingual", "unanswerable", "paraphrase")
_KIND_ENDING = "_qa"

_EXAMPLES = 2  # drawn of each kind from each file
_REASONS = 40
# Where in a document something is; what is wrong with it comes after.
_PLACE = re.compile(r"(?:(?:picture|frame|page) \d+(?: \(.*?\))?[^:(]*|\S+\.\w{3,4}): ")
_IDENTITY = re.compile(r"\b[0-9a-f]{12,}\b|\d+(?:[.,]\d+)*")


@dataclass
class Tally:
    """Counts of rows and questions by what tells them apart."""

    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PURPOSES, 0))
    kinds: dict[str, Counter[str]] = field(default_factory=dict)
    languages: dict[str, Counter[str]] = field(default_factory=dict)
    sources: dict[str, Counter[str]] = field(default_factory=dict)
    makers: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    documents: dict[str, Counter[int]] = field(default_factory=dict)
    golds: Counter[int] = field(default_factory=Counter)

    def add(self, purpose: str, row: Record) -> None:
        """Count one row; a pretraining row counts once for each of its questions' kinds."""
        self.rows[purpose] += 1
        for kind in kinds_of(row):
            self.kinds.setdefault(kind, Counter())[purpose] += 1
        self.languages.setdefault(row.get("language") or "not told", Counter())[purpose] += 1
        self.sources.setdefault(row.get("source") or "not told", Counter())[purpose] += 1
        maker = (row.get("provider"), row.get("model"), row.get("prompt_version"))
        self.makers[tuple(str(part or "not told") for part in maker)] += 1  # type: ignore[index]
        self.documents.setdefault(purpose, Counter())[len(row["docs"])] += 1
        if purpose == "stage 3":
            self.golds.update(row.get("pos_index") or ())


class Examples:
    """Rows of each kind drawn at random: the same seed draws the same rows, in any order."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._seen = 0
        self._drawn: dict[tuple[str, str], list[tuple[int, int, Record]]] = {}

    def see(self, purpose: str, row: Record) -> None:
        """Draw a row, or not; each purpose has its own draw, or all would show one question."""
        for place, kind in enumerate(kinds_of(row)):
            rank = digest(f"{self._seed} {row.get('id')} {place} {purpose}")
            drawn = self._drawn.setdefault((kind, purpose), [])
            self._seen += 1
            if len(drawn) < _EXAMPLES:
                heapq.heappush(drawn, (-rank, self._seen, _example(purpose, row, kind, place)))
            elif -rank > drawn[0][0]:
                example = _example(purpose, row, kind, place)
                heapq.heapreplace(drawn, (-rank, self._seen, example))

    def by_kind(self) -> dict[str, list[Record]]:
        """At most four rows of each kind, from as many files as have it."""
        found: dict[str, list[Record]] = {}
        for turn in range(_EXAMPLES):
            for (kind, _), drawn in self._drawn.items():
                ranked = sorted(drawn, key=lambda entry: -entry[0])
                if turn < len(ranked) and len(found.setdefault(kind, [])) < 4:
                    found[kind].append(ranked[turn][2])
        return {kind: found[kind] for kind in in_order(found)}


def gather(config: PipelineConfig, workspace: Workspace) -> Record:
    """Everything that the card tells, as a JSON value."""
    tally, examples = Tally(), Examples(config.seed)
    lengths = Lengths(config.seed, token_counter(workspace))
    for purpose, row in _rows(workspace):
        tally.add(purpose, row)
        examples.see(purpose, row)
        lengths.see(purpose, row)
    passages = _passages(workspace, lengths)
    return {
        "workspace": str(workspace.root),
        "seed": config.seed,
        "made_by": [
            {"provider": provider, "model": model, "prompt_version": version, "rows": count}
            for (provider, model, version), count in tally.makers.most_common()
        ],
        "rows": tally.rows,
        "world_rows": (read_manifest(workspace, "mine") or {}).get("counts", {}).get("world_rows"),
        "kinds": _table(tally.kinds, in_order(tally.kinds)),
        "languages": _table(tally.languages, _by_size(tally.languages)),
        "sources": _table(tally.sources, _by_size(tally.sources)),
        "documents_per_row": {p: dict(sorted(c.items())) for p, c in tally.documents.items()},
        "gold_positions": dict(sorted(tally.golds.items())),
        "passages": passages,
        "lengths": lengths.summary(),
        "coverage": _coverage(workspace, passages["by_source"]),
        "captions": _captions(workspace),
        "rejects": _rejects(workspace.rejected),
        "audit": _read_json(workspace.audit),
        "steps": _steps(workspace),
        "examples": examples.by_kind(),
    }


def kinds_of(row: Record) -> list[str]:
    """The kind of each question of a row."""
    kinds = row.get("kinds")
    if isinstance(kinds, list) and kinds:
        return [str(kind) for kind in kinds]
    return [str(row.get("kind") or row.get("data_type") or "not told")]


def in_order(kinds: Iterable[str]) -> list[str]:
    """Kinds in their usual order."""

    def place(kind: str) -> tuple[int, str]:
        name = kind.removesuffix(_KIND_ENDING)
        return (KINDS.index(name) if name in KINDS else len(KINDS)), kind

    return sorted(kinds, key=place)


def _rows(workspace: Workspace) -> Iterator[tuple[str, Record]]:
    for purpose, names in PURPOSES.items():
        for path in (workspace.root / name for name in names):
            if path.is_file():
                for _, row in read_jsonl(path):
                    yield purpose, row


def _example(purpose: str, row: Record, kind: str, place: int) -> Record:
    question, answers = row.get("question"), row.get("answers")
    if isinstance(question, list):
        question = question[place] if place < len(question) else ""
        answer = answers[place] if answers and place < len(answers) else ""
    else:
        answer = row.get("gold_answer", "")
    golds = row.get("pos_index", [0])
    return {
        "id": row.get("id", ""), "purpose": purpose, "kind": kind,
        "source": row.get("source", ""), "language": row.get("language", ""),
        "question": question or "", "answer": answer,
        "taught_answer": row.get("answer", "") if row.get("answer") != answer else "",
        "documents": len(row["docs"]), "pos_index": golds,
        "gold_documents": [row["docs"][i] for i in golds if i < len(row["docs"])],
    }  # fmt: skip


def _passages(workspace: Workspace, lengths: Lengths) -> Record:
    """Passages by side, language and source; their lengths in tokens are known already."""
    sides: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    sources: dict[str, Counter[str]] = {}
    if workspace.passages.is_file():
        for _, passage in read_jsonl(workspace.passages):
            sides[passage.get("split", "train")] += 1
            languages[passage.get("language") or "not told"] += 1
            side = sources.setdefault(passage["source"], Counter())
            side[passage.get("split", "train")] += 1
            if "tokens" in passage:
                lengths.note("passage", passage["tokens"])
    return {
        "total": sides.total(), "sides": dict(sides), "languages": dict(languages.most_common()),
        "by_source": {name: dict(count) for name, count in sorted(sources.items())},
    }  # fmt: skip


def _coverage(workspace: Workspace, sources: dict[str, Any]) -> Record:
    """How much of the passages questions ask about, over all and by source."""
    total: Counter[str] = Counter()
    shares: Counter[int] = Counter()
    asked: Counter[str] = Counter()
    if workspace.synthesis.is_file():
        for _, row in read_jsonl(workspace.synthesis):
            counts = row.get("coverage") or {}
            facts, covered = counts.get("facts", 0), counts.get("covered", 0)
            has_question = any(row.get(kind) for kind in KINDS if kind != "paraphrase")
            total += Counter(facts=facts, covered=covered, questions=has_question,
                             paraphrases=bool(row.get("paraphrase")))  # fmt: skip
            asked[row.get("source", "")] += has_question
            if facts:
                shares[min(9, int(10 * covered / facts))] += 1
    by_source = {
        name: {"passages": sum(sides.values()), "asked_about": asked[name]}
        for name, sides in sources.items()
    }
    keys = ("questions", "paraphrases", "facts", "covered")
    return {
        # Those of which nothing held are in no row of synthesis.jsonl.
        "passages": sum(counts["passages"] for counts in by_source.values()),
        **{key: total[key] for key in keys},
        "tenths": [shares[tenth] for tenth in range(10)] if shares else [],
        "by_source": by_source,
    }


def _captions(workspace: Workspace) -> Record:
    if not workspace.captions.is_file():
        return {}
    counted = Counter(row.get("status", "not told") for _, row in read_jsonl(workspace.captions))
    return dict(counted.most_common())


def _rejects(path: Path) -> list[Record]:
    """Items set aside by step and reason, names and numbers left out of the reason."""
    if not path.is_file():
        return []
    counted: Counter[tuple[str, str]] = Counter()
    shown: dict[tuple[str, str], str] = {}
    for _, row in read_jsonl(path):
        reason = _PLACE.sub("", str(row.get("reason", "")), count=1)
        head = reason.partition(": ")[0].partition("; ")[0]
        key = (str(row.get("step", "")), _IDENTITY.sub("…", head)[:120])
        counted[key] += 1
        shown.setdefault(key, f"{row.get('item', '')}: {row.get('reason', '')}"[:300])
    return [
        {"step": step, "reason": reason, "count": count, "example": shown[step, reason]}
        for (step, reason), count in counted.most_common(_REASONS)
    ]


def _steps(workspace: Workspace) -> list[Record]:
    """What the data steps counted, for reference."""
    steps = []
    for name in ("extract", "caption", "passages", "synthesize", "mine"):
        manifest = read_manifest(workspace, name)
        if manifest:
            keys = ("counts", "seconds", "finished", "code_version")
            steps.append({"step": name, **{key: manifest.get(key) for key in keys}})
    return steps


def _table(counted: dict[str, Counter[str]], names: list[str]) -> dict[str, dict[str, int]]:
    return {name: {purpose: counted[name][purpose] for purpose in PURPOSES} for name in names}


def _by_size(counted: dict[str, Counter[str]]) -> list[str]:
    return sorted(counted, key=lambda name: (-counted[name].total(), name))


def _read_json(path: Path) -> Record:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
