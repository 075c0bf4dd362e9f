"""An archive that a machine elsewhere can train from: rows, tokenizer, base, configuration.

Every file's size and hash stands in the archive's first file, and is checked when it is unpacked.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

import yaml
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from clara_model.errors import ConfigError, DataError
from configs.schema import PipelineConfig
from tasks.manifests import code_version, list_files
from tasks.plan import STAGES, build_plan
from tasks.storage import hash_file
from tasks.workspace import Workspace

MANIFEST = "MANIFEST.json"
CONFIG = "config.yaml"
_GIVEN_BASE = "given_base"
_SUFFIXES = (".tar.gz", ".tgz", ".zip")
_FORMAT = 1
_BLOCK = 1 << 20
_LARGEST_MANIFEST = 64 << 20
_MB = 1e6
# Made before training; the steps after them are what the other machine does.
_DATA_STEPS = ("extract", "caption", "tokenizer", "passages", "synthesize", "mine", "base")
_NOT_NEEDED = ("extracted_assets", "clara_training_data.jsonl")


class Member(BaseModel):
    """One file of an archive."""

    model_config = ConfigDict(extra="forbid")
    size: NonNegativeInt
    sha256: str


class Contents(BaseModel):
    """What an archive says of itself."""

    model_config = ConfigDict(extra="forbid")
    format: int
    made: str
    code_version: str
    files: dict[str, Member]


def package_workspace(
    config: PipelineConfig, workspace: Workspace, out: Path, *, max_base_mb: float
) -> dict[str, int]:
    """Write the archive that training elsewhere needs.

    The base decoder goes along if it is built in, a folder of this machine, or small; a larger one
    of the hub is downloaded where it is needed.

    Args:
        config: The pipeline's.
        workspace: Where the rows are.
        out: FILE.tar.gz or FILE.zip.
        max_base_mb: Up to this, any base goes along.

    Returns:
        Numbers of "files" and "bytes" in the archive.

    Raises:
        ConfigError: If the name has another ending.
        DataError: If rows are missing.
    """
    if not out.name.endswith(_SUFFIXES):
        raise ConfigError(f"--out {out}: name it .tar.gz or .zip")
    files = dict(_collect(config, workspace, max_base_mb))
    settings = yaml.safe_dump(_portable(config), allow_unicode=True, sort_keys=False).encode()
    contents = Contents(
        format=_FORMAT,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=code_version(),
        files={
            CONFIG: Member(size=len(settings), sha256=hashlib.sha256(settings).hexdigest()),
            **{
                name: Member(size=path.stat().st_size, sha256=hash_file(path))
                for name, path in files.items()
            },
        },
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.tmp")
    try:
        with _writing(partial, is_zip=out.suffix == ".zip") as add:
            add(MANIFEST, contents.model_dump_json(indent=2).encode())
            add(CONFIG, settings)
            for name, path in files.items():
                add(name, path)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    sizes = [member.size for member in contents.files.values()]
    return {"files": len(sizes), "bytes": sum(sizes)}


def unpack_archive(archive: Path, folder: Path) -> Contents:
    """Check an archive while it is unpacked, and leave a workspace with its configuration.

    Nothing appears under the folder's name before everything is checked.

    Args:
        archive: What `package_workspace` wrote.
        folder: A folder that does not exist, or is empty.

    Raises:
        ConfigError: If the folder has something in it, or there is no such archive.
        DataError: If a file is missing, too many, not the one that was packed, or would lie
            outside of the folder.
    """
    if not archive.is_file():
        raise ConfigError(f"{archive}: no such archive; `clara package --out FILE` makes one")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not empty; name a new folder")
    folder = folder.absolute()
    partial = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        contents = _extract(archive, partial)
        _settle(partial / CONFIG, folder)
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, NotImplementedError) as err:
        raise DataError(
            f"{archive} cannot be read ({err}); was it copied whole? Copy it again"
        ) from err
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return contents


def _collect(
    config: PipelineConfig, workspace: Workspace, max_base_mb: float
) -> Iterator[tuple[str, Path]]:
    plan = build_plan(config, workspace)
    needed = [path for stage in STAGES for path in plan[stage].inputs]
    missing = [str(p) for p in needed if p.suffix == ".jsonl" and not p.is_file()
               and p != workspace.end_to_end_memory]  # fmt: skip
    if missing:
        raise DataError(f"{', '.join(missing)}: not there; `clara mine` makes the rows")
    base = workspace.models / "base"
    given = Path(config.model.base)
    skipped = set(_NOT_NEEDED)
    size_mb = sum(p.stat().st_size for p in list_files(base)) / _MB if base.is_dir() else 0
    if config.model.base != "built-in" and (given.is_dir() or size_mb > max_base_mb):
        skipped.add("models/base")  # linked from the given folder, or downloaded again
    if given.is_dir():
        yield from ((f"{_GIVEN_BASE}/{p.relative_to(given).as_posix()}", p)
                    for p in list_files(given))  # fmt: skip
    for step in _DATA_STEPS:
        outputs = {p.relative_to(workspace.root).as_posix(): p for p in plan[step].outputs}
        for name, path in outputs.items():
            if name in skipped or not path.exists():
                continue
            for file in [path] if path.is_file() else list_files(path):
                yield file.relative_to(workspace.root).as_posix(), file
        manifest = workspace.manifests / f"{step}.json"
        if manifest.is_file() and not outputs.keys() & skipped:
            yield f"manifests/{step}.json", manifest


def _portable(config: PipelineConfig) -> dict[str, Any]:
    """The settings without places of this machine; keys are never part of a configuration."""
    tree = config.model_dump(mode="json", exclude={"workspace", "remote"})
    for section, key in (("tracking", "uri"), ("execution", "cache")):
        tree[section].pop(key, None)
    if Path(config.model.base).is_dir():
        tree["model"]["base"] = _GIVEN_BASE
    return tree


def _settle(path: Path, folder: Path) -> None:
    """Name the folder in the configuration that has been unpacked."""
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(tree, dict):
        raise DataError(f"{CONFIG} of the archive is no configuration")
    if tree.get("model", {}).get("base") == _GIVEN_BASE:
        tree["model"]["base"] = str(folder / _GIVEN_BASE)
    lines = yaml.safe_dump({"workspace": str(folder), **tree}, allow_unicode=True, sort_keys=False)
    path.write_text(lines, encoding="utf-8")


@contextmanager
def _writing(path: Path, *, is_zip: bool) -> Iterator[Any]:
    """A function that adds bytes or a file under a name."""
    if is_zip:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:

            def add_zip(name: str, content: bytes | Path) -> None:
                if isinstance(content, Path):
                    bundle.write(content, name)
                else:
                    bundle.writestr(name, content)

            yield add_zip
        return
    with tarfile.open(path, "w:gz", compresslevel=6, dereference=True) as tape:

        def add_tar(name: str, content: bytes | Path) -> None:
            info = tarfile.TarInfo(name)
            info.mode = 0o644
            if isinstance(content, bytes):
                info.size = len(content)
                tape.addfile(info, io.BytesIO(content))
                return
            info.size = content.stat().st_size
            with content.open("rb") as stream:
                tape.addfile(info, stream)

        yield add_tar


def _extract(archive: Path, folder: Path) -> Contents:
    """Write the checked files of an archive into a new folder."""
    members = _read_zip(archive) if zipfile.is_zipfile(archive) else _read_tar(archive)
    contents: Contents | None = None
    missing: set[str] = set()
    for name, is_file, stream in members:
        if contents is None:
            contents = _read_contents(archive, name, stream)
            missing = set(contents.files)
            _require_room(folder, sum(member.size for member in contents.files.values()))
            continue
        if not is_file or not _stays_inside(name):
            raise DataError(f"{archive}: {name!r} is no file inside the archive's folder; refused")
        if name not in missing:
            raise DataError(f"{archive}: {name!r} is not in its {MANIFEST}, or twice; refused")
        missing.remove(name)
        _write_checked(archive, folder, name, contents.files[name], stream)
    if contents is None:
        raise DataError(f"{archive} is empty")
    if missing:
        raise DataError(f"{archive} lacks {', '.join(sorted(missing)[:5])}; copy it again")
    return contents


def _read_tar(archive: Path) -> Iterator[tuple[str, bool, IO[bytes]]]:
    with tarfile.open(archive, "r:*") as tape:
        for info in tape:
            stream = tape.extractfile(info) if info.isreg() else None
            yield info.name, info.isreg(), stream or io.BytesIO()


def _read_zip(archive: Path) -> Iterator[tuple[str, bool, IO[bytes]]]:
    with zipfile.ZipFile(archive) as bundle:
        for info in bundle.infolist():
            kind = info.external_attr >> 28  # of a Unix file: 8 is a regular one, 0 is not said
            with bundle.open(info) as stream:
                yield info.filename, not info.is_dir() and kind in (0, 8), stream


def _read_contents(archive: Path, name: str, stream: IO[bytes]) -> Contents:
    if name != MANIFEST:
        raise DataError(f"{archive} does not begin with {MANIFEST}; `clara package` made no such")
    try:
        contents = Contents.model_validate_json(stream.read(_LARGEST_MANIFEST))
    except ValidationError as err:
        raise DataError(f"{archive}: its {MANIFEST} is damaged; copy it again") from err
    if contents.format != _FORMAT:
        raise DataError(
            f"{archive} has format {contents.format}, and this version reads {_FORMAT}; unpack it "
            "with the version that made it"
        )
    return contents


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(
        name and "\\" not in name and ":" not in name and not path.is_absolute()
        and ".." not in path.parts and str(path) == name
    )  # fmt: skip


def _write_checked(
    archive: Path, folder: Path, name: str, member: Member, stream: IO[bytes]
) -> None:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as output:
        while block := stream.read(_BLOCK):
            size += len(block)
            if size > member.size:
                break
            digest.update(block)
            output.write(block)
    if size != member.size or digest.hexdigest() != member.sha256:
        raise DataError(
            f"{archive}: {name} is not the file that was packed (size or hash differ); copy the "
            "archive again"
        )


def _require_room(folder: Path, size: int) -> None:
    there = next(path for path in folder.parents if path.exists())
    free = shutil.disk_usage(there).free
    if size > free:
        raise DataError(
            f"{there}: {size / _MB:.0f} MB are needed, and {free / _MB:.0f} MB are free; make room"
        )
