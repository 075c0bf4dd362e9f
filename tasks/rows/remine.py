"""Stage 3's rows once more, after stage 2: the model's own memories find a share of the negatives.

They go to a file of their own: the rows of the `mine` step stay as that step left them.
"""

from __future__ import annotations

import logging

from clara_model.errors import DataError
from clara_model.rows import dump_line
from configs.schema import PipelineConfig
from tasks.llm.meter import Meter
from tasks.manifests import hash_path
from tasks.negatives.blocks import MINING_VERSION, progress_folder
from tasks.negatives.memories import STAGE, remember
from tasks.rows.inputs import read_material
from tasks.rows.questions import Tally, end_to_end_row, is_enough, pool_of, training_picks
from tasks.rows.taught import judging_endpoint
from tasks.storage import Reject, StepResult, atomic_open, hash_json
from tasks.workspace import Workspace

log = logging.getLogger(__name__)

STEP = "remine"


def remine_rows(config: PipelineConfig, workspace: Workspace) -> StepResult:
    """Write the end-to-end rows with the negatives of all strategies, memories among them.

    Questions, ids and golds are those of the `mine` step. Memories and finished blocks of questions
    are on disk: a run that was cut off continues.

    Returns:
        Counts: end_to_end_rows, negatives by strategy, negatives_completed, rows_completed; with a
        judge as those of `mine`, and rejected: questions whose candidates it gave no verdict on.

    Raises:
        CheckpointError: If stage 2 is not trained yet.
        ConfigError: If the judge cannot be asked.
        DataError: If an input is missing or malformed, or no row can be made.
        ServiceError: If the judge refuses for good, or its budget is spent; run again to continue.
    """
    material = read_material(workspace.passages, workspace.synthesis)
    pool, tally = pool_of(material.passages["train"]), Tally()
    unjudged: list[Reject] = []
    judges = judging_endpoint(config)
    meter = Meter(judges, workspace.cache / "spent")
    root = workspace.progress / STEP
    picks = training_picks(
        pool,
        material.questions("train"),
        config,
        workspace,
        progress_folder(root, _fingerprint(config, workspace)),
        lambda: remember(config, workspace, pool.texts),
        rejects=unjudged,
    )
    with atomic_open(workspace.end_to_end_memory) as stream:
        for question, picked in picks:
            if is_enough(question, picked, config, tally):
                stream.write(dump_line(end_to_end_row(pool, question, picked, config)))
                tally.written["stage3"] += 1
        if not tally.written["stage3"]:
            raise DataError(f"{workspace.synthesis}: no question of it became a row; see `mine`")
    progress_folder(root, "none")  # nothing is left to continue
    counts: dict[str, float] = {"end_to_end_rows": tally.written["stage3"], **tally.negatives()}
    if judges:
        counts |= {"rejected": len(unjudged), **meter.counts()}
    log.info("rows: %s", ", ".join(f"{name} {count}" for name, count in counts.items()))
    # The questions that are set aside here were set aside, and told, by `mine`.
    return StepResult(counts, tuple(unjudged))


def _fingerprint(config: PipelineConfig, workspace: Workspace) -> str:
    paths = (workspace.passages, workspace.synthesis, workspace.models / STAGE)
    inputs = [hash_path(path, workspace) for path in paths]
    settings = config.negatives.decisive(config.synthesis)
    return hash_json([MINING_VERSION, inputs, config.seed, settings])
