"""From the configuration to what mines a block of questions: strategies, shares, limits, judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from clara_model.nearest import NearestSearch, Vectors
from configs.schema import PipelineConfig
from tasks.negatives.blocks import MineBlock
from tasks.negatives.embeddings import embed_texts, open_cache
from tasks.negatives.judge import check_block, judge_section, judge_settings
from tasks.negatives.mine import Asked, Limits, Picked, mine_negatives, share_out
from tasks.negatives.pool import PassagePool
from tasks.negatives.strategies import Strategy, by_vectors, by_words
from tasks.storage import Reject
from tasks.workspace import Workspace

# Vectors of a pool's passages, and what brings questions among them.
Represented = tuple[Vectors, Callable[[list[str]], np.ndarray]]


def block_miner(
    pool: PassagePool,
    config: PipelineConfig,
    workspace: Workspace,
    memories: Represented | None = None,
    rejects: list[Reject] | None = None,
) -> MineBlock:
    """What mines one block of questions over a pool, as the configuration says.

    Args:
        pool: The passages to choose from.
        config: Shares, limits, embeddings and judge.
        workspace: Where embeddings and verdicts are kept.
        memories: The model's own; without them the share of `memory` goes to the other strategies.
        rejects: Takes up the questions whose candidates the judge gave no verdict on.
    """
    settings = config.negatives
    shares = active_shares(config, with_memory=memories is not None)
    strategies: dict[str, Strategy] = {}
    if "bm25" in shares:
        strategies["bm25"] = by_words(pool)
    for name, (vectors, represent) in _represented(shares, pool, config, workspace, memories):
        search = NearestSearch(vectors, settings.exact_search_up_to)
        strategies[name] = by_vectors(search, represent, settings.num_candidates)
    limits = Limits(settings.near_duplicate, settings.max_relative_score)

    def mine(block: Sequence[Asked], barred: Sequence[set[int]]) -> list[Picked]:
        rankings = {name: iter(rank(block)) for name, rank in strategies.items()}
        return [
            mine_negatives(
                pool,
                asked,
                {name: next(found) for name, found in rankings.items()},
                share_out(max(settings.num_candidates - len(asked.golds), 0), shares),
                limits,
                known,
            )
            for asked, known in zip(block, barred, strict=True)
        ]

    if not settings.llm_check:
        return lambda block: mine(block, [set() for _ in block])
    judge = judge_settings(config)
    unjudged = [] if rejects is None else rejects

    def mine_and_check(block: Sequence[Asked]) -> list[Picked]:
        return check_block(
            pool,
            block,
            mine(block, [set() for _ in block]),
            lambda numbers, barred: mine([block[i] for i in numbers], barred),
            judge,
            workspace,
            judge_section(config),
            unjudged,
        )

    return mine_and_check


def active_shares(config: PipelineConfig, *, with_memory: bool) -> dict[str, float]:
    """The shares that count now: before stage 2 there are no memories, and BM25 stands in."""
    shares: dict[str, float] = config.negatives.strategies.model_dump()
    if not with_memory:
        del shares["memory"]
    shares = {name: share for name, share in shares.items() if share > 0}
    return shares or {"bm25": 1.0}


def _represented(
    shares: dict[str, float],
    pool: PassagePool,
    config: PipelineConfig,
    workspace: Workspace,
    memories: Represented | None,
) -> list[tuple[str, Represented]]:
    found: list[tuple[str, Represented]] = []
    if "dense" in shares:
        dense = config.negatives.dense
        cache = open_cache(dense, workspace.cache / "embeddings")
        passages = embed_texts(pool.texts, dense, cache, prefix=dense.passage_prefix)

        def represent(questions: list[str]) -> np.ndarray:
            vectors = embed_texts(questions, dense, cache, prefix=dense.query_prefix)
            return vectors.take(np.arange(len(questions)))

        found.append(("dense", (passages, represent)))
    if "memory" in shares and memories is not None:
        found.append(("memory", memories))
    return found
