"""Loading a configuration: YAML, overrides, validation, and errors that name file, line and key."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from clara_model.errors import ConfigError
from configs.machine import machine_settings
from configs.schema import PipelineConfig

DEFAULT_CONFIG = Path("configs/quickstart.yaml")

Schema = TypeVar("Schema", bound=BaseModel)


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Read a pipeline's YAML file, apply `section.key=value` overrides, and validate the whole.

    Args:
        path: The YAML file.
        overrides: Values that replace the file's, each "dotted.key=value"; the value is YAML. Those
            of CLARA_MACHINE_SETTINGS come before them.

    Raises:
        ConfigError: If file, key or value is wrong; the message names file, line, key and remedy.
    """
    return load_settings(path, [*machine_settings(), *overrides], PipelineConfig)


def load_settings(path: Path | str, overrides: Sequence[str], schema: type[Schema]) -> Schema:
    """The same for any schema."""
    path = Path(path)
    tree, lines = _read_yaml(path)
    for override in overrides:
        _apply_override(tree, override)
    try:
        return schema.model_validate(tree)
    except ValidationError as err:
        raise ConfigError(_describe(err, path, lines, overrides, schema)) from err


def _read_yaml(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The file as a tree, and the line (from 1) of every dotted key."""
    if not path.is_file():
        known = ", ".join(sorted(str(p) for p in DEFAULT_CONFIG.parent.glob("*.yaml")))
        raise ConfigError(f"{path}: no such configuration file; there are: {known or 'none here'}")
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        tree = yaml.safe_load(text)
    except UnicodeDecodeError as err:
        raise ConfigError(f"{path}: not UTF-8 text; is it a configuration file?") from err
    except yaml.MarkedYAMLError as err:
        line = err.problem_mark.line + 1 if err.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not valid YAML: {err.problem}") from err
    if tree is None:
        return {}, {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}:1: expected `key: value` lines at the top level")
    lines: dict[str, int] = {}
    _collect_lines(node, "", lines)
    return tree, lines


def _collect_lines(node: yaml.Node | None, prefix: str, lines: dict[str, int]) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        dotted = f"{prefix}{key.value}"
        lines[dotted] = key.start_mark.line + 1
        _collect_lines(value, f"{dotted}.", lines)


def _apply_override(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: write it as section.key=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as err:
        raise ConfigError(f"--set {override}: the value is not valid YAML") from err
    *sections, last = key.split(".")
    branch = tree
    for section in sections:
        inner = branch.get(section)
        if inner is not None and not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: '{section}' is a value, not a section")
        # A copy: a YAML anchor makes several sections one object, and only this one is meant.
        own = dict(inner or {})
        branch[section] = own
        branch = own
    branch[last] = value


def _describe(
    err: ValidationError,
    path: Path,
    lines: dict[str, int],
    overrides: Sequence[str],
    schema: type[BaseModel],
) -> str:
    """One line a mistake: place, key, what is wrong, what to do."""
    return "\n".join(_describe_one(error, path, lines, overrides, schema) for error in err.errors())


def _describe_one(
    error: Any, path: Path, lines: dict[str, int], overrides: Sequence[str], schema: type[BaseModel]
) -> str:
    location = tuple(str(part) for part in error["loc"])
    key = ".".join(location)
    if any(o.split("=")[0] == key for o in overrides):
        place = f"--set {key}"
    else:
        known = next(
            (
                ".".join(location[:n])
                for n in range(len(location), 0, -1)
                if ".".join(location[:n]) in lines
            ),
            None,
        )
        place = f"{path}:{lines[known]}" if known else str(path)
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"{place}: unknown key '{key}'{_suggest(location, schema)}"
    return f"{place}: {key or 'configuration'}: {message}"


def _suggest(location: tuple[str, ...], model: type[BaseModel]) -> str:
    """Keys near the misspelt one, in the section where it stands."""
    for section in location[:-1]:
        if section not in model.model_fields:
            continue  # a name that the user chose, in a mapping of names to sections
        annotation = model.model_fields[section].annotation
        # An optional section is a union of its class and None.
        inner = [
            kind
            for kind in (annotation, *get_args(annotation))
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        ]
        if not inner:
            return ""
        model = inner[0]
    near = difflib.get_close_matches(location[-1], model.model_fields, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; known here: {', '.join(model.model_fields)}"
