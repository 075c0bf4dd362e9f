"""Sending a step's results: aside, checked, then renamed, and the manifest last of all.

Once everything is there, a commit record says which names it will get. Whoever finds one finishes
it, so that a cut leaves the old results whole or the new ones, never a mixture that stays.
"""

from __future__ import annotations

import json
import logging
import uuid
from pathlib import Path
from typing import Any

from clara_model.errors import ServiceError
from tasks.travel.remote import Remote

log = logging.getLogger(__name__)

STAGING = ".uploading"
_COMMIT = "COMMIT.json"
_DEPTH = 2  # of .uploading/step/id


def upload_step(
    remote: Remote, step: str, root: Path, manifest: dict[str, Any], before: dict[str, Any]
) -> None:
    """Send what is new of a step's files, and its manifest.

    Args:
        remote: Where to.
        step: Name of the step.
        root: Folder that the names are relative to.
        manifest: As the remote workspace shall have it; "files" says what belongs to the step.
        before: The "files" of the manifest that is there now.

    Raises:
        ServiceError: If something does not arrive as it was sent; the former results stay.
    """
    remote.remove_folder(f"{STAGING}/{step}")  # of an earlier try; the lease is ours
    aside = f"{STAGING}/{step}/{uuid.uuid4().hex}"
    files = manifest["files"]
    new = [name for name, entry in files.items() if before.get(name) != entry]
    for name in new:
        remote.upload(root / name, f"{aside}/{name}", files[name]["sha256"])
    record = {
        "step": step,
        "moved": new,
        "removed": sorted(before.keys() - files.keys()),
        "manifest": manifest,
    }
    remote.write(f"{aside}/{_COMMIT}", _to_json(record))
    _finish(remote, aside, record)


def finish_uploads(remote: Remote) -> None:
    """Finish what was cut off after everything had arrived."""
    for name in remote.list_files(STAGING):
        aside, _, last = name.rpartition("/")
        # A file of that name deeper inside is a result.
        if last == _COMMIT and aside.count("/") == _DEPTH:
            content = remote.read(name)
            if content is not None:
                log.info("finishing the upload %s", aside)
                _finish(remote, aside, json.loads(content))


def _finish(remote: Remote, aside: str, record: dict[str, Any]) -> None:
    for name in record["moved"]:
        remote.move(f"{aside}/{name}", name)
    sizes = {n: entry["size"] for n, entry in record["manifest"]["files"].items()}
    there = _sizes(remote, record["moved"])
    wrong = [name for name in record["moved"] if there.get(name) != sizes[name]]
    if wrong:
        raise ServiceError(f"{remote.uri}/{wrong[0]} was not renamed; start again", retryable=True)
    remote.write(f"manifests/{record['step']}.json", _to_json(record["manifest"]))
    for name in record["removed"]:
        remote.remove(name)
    remote.remove_folder(aside)


def _sizes(remote: Remote, names: list[str]) -> dict[str, int]:
    """Sizes of some files, by listing the folders that hold them."""
    found: dict[str, int] = {}
    for top in {name.partition("/")[0] for name in names}:
        found |= remote.list_files(top)
    return found


def _to_json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()
