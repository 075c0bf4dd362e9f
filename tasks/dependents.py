"""Which steps of a plan depend on which."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from tasks.manifests import Step


def dependents(plan: Mapping[str, Step], names: Collection[str]) -> list[str]:
    """Steps that read, at any remove, what some steps write; in the plan's order, without these."""
    written = [path for name in names for path in plan[name].outputs]
    found = []
    for name, step in plan.items():
        if name in names:
            continue
        if any(_overlap(read, path) for read in step.inputs for path in written):
            found.append(name)
            written += step.outputs
    return found


def _overlap(one: Path, other: Path) -> bool:
    """Whether two paths are the same, or one is a folder around the other."""
    return one.is_relative_to(other) or other.is_relative_to(one)
