"""Data steps in processes of their own that kill themselves at a chosen change of a file."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CHANGES = frozenset({"os.rename", "os.remove", "os.mkdir", "os.rmdir"})
_LIMIT_S = 600.0
# Started once and without threads: each process is a fork of it, with the imports done.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([
    "tasks.extraction.convert", "tasks.captioning.caption", "tasks.synthesis.generate",
    "tasks.rows.build", "tasks.llm.embedded", "openai", "bm25s", "PIL.Image",
])  # fmt: skip


def run_step(step: str, workspace: Path, config: dict[str, Any], kill_at: int = 0) -> int | None:
    """Run a step; the number of changes that it made to files, or None where it was killed.

    Args:
        step: "extract", "caption", "passages", "synthesize" or "mine".
        workspace: Its folder; changes below it count.
        config: Of the pipeline.
        kill_at: The change at which the process gets SIGKILL; 0: never.
    """
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    child = _CONTEXT.Process(target=_work, args=(theirs, step, workspace, config, kill_at))
    child.start()
    theirs.close()
    child.join(_LIMIT_S)
    if child.exitcode == -signal.SIGKILL:
        return None
    child.kill()
    assert child.exitcode == 0, f"{step} ended with exit code {child.exitcode}"
    number: int = ours.recv()
    return number


def _work(
    told: Connection, step: str, workspace: Path, config: dict[str, Any], kill_at: int
) -> None:
    changes = 0
    below = str(workspace)

    def watch(event: str, values: tuple[Any, ...]) -> None:
        nonlocal changes
        if event == "open":
            is_change = isinstance(values[2], int) and bool(values[2] & _WRITING)
        else:
            is_change = event in _CHANGES
        if is_change and str(values[0]).startswith(below):
            changes += 1
            if changes == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    _run(step, workspace, config)
    told.send(changes)


def _run(step: str, folder: Path, values: dict[str, Any]) -> None:
    from configs.schema import PipelineConfig
    from tasks.captioning.caption import caption_images
    from tasks.extraction.convert import extract_documents
    from tasks.llm.endpoint import endpoint_url
    from tasks.passages.chunk import make_passages
    from tasks.rows.build import mine_rows
    from tasks.synthesis.generate import synthesize
    from tasks.workspace import Workspace

    config, workspace = PipelineConfig.model_validate(values), Workspace(folder)
    if step == "extract":
        extract_documents(config, workspace)
    elif step == "caption":
        with endpoint_url(config.captioning) as base_url:
            caption_images(config, workspace, base_url=base_url)
    elif step == "passages":
        make_passages(config, workspace)
    elif step == "synthesize":
        with endpoint_url(config.synthesis) as base_url:
            synthesize(config, workspace, base_url=base_url)
    else:
        mine_rows(config, workspace)
