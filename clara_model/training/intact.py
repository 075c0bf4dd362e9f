"""Whether a checkpoint's files are what was written: digests beside them. Free of torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

DIGESTS = "digests.json"


def write_digests(folder: Path) -> None:
    """Leave the SHA-256 of every file of a folder in it."""
    digests = {
        path.relative_to(folder).as_posix(): _digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    (folder / DIGESTS).write_text(json.dumps(digests, indent=2) + "\n", encoding="utf-8")


def find_damage(folder: Path) -> str | None:
    """What is wrong with a folder's files, in words; None if nothing is, or has no digests."""
    try:
        digests = json.loads((folder / DIGESTS).read_text(encoding="utf-8"))
        for name, digest in digests.items():
            if not (folder / name).is_file():
                return f"{name} is gone"
            if _digest(folder / name) != digest:
                return f"{name} is not what was written"
    except FileNotFoundError:
        return None
    except (ValueError, AttributeError):
        return f"{DIGESTS} cannot be read"
    except OSError as err:
        return f"{err.filename} cannot be read ({err.strerror})"
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
