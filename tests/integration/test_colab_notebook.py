"""The Colab notebook executed here: cut off and continued elsewhere, and as a Prefect worker."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from s3_server import s3_server

from configs.schema import PipelineConfig
from small_pipeline import ROOT
from tasks.packaging import package_workspace
from tasks.storage import write_jsonl
from tasks.travel.remote import Remote
from tasks.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]  # busy machines start slowly

REMOTE = "s3://bucket/colab"
STAGES = ("stage1", "stage2", "stage3")
NAMES = ("Ada", "Tom", "Eve", "Ben", "Ida", "Max", "Zoe", "Kit")
STEPS = 150  # of stage 1
STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(scope="module")
def archive(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small rows and a tiny base, packed; stage 1 takes long enough to be cut."""
    folder = tmp_path_factory.mktemp("rows")
    stage = {"steps": 3, "batch_size": 4, "checkpoint_every": 2, "learning_rate": 1.0e-3}
    config = PipelineConfig.model_validate({
        "workspace": str(folder / "workspace"),
        "extraction": {"input": str(folder)},
        "negatives": {"num_candidates": 5},
        "model": {"base": str(shared / "conformance/mistral_cr8/base"), "doc_max_length": 32,
                  "compr_rate": 8, "generation_top_k": 2, "lora_r": 2},
        "training": {"stage1": stage | {"steps": STEPS, "checkpoint_every": 10}, "stage2": stage,
                     "stage3": stage},
    })  # fmt: skip
    workspace = Workspace(config.workspace)
    documents = [f"{name} lives in {city}" for name in NAMES for city in ("Kelso", "Yarrow")]
    write_jsonl(workspace.pretrain_data, [
        {"data_type": "qa", "question": ["Where?"], "answers": [text.split()[-1]], "docs": [text]}
        for text in documents
    ])  # fmt: skip
    for path, number in ((workspace.instruction_data, 2), (workspace.end_to_end_data, 5)):
        write_jsonl(path, [
            {"question": f"Where is {text.split()[0]}?", "gold_answer": text.split()[-1],
             "answer": text.split()[-1], "pos_index": [0],
             "docs": [text, *[d for d in documents if d != text][: number - 1]]}
            for text in documents
        ])  # fmt: skip
    for path in (workspace.raw_knowledge, workspace.captions):
        write_jsonl(path, [])
    package_workspace(config, workspace, folder / "data.tar.gz", max_base_mb=0)
    return folder / "data.tar.gz"


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with pytest.MonkeyPatch.context() as patch, s3_server("bucket") as environment:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield environment


@pytest.fixture(autouse=True)
def _no_process_stays() -> Iterator[None]:
    yield
    for process in STARTED:
        if process.poll() is None:
            kill_all(process)
    STARTED.clear()


def start_notebook(folder: Path, **settings: str) -> subprocess.Popen[str]:
    folder.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ, **settings, "CLARA_COLAB_PROJECT": str(ROOT), "OMP_NUM_THREADS": "1",
        "PREFECT_HOME": str(folder / "prefect"), "IPYTHONDIR": str(folder / "ipython"),
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests/support/notebook_runner.py"),
         str(ROOT / "notebooks/colab_worker.ipynb")],
        cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    STARTED.append(process)
    return process


def kill_all(process: subprocess.Popen[str]) -> None:
    """kill -9 of the notebook, its kernel, and all that it started: the machine is gone."""
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for member in family:
        member.kill()
    process.communicate()


def test_a_cut_session_is_continued_by_the_next_one(
    archive: Path, server: dict[str, str], tmp_path: Path
) -> None:
    def session(name: str) -> subprocess.Popen[str]:
        return start_notebook(
            tmp_path / name, CLARA_COLAB_WAY="archive", CLARA_COLAB_ARCHIVE=str(archive),
            CLARA_COLAB_WORKSPACE=str(tmp_path / name / "workspace"), CLARA_COLAB_REMOTE=REMOTE,
        )  # fmt: skip

    remote, first = Remote(REMOTE), session("first")
    end = time.monotonic() + 600
    while not any(n.endswith("FILES.json") for n in remote.list_files("checkpoints/stage1")):
        assert first.poll() is None, first.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.2)
    kill_all(first)
    assert "manifests/stage1.json" not in remote.list_files("manifests")

    second = session("second")
    output, _ = second.communicate(timeout=1500)
    assert second.returncode == 0, output
    assert "micro_batch_size" in output  # the machine's settings were found
    log = (tmp_path / "second/workspace/logs/stage1/train.log").read_text()
    assert "continuing after step" in log
    lines = (tmp_path / "second/workspace/logs/stage1/metrics.jsonl").read_text().splitlines()
    assert len(lines) == STEPS  # of both sessions
    assert {f"manifests/{stage}.json" for stage in STAGES} <= set(remote.list_files("manifests"))
    assert remote.list_files("checkpoints") == {}
    assert any(n.startswith("models/stage3/") for n in remote.list_files("models"))


def test_as_a_worker_it_does_the_runs_that_wait_for_the_pool(archive: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    api = f"http://127.0.0.1:{port}/api"
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "server"), "PREFECT_API_URL": api,
                   "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "COLUMNS": "200"}  # fmt: skip

    def command(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=ROOT, env=environment, capture_output=True,
            stdin=subprocess.DEVNULL, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    workspace = tmp_path / "workspace"
    command("flows.cli", "unpack", str(archive), str(workspace))
    serving = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until_healthy(api, serving)
        command("flows.cli", "deploy")
        command("prefect", "deployment", "run", "train-stage1/train-stage1",
                "--param", f"config={workspace / 'config.yaml'}")  # fmt: skip
        notebook = start_notebook(
            tmp_path / "colab", CLARA_COLAB_WAY="prefect", PREFECT_API_URL=api,
            CLARA_COLAB_ONCE="yes",
        )  # fmt: skip
        output, _ = notebook.communicate(timeout=1500)
        assert notebook.returncode == 0, output
        assert (workspace / "manifests/stage1.json").is_file(), output
        assert "COMPLETED" in command("prefect", "flow-run", "ls", "--state", "COMPLETED").upper()
    finally:
        kill_all(serving)  # type: ignore[arg-type]


def wait_until_healthy(api: str, process: subprocess.Popen[bytes]) -> None:
    from flows.services import answers

    for _ in range(600):
        assert process.poll() is None
        if answers(f"{api}/health"):
            return
        time.sleep(0.2)
    raise TimeoutError(api)
