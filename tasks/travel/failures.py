"""How a step's last try ended, beside a remote workspace's files, so that all machines see it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from clara_model.errors import ServiceError
from tasks.housekeeping.step_state import StepState, read_step_state
from tasks.leases import Hold
from tasks.travel.mirror import Mirror

log = logging.getLogger(__name__)

_FOLDER = "failures"


@contextmanager
def telling_failure(mirror: Mirror, step: str, hold: Hold) -> Iterator[None]:
    """Send what is noted of a step that fails, or is stopped, in the block.

    A store that does not take it changes nothing about the failure, and a step that has become
    another worker's is theirs to tell of.
    """
    try:
        yield
    except BaseException:
        state = read_step_state(mirror.workspace, step)
        if state is not None and not hold.lost_to:
            try:
                text = state.model_dump_json(indent=2) + "\n"
                mirror.remote.write(f"{_FOLDER}/{step}.json", text.encode())
            except ServiceError as err:
                log.warning("%s: other machines do not see how it ended: %s", step, err)
        raise


def forget_failure(mirror: Mirror, step: str) -> None:
    """Of a step that has ended well."""
    mirror.remote.remove(f"{_FOLDER}/{step}.json")


def read_failures(mirror: Mirror, steps: Collection[str]) -> dict[str, StepState]:
    """Steps whose last try, on whichever machine, ended badly."""
    there = mirror.remote.list_files(_FOLDER)
    found = {}
    for step in steps:
        name = f"{_FOLDER}/{step}.json"
        content = mirror.remote.read(name) if name in there else None
        if content is not None:
            try:
                found[step] = StepState.model_validate_json(content)
            except ValidationError as err:
                log.warning("%s/%s is damaged: %s", mirror.remote.uri, name, err)
    return found
