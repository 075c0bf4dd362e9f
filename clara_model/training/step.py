"""One optimizer step: forward and backward over a rank's micro-batches, then the update."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clara_model.encoding import IGNORED
from clara_model.training import engine as ds
from clara_model.training.dataset import Row
from clara_model.training.engine import Ranks
from clara_model.training.metrics import recall
from clara_model.training.spec import TrainSpec

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine

    from clara_model.modeling.clara import ClaraOutput

_SUMMED = ("lm_loss", "mse_loss", "tokens", "asked", "recall_at_1", "recall_at_k")


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


def run_step(
    engine: DeepSpeedEngine,
    spec: TrainSpec,
    ranks: Ranks,
    parts: list[list[Row]],
    batches: list[dict[str, Tensor]],
) -> tuple[float | None, StepSums]:
    """Forward and backward over the rank's micro-batches, then one update.

    Args:
        engine: Holds model and optimizer.
        spec: What is trained.
        ranks: This process among the others.
        parts: The rank's micro-batches of rows.
        batches: The same, collated.

    Returns:
        Norm of the gradients (None where the update was left out), and the sums of this rank.
    """
    token_weights, document_weights = _weights(batches, ranks)
    # DeepSpeed takes the mean over micro-batches and ranks; the weights sum to one instead.
    scale = len(batches) * ranks.count
    sums, norm = StepSums(), None
    for i, (part, batch) in enumerate(zip(parts, batches, strict=True)):
        on_device = {name: tensor.to(ranks.device) for name, tensor in batch.items()}
        output: ClaraOutput = engine(stage=spec.stage, **on_device)
        loss = output.lm_loss * (token_weights[i] * scale)
        if output.mse_loss is not None and spec.stage != "stage3":
            weight = spec.training.mse_weight * document_weights[i] * scale
            loss = loss + output.mse_loss * weight
            sums.add("mse_loss", float(output.mse_loss.detach()) * document_weights[i])
        sums.add("lm_loss", float(output.lm_loss.detach()) * token_weights[i])
        sums.add("tokens", sum(int(m.sum()) for n, m in batch.items() if n.endswith("_mask")))
        _add_recall(sums, part, output)
        engine.backward(loss)
        if i + 1 < len(batches):
            engine.step()
        else:
            norm = ds.update(engine, spec.training.max_grad_norm)
    return norm, sums


def _weights(batches: list[dict[str, Tensor]], ranks: Ranks) -> tuple[list[float], list[float]]:
    """Each micro-batch's share of the step's labelled tokens, and of its documents.

    With them a step's loss is the mean over the whole global batch, however it is cut.
    """
    tokens = [int((batch["labels"][:, 1:] != IGNORED).sum()) for batch in batches]
    documents = [len(batch.get("enc_input_ids", ())) for batch in batches]
    own = torch.tensor([sum(tokens), sum(documents)], dtype=torch.float64)
    total = ds.all_reduce_sum(own.to(ranks.device), ranks).tolist()
    shares = (
        [count / max(all_of_them, 1.0) for count in counts]
        for counts, all_of_them in zip((tokens, documents), total, strict=True)
    )
    return next(shares), next(shares)


def _add_recall(sums: StepSums, rows: list[Row], output: ClaraOutput) -> None:
    """Recall of the candidates chosen in stage 3, over rows that say which are gold."""
    if output.topk_index is None:
        return
    for row, chosen in zip(rows, output.topk_index.tolist(), strict=True):
        if row["pos_index"]:
            sums.add("asked", 1)
            sums.add("recall_at_1", recall(chosen[:1], row["pos_index"]))
            sums.add("recall_at_k", recall(chosen, row["pos_index"]))
