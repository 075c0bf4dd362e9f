"""What the Prefect tasks that ask an endpoint share: when a failure is worth another try."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State, TaskRun

from clara_model.errors import ServiceError


def is_worth_retrying(task: Any, task_run: TaskRun, state: State[Any]) -> bool:
    """Only a service that may answer later; a wrong key or a bad row stays wrong."""
    failure = state.result(raise_on_failure=False)
    return isinstance(failure, ServiceError) and failure.retryable
