"""The project's errors: one base, few children, each message naming place and remedy."""

from __future__ import annotations


class ClaraError(Exception):
    """Base of every error that a user can cause and mend; shown without a traceback."""

    exit_code = 1


class ConfigError(ClaraError):
    """A configuration file, key, value or command line is wrong (exit code 2)."""

    exit_code = 2


class DataError(ClaraError):
    """A row, document or file does not have the form that is needed."""


class CheckpointError(ClaraError):
    """A checkpoint is missing, incomplete or belongs to something else."""


class LaunchError(ClaraError):
    """A child process (a training rank, a worker) failed to start or died."""


class ServiceError(ClaraError):
    """A service (LLM endpoint, tracking server) refused or failed.

    Args:
        message: What failed and what to do.
        retryable: Whether the same request may succeed later.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable
