"""The `mine` step: from passages and synthesis to the rows that training and evaluation read."""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from clara_model.errors import DataError
from configs.schema import PipelineConfig
from tasks.negatives.mine import Arranged, PassagePool, Picked, arrange, mine_negatives
from tasks.progress import progress
from tasks.rows.audit import audit_split
from tasks.rows.inputs import STEP, Entry, Kind, Material, Pair, read_material
from tasks.rows.world_rows import write_world
from tasks.storage import Record, Reject, StepResult, write_jsonl
from tasks.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass
class _QuestionRows:
    """Rows of the training questions, and what happened on the way."""

    instruction: list[Record] = field(default_factory=list)
    end_to_end: list[Record] = field(default_factory=list)
    oracle: list[Record] = field(default_factory=list)
    normal: list[Record] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    completed: int = 0


def mine_rows(config: PipelineConfig, workspace: Workspace) -> StepResult:
    """Find hard negatives and write the rows of the three stages and of the benchmark.

    Training rows hold passages of the training side only. The benchmark's questions are those of
    held-out sources; their candidates come from all passages: in `oracle.jsonl` the gold one and
    its hardest negatives, shuffled; in `normal.jsonl` what BM25 finds, best first, so that
    `pos_index` may be empty. A corpus too small for N candidates gives rows of fewer; a question
    with fewer than `model.generation_top_k` candidates is set aside. The teacher's answer of an
    instruction row is the gold answer. With a world share, the generated world's rows are written
    beside, in the same formats.

    Returns:
        Counts: pretrain_rows, instruction_rows, end_to_end_rows, benchmark_rows, world_rows,
        negatives_completed (drawn at random because BM25 found too few), rejected.

    Raises:
        DataError: If an input is missing or malformed, no training row can be made, or the written
            rows fail the split audit.
    """
    material = read_material(workspace.passages, workspace.synthesis)
    _check_material(material, config, workspace)
    pretrain = list(_pretrain_rows(material.entries["train"]))
    train = _train_questions(material, config)
    held_out = _benchmark_questions(material, config)
    _check_rows(train, material, config, workspace)
    if not held_out.oracle:
        log.warning(
            "no benchmark rows: no held-out question; "
            "raise synthesis.benchmark_share or add documents"
        )

    write_jsonl(workspace.pretrain_data, pretrain)
    write_jsonl(workspace.instruction_data, train.instruction)
    write_jsonl(workspace.end_to_end_data, train.end_to_end)
    staged = {"stage1": pretrain, "stage2": train.instruction, "stage3": train.end_to_end}
    write_jsonl(workspace.all_training_data, _with_stage(staged))
    write_jsonl(workspace.benchmark / "oracle.jsonl", held_out.oracle)
    write_jsonl(workspace.benchmark / "normal.jsonl", held_out.normal)
    world_rows = write_world(config, workspace) if config.training.world.share > 0 else 0
    audit_split(workspace)

    rejects = (*material.rejects, *train.rejects, *held_out.rejects)
    counts = {
        "pretrain_rows": len(pretrain),
        "instruction_rows": len(train.instruction),
        "end_to_end_rows": len(train.end_to_end),
        "benchmark_rows": len(held_out.oracle),
        "world_rows": world_rows,
        "negatives_completed": train.completed + held_out.completed,
        "rejected": len(rejects),
    }
    log.info("rows: %s", ", ".join(f"{name} {count}" for name, count in counts.items()))
    return StepResult(dict(counts), rejects)


def row_id(*parts: str) -> str:
    """A name that the same content always gets: 16 hexadecimal digits."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def _pretrain_rows(entries: Iterable[Entry]) -> Iterator[Record]:
    """Per passage one row of all its questions, and one of its paraphrase."""
    for entry in entries:
        passage = entry.passage
        if entry.pairs:
            kinds = [kind for kind, _ in entry.pairs]
            yield {
                "id": row_id("qa", passage.id),
                "origin": "documents",
                "data_type": "qa",
                "question": [pair.question for _, pair in entry.pairs],
                "answers": [pair.answer for _, pair in entry.pairs],
                "docs": [passage.text],
                **_provenance(entry, kinds[0] if len(set(kinds)) == 1 else "mixed"),
                "kinds": kinds,
            }
        if entry.paraphrase:
            yield {
                "id": row_id("paraphrase", passage.id),
                "origin": "documents",
                "data_type": "paraphrase",
                "question": [""],
                "answers": [entry.paraphrase],
                "docs": [passage.text],
                **_provenance(entry, "paraphrase"),
            }


def _train_questions(material: Material, config: PipelineConfig) -> _QuestionRows:
    pool = PassagePool((p.id, p.text) for p in material.passages["train"])
    rows = _QuestionRows()
    k = config.model.generation_top_k
    for entry, kind, pair in _questions(material.entries["train"], "negatives, training"):
        gold = pool.position(entry.passage.id)
        rng = _generator(config, "train", entry, pair)
        picked = _mine(pool, pair, gold, config, rng)
        if not _enough(picked, entry, pair, config, rows):
            continue
        for stage, negatives in (
            ("stage2", picked.positions[: k - 1]),
            ("stage3", picked.positions),
        ):
            shown = arrange([gold], negatives, rng)
            row = _question_row(pool, shown, entry, kind, pair, stage)
            if stage == "stage2":
                rows.instruction.append({**row, "answer": pair.answer})
            else:
                rows.end_to_end.append(row)
    return rows


def _benchmark_questions(material: Material, config: PipelineConfig) -> _QuestionRows:
    sides = (*material.passages["benchmark"], *material.passages["train"])
    pool = PassagePool((p.id, p.text) for p in sides)
    rows = _QuestionRows()
    for entry, kind, pair in _questions(material.entries["benchmark"], "negatives, benchmark"):
        gold = pool.position(entry.passage.id)
        rng = _generator(config, "benchmark", entry, pair)
        picked = _mine(pool, pair, gold, config, rng)
        if not _enough(picked, entry, pair, config, rows):
            continue
        shown = arrange([gold], picked.positions, rng)
        rows.oracle.append(_question_row(pool, shown, entry, kind, pair, "benchmark"))
        hits = pool.index.search(pair.question, config.negatives.num_candidates)
        found = tuple(hit.position for hit in hits)
        shown = Arranged(found, tuple(i for i, p in enumerate(found) if p == gold))
        rows.normal.append(_question_row(pool, shown, entry, kind, pair, "benchmark"))
    return rows


def _questions(entries: list[Entry], title: str) -> Iterator[tuple[Entry, Kind, Pair]]:
    """Every question of one side, with a progress display under the title."""
    with progress(title, sum(len(entry.pairs) for entry in entries)) as advance:
        for entry in entries:
            for kind, pair in entry.pairs:
                yield entry, kind, pair
                advance()


def _mine(
    pool: PassagePool, pair: Pair, gold: int, config: PipelineConfig, rng: random.Random
) -> Picked:
    return mine_negatives(
        pool,
        pair.question,
        pair.answer,
        [gold],
        count=config.negatives.num_candidates - 1,
        near_duplicate=config.negatives.near_duplicate,
        rng=rng,
    )


def _enough(
    picked: Picked, entry: Entry, pair: Pair, config: PipelineConfig, rows: _QuestionRows
) -> bool:
    """Count what was picked, or set the question aside if it has fewer than k candidates."""
    k = config.model.generation_top_k
    if len(picked.positions) + 1 >= k:
        rows.completed += picked.completed
        return True
    reason = (
        f"{len(picked.positions) + 1} candidates, fewer than model.generation_top_k {k}: "
        "too few passages that do not hold the answer"
    )
    rows.rejects.append(Reject(STEP, f"{entry.passage.id}: {pair.question}", reason))
    return False


def _question_row(
    pool: PassagePool, shown: Arranged, entry: Entry, kind: Kind, pair: Pair, purpose: str
) -> Record:
    return {
        "id": row_id(purpose, entry.passage.id, pair.question),
        "origin": "documents",
        "question": pair.question,
        "docs": [pool.texts[p] for p in shown.positions],
        "gold_answer": pair.answer,
        "pos_index": list(shown.pos_index),
        **_provenance(entry, kind),
        "doc_ids": [pool.ids[p] for p in shown.positions],
    }


def _provenance(entry: Entry, kind: str) -> dict[str, Any]:
    passage = entry.passage
    return {
        "passage_id": passage.id,
        "source": passage.source,
        "language": passage.language,
        "kind": kind,
        **entry.made_by,
    }


def _generator(config: PipelineConfig, side: str, entry: Entry, pair: Pair) -> random.Random:
    # One generator a question: more documents leave the shuffles of the others as they were.
    return random.Random(f"{config.seed}/{side}/{entry.passage.id}/{pair.question}")


def _with_stage(staged: dict[str, list[Record]]) -> Iterator[Record]:
    for stage, rows in staged.items():
        for row in rows:
            yield {"stage": stage, **row}


def _check_material(material: Material, config: PipelineConfig, workspace: Workspace) -> None:
    if not material.passages["train"]:
        raise DataError(
            f"{workspace.passages}: no training passages; add documents under "
            f"{config.extraction.input}, or lower synthesis.benchmark_share"
        )
    if not any(entry.pairs for entry in material.entries["train"]):
        raise DataError(
            f"{workspace.synthesis}: no question about a training passage; see "
            f"{workspace.rejected} for the reasons, then run `clara synthesize --force`"
        )


def _check_rows(
    train: _QuestionRows, material: Material, config: PipelineConfig, workspace: Workspace
) -> None:
    # The generated world alone can train stages 2 and 3 only if nothing else is asked for.
    if train.end_to_end or config.training.world.share == 1.0:
        return
    k = config.model.generation_top_k
    raise DataError(
        f"{workspace.passages}: its {len(material.passages['train'])} training passages are too "
        f"few: no question finds model.generation_top_k = {k} candidates; add documents, or set a "
        "lower model.generation_top_k"
    )
