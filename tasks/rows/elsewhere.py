"""Blocks of questions mined by whoever does shards, over passages that each worker reads once."""

from __future__ import annotations

import logging
from functools import lru_cache, partial
from pathlib import Path

from configs.schema import PipelineConfig
from tasks.negatives.blocks import Block, MineBlock, MineElsewhere, mine_block
from tasks.negatives.miner import active_shares, block_miner
from tasks.rows.inputs import STEP, Side, read_material
from tasks.rows.questions import pool_of
from tasks.sharding.shards import FanOut
from tasks.workspace import Workspace

log = logging.getLogger(__name__)


def mine_elsewhere(
    config: PipelineConfig, workspace: Workspace, stamp: str, fan_out: FanOut | None, *sides: Side
) -> MineElsewhere | None:
    """What has blocks mined by a task runner; None where this process mines them.

    Args:
        config: The pipeline's.
        workspace: Where passages and synthesis lie.
        stamp: Of everything that decides which negatives are found.
        fan_out: The runner, if there is one.
        sides: Whose passages are the pool, in its order.
    """
    if fan_out is None:
        return None
    if config.negatives.llm_check or "dense" in active_shares(config, with_memory=False):
        log.info("%s: in this process alone: embeddings and verdicts are kept in one place", STEP)
        return None
    root = workspace.root.absolute()
    work = partial(_mine, config=config.model_dump_json(), root=root, stamp=stamp, sides=sides)
    return lambda blocks: fan_out.run(STEP, work, blocks)


def _mine(block: Block, *, config: str, root: Path, stamp: str, sides: tuple[Side, ...]) -> int:
    """In a worker: one block."""
    return mine_block(block, _open_miner(config, root, stamp, sides))


@lru_cache(maxsize=1)
def _open_miner(config: str, root: Path, stamp: str, sides: tuple[Side, ...]) -> MineBlock:
    del stamp  # other files under the same names are read anew
    workspace = Workspace(root)
    passages = read_material(workspace.passages, workspace.synthesis).passages
    pool = pool_of(*(passages[side] for side in sides))
    return block_miner(pool, PipelineConfig.model_validate_json(config), workspace)
