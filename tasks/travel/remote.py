"""A place on an object store, through fsspec: whole files only, checked on the way in and out."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clara_model.errors import ConfigError, DataError, ServiceError
from tasks.storage import hash_file

_PACKAGES = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gs"), "gcs": ("gcsfs", "gs")}
_CHUNK = 8 << 20
# Their exclusive creation is one: of two writers, one succeeds.
_ATOMIC = {"s3", "s3a", "gs", "gcs"}


class Remote:
    """Files under a URI such as s3://bucket/folder; names are relative, with slashes.

    Raises:
        ConfigError: If the package for such URIs is not installed.
        ServiceError: If the store refuses or does not answer.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        protocol = self.uri.partition("://")[0]
        self.is_atomic = protocol in _ATOMIC
        with self._named("opening it"):
            self._fs, self._root = _open(self.uri, protocol)

    def path(self, name: str) -> str:
        """A name as the store knows it."""
        return f"{self._root}/{name}"

    def list_files(self, folder: str) -> dict[str, int]:
        """Names of all files below a folder, and their sizes."""
        with self._named(folder):
            try:
                self._fs.invalidate_cache()
                found = self._fs.find(self.path(folder), detail=True)
            except FileNotFoundError:
                return {}
        start = len(self._root) + 1
        return {name[start:]: int(info["size"]) for name, info in found.items()}

    def read(self, name: str) -> bytes | None:
        """A small file's content, or None."""
        with self._named(name):
            try:
                return bytes(self._fs.cat_file(self.path(name)))
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Write a small file at once."""
        with self._named(name):
            self._make_room(name)
            self._fs.pipe_file(self.path(name), content)

    def create(self, name: str, content: bytes) -> bool:
        """Write a small file that is not there yet; false if it is."""
        with self._named(name):
            try:
                self._make_room(name)
                self._fs.pipe_file(self.path(name), content, mode="create")
            except FileExistsError:
                return False
            except OSError as err:
                # S3 tells by its own words that somebody was faster, or is at it now.
                if "PreconditionFailed" in str(err) or "Conditional" in str(err) or (
                    "pre-conditions" in str(err)
                ):  # fmt: skip
                    return False
                raise
        return True

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with self._named(name):
            try:
                self._fs.rm_file(self.path(name))
            except FileNotFoundError:
                return

    def remove_folder(self, name: str) -> None:
        """Remove everything below a folder."""
        for file in self.list_files(name):
            self.remove(file)

    def upload(self, source: Path, name: str, sha256: str) -> None:
        """Send a file, and check size and content of what has arrived.

        Raises:
            ServiceError: If it is not what was sent.
        """
        with self._named(name):
            self._make_room(name)
            self._fs.put_file(str(source), self.path(name))
            self._fs.invalidate_cache()
            info = self._fs.info(self.path(name))
            size = source.stat().st_size
            if int(info["size"]) != size or not self._has_content(info, source, name, sha256):
                raise ServiceError(
                    f"{self.uri}/{name}: what arrived is not what was sent ({info['size']} of "
                    f"{size} bytes); start again",
                    retryable=True,
                )

    def move(self, source: str, target: str) -> None:
        """Rename a file, in place of what bears the new name; one that is moved already is left."""
        with self._named(target):
            self._make_room(target)
            try:
                self._fs.cp_file(self.path(source), self.path(target))
                self._fs.rm_file(self.path(source))
            except FileNotFoundError:
                return

    def download(self, name: str, target: Path, sha256: str) -> None:
        """Fetch a file under its name, once it is whole and what it should be.

        Raises:
            DataError: If the store holds something else.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            with self._named(name):
                self._fs.get_file(self.path(name), str(partial))
            if hash_file(partial) != sha256:
                raise DataError(
                    f"{self.uri}/{name} is not the file that its manifest names; run the step that "
                    "makes it again with --force"
                )
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)

    def _has_content(self, info: dict[str, Any], source: Path, name: str, sha256: str) -> bool:
        tag = str(info.get("ETag", "")).strip('"')
        if len(tag) == hashlib.md5(usedforsecurity=False).digest_size * 2:
            with source.open("rb") as stream:
                if tag == hashlib.file_digest(stream, _md5).hexdigest():
                    return True
        # A file sent in parts, or encrypted, has another tag: read it back.
        arrived = hashlib.sha256()
        with self._fs.open(self.path(name), "rb") as stream:
            while block := stream.read(_CHUNK):
                arrived.update(block)
        return arrived.hexdigest() == sha256

    def _make_room(self, name: str) -> None:
        """Stores that are folders want theirs made; object stores have none."""
        if not self.is_atomic:
            self._fs.makedirs(self.path(name).rpartition("/")[0], exist_ok=True)

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Whatever a store's client raises, as an error that names place and remedy."""
        try:
            yield
        except (ServiceError, ConfigError, FileExistsError):
            raise
        except Exception as err:
            raise ServiceError(
                f"{self.uri}: {name}: {type(err).__name__}: {err}; check address, credentials and "
                "rights (docs/workspaces.md), and start again: what is done is kept",
                retryable=True,
            ) from err


class RemoteLeases:
    """Leases beside the files of a remote workspace."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self.is_atomic = remote.is_atomic

    def create(self, name: str, text: str) -> bool:
        """Write a file that is not there yet; false if it is."""
        return self._remote.create(f"leases/{name}.json", text.encode())

    def read(self, name: str) -> str | None:
        """A file's text, or None."""
        content = self._remote.read(f"leases/{name}.json")
        return None if content is None else content.decode(errors="replace")

    def write(self, name: str, text: str) -> None:
        """Replace a file."""
        self._remote.write(f"leases/{name}.json", text.encode())

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        self._remote.remove(f"leases/{name}.json")


def free_bytes(folder: Path) -> int:
    """Room on the disk of a folder that may not be there yet."""
    return shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def _open(uri: str, protocol: str) -> tuple[Any, str]:
    package, extra = _PACKAGES.get(protocol, (protocol, ""))
    options: dict[str, Any] = {"use_listings_cache": False} if protocol in _ATOMIC else {}
    try:
        import fsspec

        system, root = fsspec.core.url_to_fs(uri, **options)
    except ImportError as err:
        install = f"pip install 'clara-pipeline[{extra}]'" if extra else f"pip install {package}"
        raise ConfigError(f"workspace: {uri} needs {package}: {install}") from err
    except ValueError as err:
        raise ConfigError(f"workspace: {uri}: {err}") from err
    return system, str(root).rstrip("/")
