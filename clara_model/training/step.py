"""One optimizer step: gradients of a rank's micro-batches, then the update."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from clara_model.encoding import IGNORED
from clara_model.errors import ClaraError
from clara_model.training import engine as ds
from clara_model.training.dataset import Row, split_batch
from clara_model.training.engine import Ranks
from clara_model.training.metrics import recall
from clara_model.training.micro_batch import (
    MicroBatches,
    halve_until_it_fits,
    is_out_of_memory,
)
from clara_model.training.spec import TrainSpec

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine

    from clara_model.modeling.clara import Clara, ClaraOutput

Batch = dict[str, Tensor]
MakeBatch = Callable[[list[Row]], Batch]
IsBad = Callable[[float], bool]

# What a rank may ask for; all of them do it after the same step.
REQUESTS = ("stop", "save")
_SUMMED = ("lm_loss", "mse_loss", "tokens", "places", "asked", "recall_at_1", "recall_at_k",
           "finer", *REQUESTS)  # fmt: skip


@dataclass
class StepSums:
    """Numbers of one step, summed over micro-batches and ranks."""

    values: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Add to one of them."""
        self.values[name] = self.values.get(name, 0.0) + value

    def over_ranks(self, ranks: Ranks) -> dict[str, float]:
        """The sums over all ranks."""
        own = torch.tensor([self.values.get(n, 0.0) for n in _SUMMED], dtype=torch.float64)
        total = ds.all_reduce_sum(own.to(ranks.device), ranks)
        return dict(zip(_SUMMED, total.tolist(), strict=True))


@dataclass(frozen=True)
class Run:
    """What all steps of a training run share.

    Args:
        engine: Holds model and optimizer.
        spec: What is trained.
        ranks: This process among the others.
        micro: How finely a step is cut; a step that does not fit makes it finer.
    """

    engine: DeepSpeedEngine
    spec: TrainSpec
    ranks: Ranks
    micro: MicroBatches


@dataclass(frozen=True)
class _Totals:
    """Labelled tokens and documents of a step's whole global batch."""

    tokens: float
    documents: float


def accumulates_in_engine(spec: TrainSpec) -> bool:
    """Whether DeepSpeed itself must see every backward pass: ZeRO 3 gathers weights in it."""
    return spec.zero_stage == 3


def run_step(
    run: Run,
    rows: list[Row],
    make_batch: MakeBatch,
    *,
    step: int,
    seed: int,
    is_bad: IsBad,
    requests: Collection[str] = (),
) -> tuple[float | None, dict[str, float]]:
    """Forward and backward over the rank's micro-batches, then one update.

    Where memory runs out, this rank's work is cut finer and done again from its beginning; the
    other ranks need not know, because they meet after all backward passes only.

    Args:
        run: What is trained.
        rows: The step's, for all ranks together.
        make_batch: Collates some of them.
        step: The step's number, from 0.
        seed: Of its dropout, on this rank.
        is_bad: Whether a step with this loss is left out; asked alike on all ranks.
        requests: Those of `REQUESTS` that this rank has.

    Returns:
        Norm of the gradients (None where the update was left out), and the sums of all ranks.

    Raises:
        ClaraError: If not even one example fits, or memory runs out under ZeRO 3.
    """
    spec, ranks, engine = run.spec, run.ranks, run.engine
    number = run.micro.at(step) or 1
    parts = split_batch(rows, number, ranks.rank, ranks.count)
    batches = [make_batch(part) for part in parts]
    totals = _totals(batches, ranks)
    if accumulates_in_engine(spec):
        torch.manual_seed(seed)
        return _step_in_engine(run, parts, batches, totals, is_bad=is_bad, requests=requests)

    def attempt(number: int) -> tuple[list[Tensor | None], StepSums]:
        own, made = parts, batches
        if number != len(parts):
            own = split_batch([row for part in parts for row in part], number, 0, 1)
            made = [make_batch(part) for part in own]
        torch.manual_seed(seed)
        return _gradients(run, own, made, totals)

    where = f"{spec.stage}, rank {ranks.rank}"
    most = sum(len(part) for part in parts)
    (gradients, sums), needed = halve_until_it_fits(attempt, number, most, where=where)
    sums.add("finer", needed > number)
    sums.values |= dict.fromkeys(requests, 1.0)
    values = sums.over_ranks(ranks)
    loss = _loss_with_gradients(engine.module, gradients)
    engine.backward(_left_out(loss) if is_bad(values["lm_loss"]) else loss)
    norm = ds.update(engine, spec.training.max_grad_norm)
    if values["finer"]:
        run.micro.set(step, agree_on_number(needed, ranks), write=ranks.is_first)
    return norm, values


def agree_on_number(number: int, ranks: Ranks) -> int:
    """The largest number of micro-batches that some rank needs."""
    if ranks.count == 1:
        return number
    value = torch.tensor([number], device=ranks.device)
    torch.distributed.all_reduce(value, op=torch.distributed.ReduceOp.MAX)
    return int(value)


def _gradients(
    run: Run, parts: list[list[Row]], batches: list[Batch], totals: _Totals
) -> tuple[list[Tensor | None], StepSums]:
    """Gradients of the rank's share, summed in float32 where there are several micro-batches.

    Nothing of the engine changes here, nor do ranks wait for each other: an attempt that fails
    leaves no trace.
    """
    engine, spec, ranks = run.engine, run.spec, run.ranks
    trained = [p for p in engine.module.parameters() if p.requires_grad]
    summed: list[Tensor | None] = [None] * len(trained)
    # Half precision would lose small gradients, were the loss not scaled up in between.
    loss_scale = engine.optimizer.loss_scale if spec.precision == "fp16" else 1.0
    sums = StepSums()
    for part, batch in zip(parts, batches, strict=True):
        output = forward(engine.module, spec, batch, ranks)
        loss = _share(output, batch, spec, totals, sums) * ranks.count
        _add_recall(sums, part, output)
        found = torch.autograd.grad(loss * loss_scale, trained, allow_unused=True)
        for i, gradient in enumerate(found):
            if gradient is None:
                continue
            if len(batches) > 1 or loss_scale != 1.0:
                gradient = gradient.float() / loss_scale
            before = summed[i]
            summed[i] = gradient if before is None else before + gradient
    return summed, sums


def _step_in_engine(
    run: Run,
    parts: list[list[Row]],
    batches: list[Batch],
    totals: _Totals,
    *,
    is_bad: IsBad,
    requests: Collection[str],
) -> tuple[float | None, dict[str, float]]:
    """A whole step by DeepSpeed's own accumulation."""
    engine, spec, ranks = run.engine, run.spec, run.ranks
    # It takes the mean over micro-batches and ranks; the shares sum to one instead.
    scale = len(batches) * ranks.count
    sums, norm = StepSums(dict.fromkeys(requests, 1.0)), None
    over_ranks: dict[str, float] = {}
    try:
        for i, (part, batch) in enumerate(zip(parts, batches, strict=True)):
            output = forward(engine, spec, batch, ranks)
            loss = _share(output, batch, spec, totals, sums) * scale
            _add_recall(sums, part, output)
            if i + 1 < len(batches):
                engine.backward(loss)
                engine.step()
                continue
            over_ranks = sums.over_ranks(ranks)
            engine.backward(_left_out(loss) if is_bad(over_ranks["lm_loss"]) else loss)
            norm = ds.update(engine, spec.training.max_grad_norm)
    except RuntimeError as err:
        if not is_out_of_memory(err):
            raise
        most = sum(len(part) for part in parts)
        finer = min(2 * len(parts), most)
        run.micro.set(0, finer, write=True)
        raise ClaraError(
            f"{spec.stage}, rank {ranks.rank}: out of memory with {-(-most // len(parts))} "
            "examples at a time under ZeRO 3, where no rank can repeat a step alone. Started "
            f"again, it continues after its last checkpoint with {-(-most // finer)} at a time; "
            "training.gradient_checkpointing=true takes less memory, too"
        ) from err
    return norm, over_ranks


def _left_out(loss: Tensor) -> Tensor:
    """A loss without an update: no optimizer takes gradients that are not finite."""
    return loss * float("nan")


def forward(
    model: DeepSpeedEngine | Clara, spec: TrainSpec, batch: Batch, ranks: Ranks
) -> ClaraOutput:
    """The model's output for a batch that may lie elsewhere than the model."""
    on_device = {name: tensor.to(ranks.device) for name, tensor in batch.items()}
    output: ClaraOutput = model(stage=spec.stage, **on_device)
    return output


def _share(
    output: ClaraOutput, batch: Batch, spec: TrainSpec, totals: _Totals, sums: StepSums
) -> Tensor:
    """A micro-batch's part of the step's loss.

    The loss of a step is the mean over the tokens (and documents) of its whole global batch,
    however it is cut.
    """
    tokens, documents = count_targets(batch)
    share = tokens / totals.tokens
    loss = output.lm_loss * share
    sums.add("lm_loss", float(output.lm_loss.detach()) * share)
    masks = [mask for name, mask in batch.items() if name.endswith("_mask")]
    sums.add("tokens", sum(int(mask.sum()) for mask in masks))
    sums.add("places", sum(mask.numel() for mask in masks))
    if output.mse_loss is not None and spec.stage != "stage3":
        share = documents / totals.documents
        loss = loss + output.mse_loss * (spec.training.mse_weight * share)
        sums.add("mse_loss", float(output.mse_loss.detach()) * share)
    return loss


def count_targets(batch: Batch) -> tuple[int, int]:
    """Labelled tokens and documents of a batch."""
    return int((batch["labels"][:, 1:] != IGNORED).sum()), len(batch.get("enc_input_ids", ()))


def _totals(batches: list[Batch], ranks: Ranks) -> _Totals:
    own = torch.tensor([count_targets(batch) for batch in batches], dtype=torch.float64).sum(dim=0)
    tokens, documents = ds.all_reduce_sum(own.to(ranks.device), ranks).tolist()
    return _Totals(max(tokens, 1.0), max(documents, 1.0))


class _GivenGradients(torch.autograd.Function):
    """A loss of zero whose gradients were computed before."""

    @staticmethod
    def forward(ctx: Any, gradients: list[Tensor], *parameters: Tensor) -> Tensor:
        ctx.gradients = gradients
        ctx.dtypes = [parameter.dtype for parameter in parameters]
        return parameters[0].new_zeros((), dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> Any:
        gradients = [
            (gradient * scale).to(dtype)
            for gradient, dtype in zip(ctx.gradients, ctx.dtypes, strict=True)
        ]
        return None, *gradients


def _loss_with_gradients(model: Clara, gradients: list[Tensor | None]) -> Tensor:
    """A loss through which DeepSpeed's backward pass receives (and scales) given gradients."""
    trained = [p for p in model.parameters() if p.requires_grad]
    pairs = [(g, p) for g, p in zip(gradients, trained, strict=True) if g is not None]
    loss: Tensor = _GivenGradients.apply([g for g, _ in pairs], *(p for _, p in pairs))
    return loss


def _add_recall(sums: StepSums, rows: list[Row], output: ClaraOutput) -> None:
    """Recall of the candidates chosen in stage 3, over rows that say which are gold."""
    if output.topk_index is None:
        return
    for row, chosen in zip(rows, output.topk_index.tolist(), strict=True):
        if row["pos_index"]:
            sums.add("asked", 1)
            sums.add("recall_at_1", recall(chosen[:1], row["pos_index"]))
            sums.add("recall_at_k", recall(chosen, row["pos_index"]))
