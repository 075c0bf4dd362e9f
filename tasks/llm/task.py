"""What the Prefect tasks that ask an endpoint share: when to try again, and where keys lie."""

from __future__ import annotations

from typing import Any

from prefect.blocks.system import Secret
from prefect.client.schemas.objects import State, TaskRun

from clara_model.errors import ConfigError, ServiceError
from configs.secrets import read_blocks_by


def is_worth_retrying(task: Any, task_run: TaskRun, state: State[Any]) -> bool:
    """Only a service that may answer later; a wrong key or a bad row stays wrong."""
    failure = state.result(raise_on_failure=False)
    return isinstance(failure, ServiceError) and failure.retryable


def read_secret_block(name: str) -> str:
    """The value of a Prefect Secret block, for a key written as `${secret:NAME}`.

    Raises:
        ConfigError: If the server has no such block.
    """
    try:
        # An event loop may be running; outside of one nothing else would be called either.
        block: Secret[str] = Secret.load(name, _sync=True)  # type: ignore[call-arg, assignment]
    except ValueError as err:
        raise ConfigError(
            f"${{secret:{name}}}: Prefect has no Secret block '{name}'; make it on the page under "
            'Blocks, or with `python -c "from prefect.blocks.system import Secret; '
            f"Secret(value=input()).save('{name}')\"`"
        ) from err
    return str(block.get())


# Wherever a task runs that asks an endpoint, on a worker too, this module has been imported.
read_blocks_by(read_secret_block)
