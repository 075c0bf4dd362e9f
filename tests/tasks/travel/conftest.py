"""Workers, each with a local folder of its own, on one workspace on a real S3 server."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from s3_server import s3_server

from configs.schema import PipelineConfig
from tasks.manifests import Step, run_step
from tasks.storage import Reject, StepResult
from tasks.travel.remote import Remote
from tasks.turn import take_turn
from tasks.workspace import Workspace

_numbers = itertools.count()


@pytest.fixture(scope="session")
def store() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, s3_server("bucket") as environment:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield


@dataclass
class Worker:
    """Makes `passages` of `input.txt`'s text, and `index` (a folder) of that."""

    config: PipelineConfig
    workspace: Workspace

    def step(self, name: str, text: str = "text") -> Step:
        ws = self.workspace
        inputs = {"passages": (), "index": (ws.passages,)}[name]
        outputs = {"passages": (ws.passages,), "index": (ws.memory / "index",)}[name]
        return Step(name, name, 1, {"text": text}, inputs, outputs)

    def do(self, name: str, text: str = "text", *, force: bool = False) -> str:
        """Take a turn at a step; "done" or "up to date"."""
        step = self.step(name, text)
        with take_turn(step, self.workspace, self.config, force=force) as is_due:
            if not is_due:
                return "up to date"
            run_step(step, self.workspace, lambda: self.make(name, text))
        return "done"

    def make(self, name: str, text: str) -> StepResult:
        ws = self.workspace
        ws.root.mkdir(parents=True, exist_ok=True)
        if name == "passages":
            ws.passages.write_text(f"{text}\n")
        else:
            folder = ws.memory / "index"
            (folder / "parts").mkdir(parents=True, exist_ok=True)
            (folder / "names.txt").write_text(f"{text} names")
            (folder / "parts" / "vectors.bin").write_text((ws.passages.read_text() + text) * 1000)
            (ws.logs / "index").mkdir(parents=True, exist_ok=True)
            (ws.logs / "index" / "metrics.jsonl").write_text("{}\n")
        return StepResult({"rows": 1}, (Reject(name, "a", f"not {text}"),))


@pytest.fixture
def uri(store: None) -> str:
    return f"s3://bucket/team/w{next(_numbers)}"


@pytest.fixture
def remote(uri: str) -> Remote:
    return Remote(uri)


@pytest.fixture
def make_worker(uri: str, tmp_path: Path) -> Callable[[str], Worker]:
    def build(name: str) -> Worker:
        root = tmp_path / name
        config = PipelineConfig.model_validate(
            {"workspace": str(root), "remote": uri, "execution": {"lease_s": 5}}
        )
        return Worker(config, Workspace(root))

    return build
