"""Where a workspace lies, as it may be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from clara_model.errors import ConfigError
from configs.load import load_config
from configs.schema import PipelineConfig


def test_a_folder_is_itself() -> None:
    config = PipelineConfig.model_validate({"workspace": "data/mine"})
    assert (config.workspace, config.remote) == (Path("data/mine"), None)


def test_a_file_uri_is_a_folder() -> None:
    config = PipelineConfig.model_validate({"workspace": "file:///mnt/my%20drive/w"})
    assert (config.workspace, config.remote) == (Path("/mnt/my drive/w"), None)


def test_a_remote_uri_has_a_local_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLARA_CACHE", str(tmp_path))
    one, two, again = (
        PipelineConfig.model_validate({"workspace": uri})
        for uri in ("s3://a/team/w", "gs://a/team/w", "s3://a/team/w/")
    )
    assert one.remote == "s3://a/team/w" == again.remote
    assert one.workspace == again.workspace != two.workspace
    assert one.workspace.parent == tmp_path / "workspaces"
    # A dumped configuration describes the same place.
    assert PipelineConfig.model_validate(one.model_dump(mode="json")) == one


def test_the_cache_can_be_named(tmp_path: Path) -> None:
    tree = {"workspace": "s3://a/w", "execution": {"cache": str(tmp_path)}}
    assert PipelineConfig.model_validate(tree).workspace.is_relative_to(tmp_path)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="holds a password") as caught:
        load_config("configs/quickstart.yaml", ["workspace=sftp://me:swordfish@host/w"])
    assert "swordfish" not in str(caught.value)
