"""Loss, answers and recall on held-out rows between training steps."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clara_model.evaluation.metrics import score
from clara_model.memory import MemoryStore
from clara_model.training import engine as ds
from clara_model.training.dataset import Row, split_batch
from clara_model.training.heldout import is_question
from clara_model.training.metrics import Line, recall
from clara_model.training.micro_batch import halve_until_it_fits
from clara_model.training.spec import TrainSpec
from clara_model.training.step import MakeBatch, Run, accumulates_in_engine, count_targets, forward

if TYPE_CHECKING:
    from clara_model.modeling.clara import Clara

log = logging.getLogger(__name__)

Sums = dict[str, float]
Work = Callable[[list[Row], Sums], None]  # of some rows, adding to the sums

_SUMMED = ("lm_loss", "tokens", "mse_loss", "documents", "asked", "recall_at_1", "recall_at_k",
           "answered", "em", "f1")  # fmt: skip
_MARGIN_TOKENS = 8  # of an answer beyond the longest right one
_MOST_TOKENS = 128


@torch.no_grad()
def evaluate(
    run: Run, rows: list[Row], make_batch: MakeBatch, *, memory: MemoryStore | None, size: int
) -> Line:
    """Scores of the model as it is, in eval mode; nothing of it changes. Called by all ranks.

    Args:
        run: What is trained.
        rows: The held-out ones; ranks share them.
        make_batch: Collates some of them.
        memory: Stage 3's, if it has one.
        size: Rows at a time.

    Returns:
        `eval_loss` and, as far as the rows allow, `eval_em`, `eval_f1`, `eval_recall_at_1` and
        `eval_recall_at_k`. The loss is the mean over all labelled tokens (and documents). Answers
        are not generated under ZeRO 3.

    Raises:
        ClaraError: If not even one row fits in memory.
    """
    sums: Sums = defaultdict(float)
    ranks = run.ranks
    with run.engine.module.evaluating():
        if accumulates_in_engine(run.spec):
            # There all ranks compute together; whole copies of few rows leave the means alone.
            shared = rows * -(-ranks.count // len(rows))
            number = min(-(-len(shared) // (size * ranks.count)), len(shared) // ranks.count)
            for part in split_batch(shared, number, ranks.rank, ranks.count):
                _add_losses(run, make_batch, part, sums)
        elif own := split_batch(rows, 1, ranks.rank, ranks.count)[0]:
            longest = _longest_answer(run.engine.module, rows, run.spec)

            def losses(part: list[Row], sums: Sums) -> None:
                _add_losses(run, make_batch, part, sums)

            def answers(part: list[Row], sums: Sums) -> None:
                _add_scores(run, part, memory, longest, sums)

            for work, name in ((losses, "losses"), (answers, "answers")):
                where = f"{run.spec.stage}, rank {ranks.rank}, held-out {name}"
                _do_in_parts(work, own, size, sums, where)
    values = torch.tensor([sums[name] for name in _SUMMED], dtype=torch.float64)
    total = ds.all_reduce_sum(values.to(ranks.device), ranks).tolist()
    return _means(dict(zip(_SUMMED, total, strict=True)), run.spec)


def describe(scores: Line) -> str:
    """An evaluation in words."""
    return ", ".join(f"{name.removeprefix('eval_')} {value:.3f}" for name, value in scores.items())


def _do_in_parts(work: Work, rows: list[Row], size: int, sums: Sums, where: str) -> None:
    """Work on a rank's rows, fewer at a time where memory does not suffice."""

    def attempt(number: int) -> Sums:
        own: Sums = defaultdict(float)
        for part in split_batch(rows, number, 0, 1):
            work(part, own)
        return own

    found, _ = halve_until_it_fits(attempt, -(-len(rows) // size), len(rows), where=where)
    for name, value in found.items():
        sums[name] += value


def _add_losses(run: Run, make_batch: MakeBatch, rows: list[Row], sums: Sums) -> None:
    batch = make_batch(rows)
    model = run.engine if accumulates_in_engine(run.spec) else run.engine.module
    output = forward(model, run.spec, batch, run.ranks)
    tokens, documents = count_targets(batch)
    sums["lm_loss"] += float(output.lm_loss) * tokens
    sums["tokens"] += tokens
    if output.mse_loss is not None:
        sums["mse_loss"] += float(output.mse_loss) * documents
        sums["documents"] += documents
    if output.topk_index is None:
        return
    for row, chosen in zip(rows, output.topk_index.tolist(), strict=True):
        if row["pos_index"]:
            sums["asked"] += 1
            sums["recall_at_1"] += recall(chosen[:1], row["pos_index"])
            sums["recall_at_k"] += recall(chosen, row["pos_index"])


def _add_scores(
    run: Run, rows: list[Row], memory: MemoryStore | None, longest: int, sums: Sums
) -> None:
    """Generate answers and compare them with the right ones."""
    model: Clara = run.engine.module
    by_count: dict[int, list[Row]] = defaultdict(list)
    for row in filter(is_question, rows):
        by_count[len(row["docs"])].append(row)
    for alike in by_count.values():
        found = _read_memory(model, alike, memory)  # (B, N, n, H)
        questions, golds = zip(*(_question(row, run.spec) for row in alike), strict=True)
        if run.spec.stage == "stage1":
            answers = model.answer_stage1(list(questions), found, longest, len(alike))
        else:
            if run.spec.stage == "stage3":
                index = model.rank_memory(model.represent_queries(list(questions)), list(found))
                found = torch.stack([m[i] for m, i in zip(found, index, strict=True)])
            answers = model.generate_from_memory(list(questions), found, longest, len(alike))
        for answer, gold in zip(answers, golds, strict=True):
            sums["answered"] += 1
            sums["em"] += score("open.em", answer, [gold])
            sums["f1"] += score("open.f1", answer, [gold])


def _read_memory(model: Clara, rows: list[Row], memory: MemoryStore | None) -> Tensor:
    if memory is not None:
        found = torch.stack([memory.lookup(row["docs"]) for row in rows])
        return found.to(model.device)
    texts = [text for row in rows for text in row["docs"]]
    compressed = model.compress_documents(texts, batch_size=len(rows))
    return compressed.unflatten(0, (len(rows), -1))


def _question(row: Row, spec: TrainSpec) -> tuple[str, str]:
    """What is asked, and the right answer; in stage 1 the first of the row's questions."""
    if spec.stage == "stage1":
        return row["question"][0], row["answers"][0]
    return row["question"], row["gold_answer"]


def _longest_answer(model: Clara, rows: list[Row], spec: TrainSpec) -> int:
    """Tokens after which an answer to any of the rows is cut off."""
    golds = [_question(row, spec)[1] for row in rows if is_question(row)]
    lengths = [len(model.tokenizer.encode(gold, add_special_tokens=False)) for gold in golds]
    return min(max(lengths, default=0) + _MARGIN_TOKENS, _MOST_TOKENS)


def _means(total: Sums, spec: TrainSpec) -> Line:
    line: Line = {"eval_loss": total["lm_loss"] / total["tokens"]}
    if total["documents"] and spec.stage != "stage3":
        line["eval_loss"] += spec.training.mse_weight * total["mse_loss"] / total["documents"]
    for count, names in (("answered", ("em", "f1")), ("asked", ("recall_at_1", "recall_at_k"))):
        if total[count]:
            line |= {f"eval_{name}": total[name] / total[count] for name in names}
    return line
