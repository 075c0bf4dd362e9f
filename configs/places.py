"""A workspace given as a URI: where its files are at home, and the local folder to work in."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://")


def default_cache() -> Path:
    """CLARA_CACHE, or a folder of the user's cache."""
    return Path(os.environ.get("CLARA_CACHE") or Path.home() / ".cache" / "clara")


def place_workspace(tree: Any) -> Any:
    """Turn a `workspace` that is a URI into `remote` (the URI) and a local folder that mirrors it.

    A file:// URI is a folder like any other.

    Raises:
        ValueError: If the address holds a password; it is not repeated.
    """
    if not isinstance(tree, dict) or not isinstance(tree.get("workspace"), str):
        return tree
    uri: str = tree["workspace"]
    if not _SCHEME.match(uri):
        return tree
    if uri.startswith("file://"):
        return tree | {"workspace": unquote(urlparse(uri).path)}
    if urlparse(uri).password is not None:
        raise ValueError(
            "workspace: the address holds a password; give credentials by the environment of the "
            "store's own tools (docs/workspaces.md)"
        )
    uri = uri.rstrip("/")
    execution = tree.get("execution")
    cache = execution.get("cache") if isinstance(execution, dict) else None
    folder = Path(cache).expanduser() if cache else default_cache()
    name = re.sub(r"[^\w.-]+", "-", uri.rpartition("/")[2])
    name += "-" + hashlib.sha256(uri.encode()).hexdigest()[:10]
    return tree | {"workspace": str(folder / "workspaces" / name), "remote": uri}
