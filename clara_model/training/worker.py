"""One rank of a training run: `python -m clara_model.training.worker SPEC.json`.

Needs RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT in the environment, as torchrun
sets them.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from pathlib import Path

from clara_model.errors import ClaraError
from clara_model.training.spec import TrainSpec

log = logging.getLogger("clara_model.training")

# Set by whoever starts this process with a pipe as its standard input, which nothing is ever
# written to: it closes when the starter is gone, even after `kill -9`.
LIFELINE = "CLARA_LIFELINE"


def main(arguments: list[str]) -> int:
    """Train what the spec says; returns the exit code."""
    started = time.monotonic()
    if os.environ.get(LIFELINE):
        threading.Thread(target=_end_with_parent, daemon=True).start()
    rank = int(os.environ["RANK"])
    logging.basicConfig(
        level=logging.INFO if rank == 0 else logging.WARNING,
        format=f"%(asctime)s %(levelname)s [rank {rank}] %(name)s: %(message)s",
    )
    spec = TrainSpec.model_validate_json(Path(arguments[0]).read_text(encoding="utf-8"))
    error_path = spec.error_path(rank)
    error_path.unlink(missing_ok=True)
    try:
        _train(spec, started)
    except ClaraError as err:
        error_path.write_text(f"{err}\n", encoding="utf-8")
        log.error("%s", err)
        return 1
    except Exception:
        # Whoever started this reads it there; the log ends with the launcher's own words.
        error_path.write_text(traceback.format_exc(), encoding="utf-8")
        raise
    return 0


def _train(spec: TrainSpec, started: float) -> None:
    import torch

    from clara_model.training.engine import start_ranks
    from clara_model.training.trainer import Trainer

    if spec.threads:
        torch.set_num_threads(spec.threads)
    trainer = Trainer(spec, start_ranks(spec.precision))
    log.info("ready after %.1f s", time.monotonic() - started)
    trainer.train()
    torch.distributed.destroy_process_group()


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
