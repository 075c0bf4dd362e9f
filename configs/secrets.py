"""Secrets by reference: a configuration says `${NAME}`, and the value is looked up when it is used.

`${NAME}` is an environment variable, or a line of the file `.env` in the current folder.
`${secret:NAME}` is a Prefect Secret block; who knows Prefect says how those are read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from dotenv import dotenv_values, load_dotenv

from clara_model.errors import ConfigError

ENV_FILE = Path(".env")
# Names of Prefect blocks are lowercase letters, digits and dashes.
REFERENCE = re.compile(r"\$\{(?:([A-Za-z_][A-Za-z0-9_]*)|secret:([a-z0-9-]+))\}")

_sources: dict[str, Callable[[str], str]] = {}


def load_environment() -> None:
    """Put the lines of `.env` into the environment; what is set there already wins."""
    load_dotenv(ENV_FILE, override=False)


def read_blocks_by(reader: Callable[[str], str]) -> None:
    """Say how `${secret:NAME}` is read: a function from the block's name to its value."""
    _sources["secret"] = reader


def read_secret(reference: str) -> str:
    """The value behind `${NAME}` or `${secret:NAME}`; do not keep it longer than needed.

    Raises:
        ConfigError: If there is none; names the reference, never a value.
    """
    found = REFERENCE.fullmatch(reference)
    if found is None:
        # Not repeated in the message: it may be a real key.
        raise ConfigError("a secret is written ${NAME} or ${secret:NAME}")
    variable, block = found.groups()
    if variable is None:
        return _read_block(block)
    value = os.environ.get(variable) or dotenv_values(ENV_FILE).get(variable)
    if not value:
        raise ConfigError(
            f"environment variable {variable} is not set: `export {variable}=...`, or a line "
            f"{variable}=... in {ENV_FILE}"
        )
    return value


def _read_block(name: str) -> str:
    if "secret" not in _sources:
        raise ConfigError(
            f"${{secret:{name}}} is a Prefect block, which only flows read; use an environment "
            "variable here"
        )
    return _sources["secret"](name)
