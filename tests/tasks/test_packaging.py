"""Archives for training elsewhere: what is in them, and what is refused."""

from __future__ import annotations

import io
import json
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from clara_model.errors import ConfigError, DataError
from configs.load import load_config
from configs.schema import PipelineConfig
from tasks.manifests import Step, is_current, run_step
from tasks.packaging import package_workspace, unpack_archive
from tasks.plan import build_plan
from tasks.storage import StepResult
from tasks.workspace import Workspace

ROWS = ("pretrain_data.jsonl", "instruction_data.jsonl", "end_to_end_data.jsonl")
STEPS = ("extract", "caption", "tokenizer", "passages", "synthesize", "mine", "base")


def write_outputs(step: Step) -> StepResult:
    for path in step.outputs:
        if path.suffix:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"made by": step.name, "as": path.name}) + "\n")
        else:
            path.mkdir(parents=True, exist_ok=True)
            for name in ("part.bin", *(ROWS if path.name == "world" else ())):
                (path / name).write_text(f"{step.name} {path.name}")
    return StepResult({})


def prepare(tmp_path: Path, **model: object) -> tuple[PipelineConfig, Workspace]:
    (tmp_path / "documents").mkdir(exist_ok=True)
    config = PipelineConfig.model_validate({
        "workspace": str(tmp_path / "workspace"),
        "extraction": {"input": str(tmp_path / "documents")},
        "synthesis": {"base_url": "http://127.0.0.1:1/v1", "model": "m",
                      "api_key": "${SOME_KEY}"},
        "model": model, "training": {"world": {"share": 0.5}},
        "tracking": {"uri": "http://user:secret@mlflow.example"},
    })  # fmt: skip
    workspace = Workspace(config.workspace)
    for name in STEPS:
        step = build_plan(config, workspace)[name]
        run_step(step, workspace, lambda step=step: write_outputs(step))
    return config, workspace


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    config, workspace = prepare(tmp_path)
    package_workspace(config, workspace, tmp_path / "data.tar.gz", max_base_mb=1)
    return tmp_path / "data.tar.gz"


@pytest.mark.parametrize("name", ["data.tar.gz", "data.zip"])
def test_an_unpacked_archive_is_ready_to_train(tmp_path: Path, name: str) -> None:
    config, workspace = prepare(tmp_path)
    counts = package_workspace(config, workspace, tmp_path / name, max_base_mb=1)
    contents = unpack_archive(tmp_path / name, tmp_path / "there")
    assert counts["files"] == len(contents.files)
    found = load_config(tmp_path / "there" / "config.yaml")
    there = Workspace(found.workspace)
    assert there.root == tmp_path / "there"
    plan = build_plan(found, there)
    # As with `--set workspace=DIR` on the configuration that was packed.
    same = build_plan(config, there)
    for step in ("tokenizer", "base"):
        assert is_current(plan[step], there)
        assert is_current(same[step], there)
    for stage in ("stage1", "stage2", "stage3"):
        assert all(p.exists() or p.name.startswith("stage") for p in plan[stage].inputs)
    assert not (tmp_path / "there" / "extracted_assets").exists()


def test_no_place_and_no_address_of_the_machine_goes_along(tmp_path: Path, archive: Path) -> None:
    unpack_archive(archive, tmp_path / "there")
    text = (tmp_path / "there" / "config.yaml").read_text()
    assert "secret" not in text
    assert "${SOME_KEY}" in text
    assert yaml.safe_load(text)["workspace"] == str(tmp_path / "there")


def test_a_base_of_this_machine_goes_along(tmp_path: Path) -> None:
    base = tmp_path / "my_base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    config, workspace = prepare(tmp_path, base=str(base))
    package_workspace(config, workspace, tmp_path / "a.zip", max_base_mb=0)
    unpack_archive(tmp_path / "a.zip", tmp_path / "there")
    found = load_config(tmp_path / "there" / "config.yaml")
    assert Path(found.model.base) == tmp_path / "there" / "given_base"
    assert (Path(found.model.base) / "config.json").read_text() == "{}"


def test_a_large_base_of_the_hub_stays_behind(tmp_path: Path) -> None:
    config, workspace = prepare(tmp_path, base="some/model")
    for limit, is_there in ((0, False), (1, True)):
        package_workspace(config, workspace, tmp_path / f"{limit}.zip", max_base_mb=limit)
        unpack_archive(tmp_path / f"{limit}.zip", tmp_path / str(limit))
        assert (tmp_path / str(limit) / "models/base").exists() is is_there
        assert (tmp_path / str(limit) / "manifests/base.json").exists() is is_there


def test_missing_rows_are_named(tmp_path: Path) -> None:
    config, workspace = prepare(tmp_path)
    workspace.instruction_data.unlink()
    with pytest.raises(DataError, match=r"instruction_data\.jsonl: not there; `clara mine`"):
        package_workspace(config, workspace, tmp_path / "a.zip", max_base_mb=1)
    with pytest.raises(ConfigError, match=r"name it \.tar\.gz or \.zip"):
        package_workspace(config, workspace, tmp_path / "a.rar", max_base_mb=1)


def rewrite(archive: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Take an archive apart, change it, put it together again."""
    with tarfile.open(archive) as tape:
        members = {i.name: tape.extractfile(i).read() for i in tape}  # type: ignore[union-attr]
    change(members)
    with tarfile.open(archive, "w:gz") as tape:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tape.addfile(info, io.BytesIO(content))


def outside(name: str) -> Callable[[dict[str, bytes]], None]:
    """Put a file of some name in, and have the manifest say so."""

    def change(members: dict[str, bytes]) -> None:
        manifest = json.loads(members["MANIFEST.json"])
        manifest["files"][name] = manifest["files"]["config.yaml"]
        members["MANIFEST.json"] = json.dumps(manifest).encode()
        members[name] = members["config.yaml"]

    return change


def shorten_manifest(members: dict[str, bytes]) -> None:
    members["MANIFEST.json"] = members["MANIFEST.json"][:-40]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update({"passages.jsonl": b"x" * len(m["passages.jsonl"])}), "hash differ"),
        (lambda m: m.update({"passages.jsonl": m["passages.jsonl"] + b"x"}), "hash differ"),
        (lambda m: m.pop("passages.jsonl"), r"lacks passages\.jsonl"),
        (lambda m: m.update({"more.py": b""}), r"'more\.py' is not in its MANIFEST"),
        (lambda m: m.pop("MANIFEST.json"), "does not begin with MANIFEST"),
        (shorten_manifest, "MANIFEST.json is damaged"),
        (outside("../evil.txt"), "no file inside the archive's folder"),
        (outside("models/../../evil.txt"), "no file inside"),
        (outside("/evil.txt"), "no file inside"),
        (outside("..\\evil.txt"), "no file inside"),
        (outside("C:evil.txt"), "no file inside"),
    ],
    ids=["altered", "longer", "missing", "more", "no manifest", "half manifest", "parent",
         "parent inside", "absolute", "backslash", "drive"],
)  # fmt: skip
def test_what_is_not_as_it_was_packed_is_refused_and_leaves_nothing(
    tmp_path: Path, archive: Path, change: Callable, message: str
) -> None:
    rewrite(archive, change)
    before = {p.name for p in tmp_path.iterdir()}
    with pytest.raises(DataError, match=message):
        unpack_archive(archive, tmp_path / "there")
    assert {p.name for p in tmp_path.iterdir()} == before
    assert not (tmp_path.parent / "evil.txt").exists()


def test_links_are_refused_in_both_kinds(tmp_path: Path, archive: Path) -> None:
    with tarfile.open(archive) as tape:
        manifest = tape.extractfile("MANIFEST.json").read()  # type: ignore[union-attr]
    name = "passages.jsonl"
    with tarfile.open(tmp_path / "link.tar.gz", "w:gz") as tape:
        info = tarfile.TarInfo("MANIFEST.json")
        info.size = len(manifest)
        tape.addfile(info, io.BytesIO(manifest))
        link = tarfile.TarInfo(name)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tape.addfile(link)
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as bundle:
        bundle.writestr("MANIFEST.json", manifest)
        entry = zipfile.ZipInfo(name)
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        bundle.writestr(entry, "/etc/passwd")
    for path in (tmp_path / "link.tar.gz", tmp_path / "link.zip"):
        with pytest.raises(DataError, match="no file inside"):
            unpack_archive(path, tmp_path / "there")


def test_a_torn_archive_and_a_folder_in_use_are_told(tmp_path: Path, archive: Path) -> None:
    torn = tmp_path / "torn.tar.gz"
    torn.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"cannot be read .* Copy it again"):
        unpack_archive(torn, tmp_path / "there")
    with pytest.raises(ConfigError, match="is not empty; name a new folder"):
        unpack_archive(archive, tmp_path / "workspace")
    with pytest.raises(ConfigError, match="no such archive"):
        unpack_archive(tmp_path / "none.zip", tmp_path / "there")
