"""Secrets are looked up by reference: environment first, then `.env`, or a block reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clara_model.errors import ConfigError
from configs import secrets
from configs.base import EndpointSettings
from configs.secrets import load_environment, read_blocks_by, read_secret


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder without `.env`, and no block reader."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(secrets, "_sources", {})
    monkeypatch.delenv("PLANTED", raising=False)
    return tmp_path


def test_a_variable_of_the_environment_wins_over_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".env").write_text("PLANTED=from-file\n")
    assert read_secret("${PLANTED}") == "from-file"
    monkeypatch.setenv("PLANTED", "from-environment")
    assert read_secret("${PLANTED}") == "from-environment"


def test_reading_a_key_from_the_file_leaves_the_environment_as_it_is(folder: Path) -> None:
    (folder / ".env").write_text("PLANTED='from-file'\n")
    settings = EndpointSettings(base_url="https://x.example/v1", api_key="${PLANTED}")
    assert settings.read_api_key() == "from-file"
    assert "PLANTED" not in secrets.os.environ


def test_load_environment_keeps_what_is_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("PLANTED=from-file\nPLANTED_TOO=b\n")
    monkeypatch.setenv("PLANTED", "exported")
    monkeypatch.setenv("PLANTED_TOO", "")
    monkeypatch.delenv("PLANTED_TOO")
    load_environment()
    assert secrets.os.environ["PLANTED"] == "exported"
    assert secrets.os.environ["PLANTED_TOO"] == "b"


def test_a_missing_variable_is_named_with_both_remedies() -> None:
    with pytest.raises(ConfigError, match=r"PLANTED is not set.*export PLANTED.*\.env"):
        read_secret("${PLANTED}")


def test_a_block_is_read_by_whoever_can(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"secret:my-key.*only flows read"):
        read_secret("${secret:my-key}")
    read_blocks_by({"my-key": "from-block"}.__getitem__)
    assert read_secret("${secret:my-key}") == "from-block"


@pytest.mark.parametrize("text", ["sk-planted-secret", "${secret:Upper}", "${a b}", "x${PLANTED}"])
def test_anything_else_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        read_secret(text)
    assert text not in str(refusal.value)
    with pytest.raises(ValueError, match="write") as invalid:
        EndpointSettings(base_url="https://x.example/v1", api_key=text)
    assert "secret:NAME" in str(invalid.value)
