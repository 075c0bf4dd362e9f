"""Variants of a sweep: workspaces of their own that share what is made before any stage trains."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clara_model.errors import ConfigError
from configs.schema import PipelineConfig
from tasks.plan import SHARED_STEPS, build_plan
from tasks.tracking import tracking_uri
from tasks.workspace import Workspace


@dataclass(frozen=True)
class Variant:
    """One value of a sweep.

    Args:
        value: What the key becomes.
        label: Name of the variant and of its folder, such as `compr_rate=16`.
        workspace: An ordinary workspace, its shared part being links.
        overrides: What turns the sweep's configuration into the variant's.
    """

    value: Any
    label: str
    workspace: Workspace
    overrides: tuple[str, ...]


def list_variants(config: PipelineConfig, workspace: Workspace) -> list[Variant]:
    """The variants in the order of the sweep's values.

    Raises:
        ConfigError: If there is no sweep, or its key changes a step that the variants share.
    """
    if config.sweep is None:
        raise ConfigError("the configuration has no sweep: give it `sweep` with key and values")
    uri = tracking_uri(config, workspace)
    variants = []
    for value in config.sweep.values:
        _require_shared(config, value, workspace)
        label = config.sweep.label(value)
        own = Workspace(workspace.root / "variants" / label)
        changed = {
            config.sweep.key: value,
            "sweep.values": [value],
            "workspace": str(own.root),
            "tracking.uri": uri,
        }
        if config.remote:
            changed["remote"] = f"{config.remote}/variants/{label}"
        overrides = tuple(f"{key}={json.dumps(text)}" for key, text in changed.items())
        variants.append(Variant(value, label, own, overrides))
    return variants


def link_shared(config: PipelineConfig, workspace: Workspace, variant: Variant) -> None:
    """Give a variant what the sweep has made: files and manifests of the shared steps, as links.

    They follow the originals, so a variant sees at once when documents or rows have changed.
    """
    for original, link in _shared_paths(config, workspace, variant.workspace):
        if original.exists():
            _link(original, link)


def forget_results(variant: Variant) -> None:
    """Have every model step of a variant run again, from its beginning."""
    shutil.rmtree(variant.workspace.progress, ignore_errors=True)
    for path in variant.workspace.manifests.glob("[!.]*.json"):
        if path.stem not in SHARED_STEPS:
            path.unlink()


def _shared_paths(
    config: PipelineConfig, shared: Workspace, own: Workspace
) -> Iterator[tuple[Path, Path]]:
    ours, theirs = build_plan(config, shared), build_plan(config, own)
    for name in SHARED_STEPS:
        yield from zip(ours[name].outputs, theirs[name].outputs, strict=True)
        yield shared.manifests / f"{name}.json", own.manifests / f"{name}.json"
    yield shared.logs / "base", own.logs / "base"


def _link(original: Path, link: Path) -> None:
    target = Path(os.path.relpath(original.resolve(), link.parent.resolve()))
    if link.is_symlink() and link.readlink() == target:
        return
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)
    else:
        link.unlink(missing_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(target, target_is_directory=original.is_dir())
    except OSError:  # a mounted drive may know no links
        if original.is_dir():
            shutil.copytree(original, link)
        else:
            shutil.copy2(original, link)


def _require_shared(config: PipelineConfig, value: Any, workspace: Workspace) -> None:
    """Refuse a value that would need other rows or another base than the sweep makes."""
    assert config.sweep is not None
    ours, theirs = build_plan(config, workspace), build_plan(config.variant(value), workspace)
    for name in SHARED_STEPS:
        if ours[name].settings != theirs[name].settings:
            raise ConfigError(
                f"sweep.key {config.sweep.key} changes the step '{name}', which a sweep runs once "
                "for all values; sweep over another key, or run one configuration for each value "
                "with a workspace of its own"
            )
