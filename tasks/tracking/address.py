"""Where MLflow is, and whether anybody listens there."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from configs.schema import PipelineConfig
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

URI_VARIABLE = "CLARA_TRACKING_URI"

_SQLITE = "sqlite:///"
_CONNECT_S = 3.0
# MLflow's own patience is minutes; here what fails lies in the spool and is sent later.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}


def tracking_uri(config: PipelineConfig, workspace: Workspace) -> str:
    """The configured MLflow address with its references to secrets as they are written.

    Where none is configured, that of the variable CLARA_TRACKING_URI, or SQLite in the workspace.
    """
    if has_own_database(config):
        return f"sqlite:///{workspace.root.resolve()}/mlflow.db"
    return config.tracking.uri or os.environ[URI_VARIABLE]


def has_own_database(config: PipelineConfig) -> bool:
    """Whether runs are recorded in the workspace itself."""
    return config.tracking.uri is None and not os.environ.get(URI_VARIABLE)


def resolved_uri(config: PipelineConfig, workspace: Workspace) -> str:
    """The same with its references replaced: for clients, not to be stored or shown.

    Raises:
        ConfigError: If a variable or Secret block that it names is not there.
    """
    return config.tracking.resolved_uri() or tracking_uri(config, workspace)


def place_uri(config: PipelineConfig, workspace: Workspace, path: Path) -> str:
    """Where a file or folder is at home, for links: a remote workspace's own address, or file://."""
    path, root = path.resolve(), workspace.root.resolve()
    if config.remote is not None and path.is_relative_to(root):
        return f"{config.remote}/{path.relative_to(root).as_posix()}".removesuffix("/.")
    return path.as_uri()


def is_remote(uri: str) -> bool:
    """Whether a server is meant, which may be down, and not a database of ours."""
    return uri.startswith(("http://", "https://"))


def require_listener(uri: str) -> None:
    """Find out soon whether a server can be reached at all.

    Raises:
        OSError: If nothing accepts a connection within seconds.
    """
    if not is_remote(uri):
        return
    parts = urlsplit(uri)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    with socket.create_connection((parts.hostname or "", port), timeout=_CONNECT_S):
        pass


def open_client(uri: str) -> MlflowClient:
    """A client that gives up soon; makes the database where it is a new SQLite file."""
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    _make_database(uri)
    return MlflowClient(uri)


def _make_database(uri: str) -> None:
    """Make a new SQLite file aside: MLflow refuses for ever one that was cut off half made."""
    path = Path(uri.removeprefix(_SQLITE))
    if not uri.startswith(_SQLITE) or "?" in uri or path.name == ":memory:" or path.exists():
        return
    from mlflow import MlflowClient

    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.new")
    try:
        # It takes seconds, and a process that is killed meanwhile leaves nothing in the workspace.
        with tempfile.TemporaryDirectory(prefix="clara-mlflow-") as folder:
            made = Path(folder) / path.name
            MlflowClient(f"{_SQLITE}{made}").search_experiments(max_results=1)
            shutil.copyfile(made, fresh)
        _put_in_place(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def _put_in_place(fresh: Path, path: Path) -> None:
    """Give a file its name, unless another process was faster."""
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        if not path.exists():
            os.replace(fresh, path)
