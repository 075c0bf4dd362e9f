"""Which pipeline run this is: one name for a workspace and its settings, whoever opens it."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import asdict, dataclass

from configs.schema import PipelineConfig
from tasks.storage import write_text
from tasks.travel.mirror import Mirror, open_mirror
from tasks.workspace import Workspace

# Beside the results of a remote workspace, so that every machine's mirror of it finds the same.
_REMOTE = "tracking/run.json"
_LOCAL = ".run.json"


@dataclass(frozen=True)
class Identity:
    """The pipeline run that a workspace is at.

    Args:
        pipeline_id: Its name everywhere.
        config: Hash of the settings that decide its results.
        opened: When it was first started, in seconds since 1970.
    """

    pipeline_id: str
    config: str
    opened: float


def take_identity(
    config: PipelineConfig, workspace: Workspace, settings: str
) -> tuple[Identity, str | None]:
    """The run of these settings in a workspace: the one that is there, or a new one in its place.

    Args:
        config: The pipeline's.
        workspace: Where it works.
        settings: Hash of the settings that decide results.

    Returns:
        The run, and the name of the one that it takes the place of, or None.
    """
    mirror = open_mirror(config, workspace)
    found = _read(mirror, workspace)
    if found is not None and found.config == settings:
        return found, None
    fresh = Identity(uuid.uuid4().hex, settings, time.time())
    text = json.dumps(asdict(fresh), indent=2) + "\n"
    if mirror is None:
        write_text(workspace.manifests / _LOCAL, text)
    elif found is not None or not mirror.remote.create(_REMOTE, text.encode()):
        if found is None and _read(mirror, workspace) is not None:  # another machine was faster
            return take_identity(config, workspace, settings)
        mirror.remote.write(_REMOTE, text.encode())
    return fresh, found.pipeline_id if found else None


def _read(mirror: Mirror | None, workspace: Workspace) -> Identity | None:
    """None where there is none, or it is damaged."""
    try:
        if mirror is None:
            text = (workspace.manifests / _LOCAL).read_bytes()
        else:
            text = mirror.remote.read(_REMOTE) or b""
        return Identity(**json.loads(text))
    except (FileNotFoundError, ValueError, TypeError):
        return None
