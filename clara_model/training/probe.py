"""Before the first step: into how many micro-batches its work is cut (`micro_batch_size: auto`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from clara_model.training.dataset import Dataset, Row, count_micro_batches, split_batch
from clara_model.training.engine import Ranks
from clara_model.training.micro_batch import (
    available_memory,
    estimate_activations,
    halve_until_it_fits,
    number_that_fits,
)
from clara_model.training.spec import TrainSpec
from clara_model.training.step import (
    MakeBatch,
    accumulates_in_engine,
    agree_on_number,
    forward,
)

if TYPE_CHECKING:
    from clara_model.modeling.clara import Clara

# Bytes per trained number that the first steps add: AdamW's two moments, and gradients summed
# over micro-batches, all float32.
_BYTES_PER_TRAINED = 12


def starting_number(
    model: Clara, spec: TrainSpec, ranks: Ranks, dataset: Dataset, make_batch: MakeBatch
) -> int:
    """The number of micro-batches to begin with; called by all ranks.

    As configured, if it is; else one, if a batch of the longest rows fits. A GPU tries it; on a
    CPU, where the system ends a process that takes too much, it is estimated.
    """
    configured = count_micro_batches(spec)
    if spec.training.micro_batch_size != "auto" or accumulates_in_engine(spec):
        return configured
    rows = dataset.longest_rows(spec.training.batch_size // ranks.count)
    if ranks.device.type == "cuda":
        return probe(model, spec, ranks, rows, make_batch, num_micro=configured)
    batch = make_batch(rows)
    tokens = sum(mask.numel() for name, mask in batch.items() if name.endswith("_mask"))
    text = model.decoder.config.get_text_config()
    needed = estimate_activations(
        tokens,
        text.num_hidden_layers,
        text.hidden_size,
        getattr(text, "intermediate_size", 4 * text.hidden_size),
    )
    return agree_on_number(number_that_fits(needed, available_memory(spec), len(rows)), ranks)


def probe(
    model: Clara,
    spec: TrainSpec,
    ranks: Ranks,
    rows: list[Row],
    make_batch: MakeBatch,
    *,
    num_micro: int,
) -> int:
    """Try a rank's share of a step without any update, halving until it fits.

    Args:
        model: Prepared for its stage, not under ZeRO 3.
        spec: What is trained.
        ranks: This process among the others.
        rows: The rank's rows of that step.
        make_batch: Collates some of them.
        num_micro: Micro-batches to try first.

    Returns:
        Micro-batches that fit on every rank.

    Raises:
        ClaraError: If not even one example fits.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    size = sum(p.numel() for p in trained) * _BYTES_PER_TRAINED

    def attempt(number: int) -> None:
        # What the optimizer will hold is not there before its first update.
        ballast = torch.empty(size, dtype=torch.uint8, device=ranks.device)
        longest = split_batch(rows, number, 0, 1)[-1]
        loss = forward(model, spec, make_batch(longest), ranks).loss
        torch.autograd.grad(loss, trained, allow_unused=True)
        del ballast

    where = f"{spec.stage}, rank {ranks.rank}, trying the longest rows"
    _, number = halve_until_it_fits(attempt, num_micro, len(rows), where=where)
    return agree_on_number(number, ranks)
