"""The parameters that every flow takes: checked by pydantic, explained in Prefect's form."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, ParamSpec, TypeVar

from prefect import Flow, flow
from pydantic import AfterValidator, Field

from clara_model.errors import ConfigError
from flows.hooks import say_what_next

P = ParamSpec("P")
R = TypeVar("R")

# `section.key=value`, unless the value is a key itself and no reference to one.
_OVERRIDE = r"""^(?!.*api_key['"]?\s*[=:](?!\s*['"]?(\$\{|null|~|$)))[^=\s]+="""

# What the form shows beside each parameter; Prefect reads it from the flow's docstring.
_FORM = """

Args:
    config: Configuration file, by its path on the worker.
    overrides: Values that replace the file's, one a line, as section.key=value. Never a key or a
        password: name a variable as ${NAME}, or a Prefect Secret block as ${secret:NAME}.
    force: Run even if nothing has changed.
    downstream: Afterwards run whatever depends on the result and is out of date.
    out: Page to write; left out, it is written into the workspace.
    only: Only jobs of this name (a pattern with * and ?), and what they need.
"""


def _check_overrides(overrides: Sequence[str]) -> Sequence[str]:
    for number, override in enumerate(overrides, start=1):
        if not re.search(_OVERRIDE, override):
            # Not repeated in the message: it may hold a key. And no ValueError: pydantic would.
            raise ConfigError(
                f"overrides, number {number}: write section.key=value; a key never stands there, "
                "but ${NAME} of a variable or ${secret:NAME} of a Prefect Secret block"
            )
    return overrides


Config = Annotated[str, Field(min_length=1)]
# The pattern stands in the schema, so that a server refuses what it would otherwise store.
Override = Annotated[str, Field(json_schema_extra={"pattern": _OVERRIDE})]
Overrides = Annotated[Sequence[Override], AfterValidator(_check_overrides)]


def pipeline_flow(name: str) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """A Prefect flow as all of ours are: with hooks, and with a form that explains itself."""

    def decorate(function: Callable[P, R]) -> Flow[P, R]:
        title = (function.__doc__ or "").strip()
        function.__doc__ = title + _FORM
        return flow(
            name=name, description=title, persist_result=False,
            on_failure=[say_what_next], on_crashed=[say_what_next],
        )(function)  # fmt: skip

    return decorate
