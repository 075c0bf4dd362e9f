"""A key reaches the endpoint, and nothing that is written, logged or said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from scripted_endpoint import Act, Endpoint, refuse, say, serve

from small_pipeline import ROOT, small_settings

pytestmark = pytest.mark.slow

KEY = "sk-planted-5f1d0c9a7be24e"
TEXT = "The Quill Bridge was built in 1874 by Ada Morrow. It is 212 metres long and painted green."


@pytest.fixture(params=["refused", "answered"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    """One that repeats the key it was sent in its refusals, and one that answers nonsense."""

    def answer(body: dict[str, Any], number: int) -> Act:
        if request.param == "refused":
            return refuse(401, f"Incorrect API key provided: {KEY}. Header was Bearer {KEY}")
        return say("I would rather not.")

    with serve(answer) as endpoint:
        yield endpoint


def prepare(folder: Path, url: str, reference: str) -> Path:
    """A workspace that is ready for synthesis, and its configuration."""
    workspace = folder / "workspace"
    (workspace / "extracted_assets").mkdir(parents=True)
    document = {"file_path": "bridge.md", "filename": "bridge.md", "content": TEXT,
                "source_type": "document", "extracted_images": []}  # fmt: skip
    (workspace / "raw_knowledge.jsonl").write_text(json.dumps(document) + "\n")
    (workspace / "captions.jsonl").write_text("")
    settings = small_settings(workspace, folder)
    settings["synthesis"] = {"base_url": url, "model": "m", "api_key": reference, "max_retries": 0}
    settings["execution"] = {"retries": 0}
    path = folder / "planted.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def prefect_home(folder: Path) -> dict[str, str]:
    """A Prefect database of its own, whose server may take its time on a busy machine."""
    return {"PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180"}  # fmt: skip


def run(folder: Path, *command: str, **variables: str) -> str:
    """What a command says, whatever it comes to."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, text=True, capture_output=True, timeout=800,
        env={**os.environ, **prefect_home(folder), "PYTHONPATH": str(ROOT),
             "PREFECT_LOGGING_LEVEL": "DEBUG", **variables},
    )  # fmt: skip
    return done.stdout + done.stderr


def leaks(folder: Path, *, but: set[str]) -> list[str]:
    """Files below a folder that hold the key in plain: databases, logs, manifests, artifacts."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in but]
    assert any(path.name == "prefect.db" for path in files)
    assert any(path.name == "mlflow.db" for path in files)
    return [str(path) for path in files if KEY.encode() in path.read_bytes()]


@pytest.mark.parametrize("source", ["environment", "file", "block"])
def test_a_key_is_sent_to_the_endpoint_and_left_nowhere_else(
    endpoint: Endpoint, source: str, tmp_path: Path
) -> None:
    reference = "${secret:planted}" if source == "block" else "${PLANTED_KEY}"
    config = prepare(tmp_path, endpoint.url, reference)
    variables = {"PLANTED_KEY": KEY} if source == "environment" else {}
    if source == "file":
        (tmp_path / ".env").write_text(f"PLANTED_KEY={KEY}\n")
    if source == "block":
        script = tmp_path / "make_block.py"
        script.write_text(
            "import sys; from prefect.blocks.system import Secret; "
            "Secret(value=sys.stdin.readline().strip()).save('planted')"
        )
        subprocess.run(
            [sys.executable, script], input=KEY, text=True, check=True, timeout=300,
            env={**os.environ, **prefect_home(tmp_path)},
        )  # fmt: skip
    said = run(tmp_path, "flows.cli", "synthesize", "--debug", str(config), **variables)
    assert endpoint.headers, said
    assert {headers["Authorization"] for headers in endpoint.headers} == {f"Bearer {KEY}"}
    assert KEY not in said
    assert leaks(tmp_path, but={".env"}) == []
