from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_rows import FERRY, TOWER, write_workspace
from typer.testing import CliRunner

from clara_model.errors import ConfigError, DataError
from flows.commands.rows import rows as commands
from tasks.storage import read_records, write_jsonl

GOOD = {"question": "Who built it?", "docs": [FERRY, TOWER], "gold_answer": "Mara Venn"}


def call(*arguments: Any) -> tuple[int, str]:
    result = CliRunner().invoke(commands, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "rows.jsonl", [GOOD | {"pos_index": [0]}, GOOD | {"pos_index": 1}])
    return tmp_path / "rows.jsonl"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_workspace(tmp_path / "ws")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"workspace": str(tmp_path / "ws")}))
    return tmp_path / "config.yaml"


def test_validate_fails_and_says_why(path: Path) -> None:
    code, output = call("validate", path)
    assert code == 1
    assert "pos_index" in output
    assert "not valid: 2 errors" in output
    code, output = call("validate", path, "--json")
    told = json.loads(output)
    assert (code, told["valid"], told["errors"]) == (1, False, 2)  # the gold, and the second row
    assert told["mapped"] == {"pos_index number -> list": 1}


def test_fix_writes_a_valid_copy_and_lists_the_changes(path: Path) -> None:
    before = path.read_bytes()
    code, output = call("validate", path, "--fix", "--json")
    told = json.loads(output)
    assert (code, told["valid"]) == (0, True)
    (fixed,) = told["files"]
    assert fixed["counts"]["repaired: pos_index"] == 1
    assert path.read_bytes() == before
    copy = path.with_suffix(".fixed.jsonl")
    assert read_records(copy)[0]["pos_index"] == [1]
    assert call("validate", copy)[0] == 0


def test_strict_fails_on_warnings(tmp_path: Path) -> None:
    write_jsonl(
        tmp_path / "short.jsonl", [GOOD | {"docs": ["Too short.", TOWER], "pos_index": [1]}]
    )
    assert call("validate", tmp_path / "short.jsonl")[0] == 0
    assert call("validate", tmp_path / "short.jsonl", "--strict")[0] == 1


def test_a_workspace_is_validated_as_a_whole(config: Path, tmp_path: Path) -> None:
    code, output = call("validate", tmp_path / "ws", "--json")
    told = json.loads(output)
    assert (code, told["valid"]) == (0, True)
    assert {Path(file["file"]).name for file in told["files"]} >= {"oracle.jsonl", "audit.json"}
    with pytest.raises(ConfigError, match="single files"):
        call("validate", tmp_path / "ws", "--stage", "stage1")


def test_out_without_fix_is_a_user_error(path: Path) -> None:
    with pytest.raises(ConfigError, match="--fix"):
        call("validate", path, "--out", path.with_name("x.jsonl"))


def test_trace_as_text_and_as_json(config: Path) -> None:
    code, output = call("trace", "bbbb", config)
    assert code == 0
    for words in ("tower.pdf, page 2", "box on the page", "the prompt", "the raw reply", "gpt-x"):
        assert words in output
    assert json.loads(call("trace", "bbbb", config, "--json")[1])["line"] == 1
    with pytest.raises(DataError, match="the nearest are"):
        call("trace", "zzzz", config)


def test_card_prints_where_it_is(config: Path, tmp_path: Path) -> None:
    code, output = call("card", config)
    assert code == 0
    assert output.strip() == (tmp_path / "ws" / "data_card" / "card.html").resolve().as_uri()
