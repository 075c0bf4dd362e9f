"""A worker of pool `gpu` does one thing at a time, whoever starts it.

A deployment's own limit does not see to that: runs of three deployments would train side by side.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.parts import ONE_AT_A_TIME, worker_command
from flows.up import _worker

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "prefect.yaml"]


def limit_of(words: list[str]) -> str:
    return words[words.index("--limit") + 1]


def test_the_worker_of_clara_up_is_limited() -> None:
    command = _worker(ONE_AT_A_TIME, "http://127.0.0.1:1/api", {}).command
    assert command[command.index("--pool") + 1] == "gpu"
    assert limit_of(list(command)) == "1"
    # A pipeline waits on `cpu` while its data steps run there.
    assert int(limit_of(list(_worker("cpu", "http://127.0.0.1:1/api", {}).command))) > 1


def test_the_workers_of_the_containers_are_limited() -> None:
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())[
        "services"
    ]
    commands = [
        command
        for service in services.values()
        if "worker" in (command := service.get("command", ())) and "gpu" in command
    ]
    assert [limit_of(command) for command in commands] == ["1"]


def test_the_worker_of_the_notebook_is_limited() -> None:
    cells = json.loads((ROOT / "notebooks" / "colab_worker.ipynb").read_text())["cells"]
    starts = [
        words
        for cell in cells
        if cell["cell_type"] == "code"
        and "worker" in (words := re.findall(r'"([^"\n]*)"', "".join(cell["source"])))
        and "start" in words
    ]
    assert [limit_of(words) for words in starts] == ["1"]


def test_whoever_is_told_to_start_one_is_told_the_limit() -> None:
    assert worker_command("gpu") == "prefect worker start --pool gpu --limit 1"
    assert worker_command("cpu") == "prefect worker start --pool cpu"
    told = [
        line
        for page in PAGES
        for line in page.read_text().splitlines()
        if re.search(r"prefect worker start .*--pool gpu", line)
    ]
    assert told
    assert [line for line in told if "--limit 1" not in line] == []


@pytest.mark.parametrize("kind", ["train-", "pipeline", "sweep", "learn"])
def test_whatever_trains_goes_to_such_workers(kind: str) -> None:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    pools = {
        deployment["work_pool"]["name"]
        for deployment in deployments
        if deployment["name"].startswith(kind) and deployment["name"] != "pipeline-dispatched"
    }
    assert pools == {ONE_AT_A_TIME}
