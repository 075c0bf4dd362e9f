"""One rank of a training run, the second of which runs out of memory: SPEC.json ROWS."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from clara_model.training.engine import start_ranks
from clara_model.training.spec import TrainSpec
from clara_model.training.trainer import Trainer


def main(path: str, rows: str) -> None:
    spec = TrainSpec.model_validate_json(Path(path).read_text(encoding="utf-8"))
    ranks = start_ranks(spec.precision)
    trainer = Trainer(spec, ranks)

    def fail_on_more(layer: object, inputs: object, output: object) -> None:
        hidden = output if isinstance(output, torch.Tensor) else output[0]  # type: ignore[index]
        if ranks.rank == 1 and len(hidden) > int(rows):
            raise torch.OutOfMemoryError("CUDA out of memory")

    trainer.model.decoder.base_model.layers[0].register_forward_hook(fail_on_more)
    trainer.train()


if __name__ == "__main__":
    main(*sys.argv[1:])
