"""One rank of a training run: `python -m clara_model.training.worker SPEC.json`.

Needs RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT in the environment, as torchrun
sets them.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from contextlib import nullcontext
from pathlib import Path

from clara_model.errors import ClaraError
from clara_model.training.process import (
    STOPPED,
    Stopped,
    StopRequest,
    alone_in,
    end_with_starter,
)
from clara_model.training.spec import TrainSpec

log = logging.getLogger("clara_model.training")


def main(arguments: list[str]) -> int:
    """Train what the spec says; returns the exit code: 0 done, 1 failed, 75 stopped."""
    started = time.monotonic()
    rank = int(os.environ["RANK"])
    logging.basicConfig(
        level=logging.INFO if rank == 0 else logging.WARNING,
        format=f"%(asctime)s %(levelname)s [rank {rank}] %(name)s: %(message)s",
    )
    spec = TrainSpec.model_validate_json(Path(arguments[0]).read_text(encoding="utf-8"))
    error_path = spec.error_path(rank)
    error_path.unlink(missing_ok=True)
    stop = StopRequest()
    try:
        stop.listen()
        end_with_starter()
        _train(spec, stop, started)
    except Stopped as err:
        spec.stopped_path.write_text(f"{err}\n", encoding="utf-8")
        log.info("stopped %s", err)
        return STOPPED
    except ClaraError as err:
        error_path.write_text(f"{err}\n", encoding="utf-8")
        log.error("%s", err)
        return 1
    except Exception:
        # Whoever started this reads it there; the log ends with the launcher's own words.
        error_path.write_text(traceback.format_exc(), encoding="utf-8")
        log.exception("failed")
        return 1
    return 0


def _train(spec: TrainSpec, stop: StopRequest, started: float) -> None:
    import torch

    from clara_model.training.engine import barrier, start_ranks
    from clara_model.training.trainer import Trainer

    if spec.threads:
        torch.set_num_threads(spec.threads)
    ranks = start_ranks(spec.precision)
    with alone_in(spec.work) if ranks.is_first else nullcontext():
        barrier(ranks)
        trainer = Trainer(spec, ranks, stop)
        log.info("ready after %.1f s", time.monotonic() - started)
        trainer.train()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    code = main(sys.argv[1:])
    logging.shutdown()
    sys.stdout.flush()
    # Not by way of the interpreter's end: there a rank may wait for one that is gone.
    os._exit(code)
