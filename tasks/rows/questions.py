"""Questions and their negatives: what the rows of training and benchmark have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from configs.schema import PipelineConfig
from tasks.negatives.blocks import MineElsewhere, mine_in_blocks
from tasks.negatives.mine import COMPLETION, Asked, Picked
from tasks.negatives.miner import Represented, block_miner
from tasks.negatives.pool import PassagePool
from tasks.rows.inputs import STEP, Passage, Question
from tasks.rows.records import question_row
from tasks.storage import Record, Reject
from tasks.workspace import Workspace


@dataclass
class Tally:
    """What happened to the questions of a side."""

    written: Counter[str] = field(default_factory=Counter)
    found_by: Counter[str] = field(default_factory=Counter)
    rows_completed: int = 0
    rejects: list[Reject] = field(default_factory=list)

    def negatives(self) -> dict[str, int]:
        """Negatives by strategy, and those drawn because the strategies found too few."""
        named = sorted(set(self.found_by) - {COMPLETION})
        return {
            **{f"negatives_{name}": self.found_by[name] for name in named},
            "negatives_completed": self.found_by[COMPLETION],
            "rows_completed": self.rows_completed,
        }


def training_picks(
    pool: PassagePool,
    questions: Sequence[Question],
    config: PipelineConfig,
    workspace: Workspace,
    folder: Path,
    remember: Callable[[], Represented] | None = None,
    elsewhere: MineElsewhere | None = None,
    rejects: list[Reject] | None = None,
) -> Iterator[tuple[Question, Picked]]:
    """Every training question with its negatives, which are mined where they are not on disk.

    `remember`, called if anything is to be mined, gives the model's memories of the pool;
    `elsewhere` mines in place of this process; `rejects` takes up what the judge says nothing to.
    """
    asked = [as_asked(pool, question, config.seed, "train") for question in questions]
    picks = mine_in_blocks(
        folder,
        "negatives, training",
        asked,
        lambda: block_miner(pool, config, workspace, remember() if remember else None, rejects),
        elsewhere,
    )
    return zip(questions, picks, strict=True)


def as_asked(pool: PassagePool, question: Question, seed: int, side: str) -> Asked:
    """A question as mining sees it."""
    return Asked(
        question.question,
        question.answer if question.is_answerable else None,
        tuple(pool.position(passage.id) for passage in question.passages),
        # One seed a question: more documents leave the draws of the others as they were.
        f"{seed}/{side}/{question.passages[0].id}/{question.question}",
    )


def pool_of(*sides: Sequence[Passage]) -> PassagePool:
    """The passages of some sides as one pool."""
    return PassagePool((p.id, p.text, p.source) for side in sides for p in side)


def is_enough(question: Question, picked: Picked, config: PipelineConfig, tally: Tally) -> bool:
    """Count what was picked, or set the question aside if it does not fit k documents."""
    k, golds = config.model.generation_top_k, len(question.passages)
    candidates = golds + len(picked.positions)
    if golds > k:
        reason = f"{golds} passages answer it together, more than model.generation_top_k {k}"
    elif candidates < k:
        reason = (
            f"{candidates} candidates, fewer than model.generation_top_k {k}: "
            "too few passages that do not hold the answer"
        )
    else:
        tally.found_by.update(picked.found_by)
        tally.rows_completed += picked.completed > 0
        return True
    item = f"{question.passages[0].id}: {question.question}"
    tally.rejects.append(Reject(STEP, item, reason))
    return False


def end_to_end_row(
    pool: PassagePool, question: Question, picked: Picked, config: PipelineConfig
) -> Record:
    """A row of stage 3."""
    seed = f"{as_asked(pool, question, config.seed, 'train').seed}/stage3"
    return question_row(pool, question, picked, "stage3", seed)
