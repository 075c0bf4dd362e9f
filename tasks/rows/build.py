"""The `mine` step: from passages and synthesis to the rows that training and evaluation read.

Rows are written as they are made: of a large corpus only the passages, their terms and the
questions are in memory.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO

from clara_model.errors import DataError
from clara_model.rows import dump_line
from configs.schema import PipelineConfig
from tasks.llm.meter import Meter
from tasks.manifests import hash_path
from tasks.negatives.blocks import (
    MINING_VERSION,
    MineElsewhere,
    mine_in_blocks,
    progress_folder,
)
from tasks.negatives.mine import Picked
from tasks.negatives.miner import block_miner
from tasks.negatives.pool import PassagePool
from tasks.rows.audit import audit_split
from tasks.rows.elsewhere import mine_elsewhere
from tasks.rows.inputs import STEP, Material, Question, read_material
from tasks.rows.questions import (
    Tally,
    as_asked,
    end_to_end_row,
    is_enough,
    pool_of,
    training_picks,
)
from tasks.rows.records import candidate_row, pretrain_rows, question_row
from tasks.rows.taught import asked_endpoints, keep_unreadable, taught
from tasks.rows.world_rows import write_world
from tasks.sharding.shards import FanOut
from tasks.storage import Record, StepResult, atomic_open, hash_json, write_jsonl
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

# Rows that the teacher answers at a time: they are in memory as long.
_TAUGHT_AT_ONCE = 4096


def mine_rows(
    config: PipelineConfig, workspace: Workspace, fan_out: FanOut | None = None
) -> StepResult:
    """Find hard negatives and write the rows of the three stages and of the benchmark.

    Training rows hold passages of the training side only. The benchmark's questions are those of
    held-out sources; their candidates come from all passages: in `oracle.jsonl` the gold ones and
    their hardest negatives, shuffled; in `normal.jsonl` what BM25 finds, best first, so that
    `pos_index` may be empty; unanswerable ones stand apart in `unanswerable.jsonl`. A corpus too
    small for N candidates gives rows of fewer; a question with fewer than
    `model.generation_top_k` candidates is set aside. The teacher's answer of an instruction row is
    the gold answer, unless `synthesis.teacher` asks a model. With a world share, the generated
    world's rows are written beside, in the same formats.

    Negatives are on disk by blocks of questions: a run that was cut off mines the others only.

    Returns:
        Counts: pretrain_rows, instruction_rows, end_to_end_rows, benchmark_rows, world_rows,
        negatives by strategy, negatives_completed and rows_completed (drawn at random because the
        strategies found too few), rejected; with a teacher or a judge: requests, prompt_tokens,
        completion_tokens, and cost_usd where prices are known.

    Raises:
        DataError: If an input is missing or malformed, no training row can be made, or the written
            rows fail the split audit.
    """
    material = read_material(workspace.passages, workspace.synthesis)
    _check_material(material, config, workspace)
    asked = asked_endpoints(config)
    meter = Meter(asked, workspace.cache / "spent")
    pretrain = write_jsonl(workspace.pretrain_data, pretrain_rows(material.entries["train"]))
    stamp = _fingerprint(config, workspace)
    blocks = progress_folder(workspace.progress / STEP, stamp)
    elsewhere = partial(mine_elsewhere, config, workspace, stamp, fan_out)
    train = _write_training(material, config, workspace, blocks, elsewhere("train"))
    held_out = _write_benchmark(
        material, config, workspace, blocks, elsewhere("benchmark", "train")
    )
    write_all_rows(workspace)
    set_aside = material.rejects
    del material  # the audit reads everything once more, and compares it
    world_rows = write_world(config, workspace) if config.training.world.share > 0 else 0
    audit_split(workspace)
    progress_folder(workspace.progress / STEP, "none")  # nothing is left to continue

    rejects = (*set_aside, *train.rejects, *held_out.rejects)
    both = Tally(
        found_by=train.found_by + held_out.found_by,
        rows_completed=train.rows_completed + held_out.rows_completed,
    )
    counts: dict[str, float] = {
        "pretrain_rows": pretrain,
        "instruction_rows": train.written["stage2"],
        "end_to_end_rows": train.written["stage3"],
        "benchmark_rows": held_out.written["benchmark"],
        "world_rows": world_rows,
        **both.negatives(),
        "rejected": len(rejects),
        **(meter.counts() if asked else {}),
    }
    if held_out.written["unanswerable"]:
        counts["benchmark_unanswerable_rows"] = held_out.written["unanswerable"]
    log.info("rows: %s", ", ".join(f"{name} {count}" for name, count in counts.items()))
    return StepResult(counts, rejects)


def write_all_rows(workspace: Workspace) -> None:
    """The rows of the three stages in one file, each with its stage."""
    staged = {
        "stage1": workspace.pretrain_data,
        "stage2": workspace.instruction_data,
        "stage3": workspace.end_to_end_data,
    }
    with atomic_open(workspace.all_training_data) as out:
        for stage, path in staged.items():
            head = dump_line({"stage": stage}).rstrip("}\n")
            with path.open(encoding="utf-8") as lines:
                for line in lines:  # each an object with an id at least
                    out.write(f"{head}, {line.removeprefix('{')}")


def _write_training(
    material: Material,
    config: PipelineConfig,
    workspace: Workspace,
    blocks: Path,
    elsewhere: MineElsewhere | None,
) -> Tally:
    pool, tally = pool_of(material.passages["train"]), Tally()
    asked = material.questions("train")
    picks = training_picks(
        pool, asked, config, workspace, blocks / "train",
        elsewhere=elsewhere, rejects=tally.rejects,
    )  # fmt: skip
    with (
        atomic_open(workspace.instruction_data) as stage2,
        atomic_open(workspace.end_to_end_data) as stage3,
    ):
        unreadable: list[Record] = []
        usable = (pair for pair in picks if is_enough(*pair, config, tally))
        while part := list(islice(usable, _TAUGHT_AT_ONCE)):
            instruction = []
            for question, picked in part:
                instruction.append(_instruction_row(pool, question, picked, config))
                _write(stage3, end_to_end_row(pool, question, picked, config), "stage3", tally)
            for row in taught(instruction, config, workspace, tally, unreadable):
                _write(stage2, row, "stage2", tally)
        if config.synthesis.teacher:
            keep_unreadable(workspace, unreadable)
        # Checked before the files appear under their names.
        _check_rows(tally, material, config, workspace)
    return tally


def _write_benchmark(
    material: Material,
    config: PipelineConfig,
    workspace: Workspace,
    blocks: Path,
    elsewhere: MineElsewhere | None,
) -> Tally:
    tally, questions = Tally(), material.questions("benchmark")
    pool = pool_of(material.passages["benchmark"], material.passages["train"] if questions else ())
    asked = [as_asked(pool, question, config.seed, "benchmark") for question in questions]
    picks = mine_in_blocks(
        blocks / "benchmark",
        "negatives, benchmark",
        asked,
        lambda: block_miner(pool, config, workspace, rejects=tally.rejects),
        elsewhere,
    )
    names = ["oracle", "normal"]
    if not all(question.is_answerable for question in questions):
        names.append("unanswerable")
    else:
        (workspace.benchmark / "unanswerable.jsonl").unlink(missing_ok=True)
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(atomic_open(workspace.benchmark / f"{name}.jsonl"))
            for name in names
        }
        for question, own, picked in zip(questions, asked, picks, strict=True):
            if not is_enough(question, picked, config, tally):
                continue
            row = question_row(pool, question, picked, "benchmark", f"{own.seed}/benchmark")
            if not question.is_answerable:
                _write(files["unanswerable"], row, "unanswerable", tally)
                continue
            _write(files["oracle"], row, "benchmark", tally)
            hits = pool.index.search(question.question, config.negatives.num_candidates)
            found = [hit.position for hit in hits]
            row = candidate_row(pool, question, found, ["bm25"] * len(found), "benchmark")
            _write(files["normal"], row, "normal", tally)
    if not tally.written["benchmark"]:
        log.warning(
            "no benchmark rows: no held-out question; "
            "raise synthesis.benchmark_share or add documents"
        )
    return tally


def _instruction_row(
    pool: PassagePool, question: Question, picked: Picked, config: PipelineConfig
) -> Record:
    """A row of stage 2: the passages asked about and the hardest negatives, k in all."""
    negatives = config.model.generation_top_k - len(question.passages)
    hardest = Picked(picked.positions[:negatives], picked.found_by[:negatives])
    seed = f"{as_asked(pool, question, config.seed, 'train').seed}/stage2"
    row = question_row(pool, question, hardest, "stage2", seed)
    return {**row, "answer": question.answer}


def _write(stream: IO[str], row: Record, count: str, tally: Tally) -> None:
    stream.write(dump_line(row))
    tally.written[count] += 1


def _fingerprint(config: PipelineConfig, workspace: Workspace) -> str:
    """Of everything that decides which negatives are found."""
    settings = config.negatives.decisive(config.synthesis)
    inputs = [hash_path(path, workspace) for path in (workspace.passages, workspace.synthesis)]
    return hash_json([MINING_VERSION, inputs, config.seed, settings])


def _check_material(material: Material, config: PipelineConfig, workspace: Workspace) -> None:
    if not material.passages["train"]:
        raise DataError(
            f"{workspace.passages}: no training passages; add documents under "
            f"{config.extraction.input}, or lower synthesis.benchmark_share"
        )
    if not any(entry.questions for entry in material.entries["train"]):
        raise DataError(
            f"{workspace.synthesis}: no question about a training passage; see "
            f"{workspace.rejected} for the reasons, then run `clara synthesize --force`"
        )


def _check_rows(
    train: Tally, material: Material, config: PipelineConfig, workspace: Workspace
) -> None:
    # The generated world alone can train stages 2 and 3 only if nothing else is asked for.
    if train.written["stage3"] or config.training.world.share == 1.0:
        return
    k = config.model.generation_top_k
    raise DataError(
        f"{workspace.passages}: its {len(material.passages['train'])} training passages are too "
        f"few: no question finds model.generation_top_k = {k} candidates; add documents, or set a "
        "lower model.generation_top_k"
    )
