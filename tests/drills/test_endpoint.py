"""The LLM endpoint is killed in the middle of synthesis: what it answered is kept and paid once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ports import free_port

from drill import Drill, PrefectServer, kill_tree, serve, wait_until

pytestmark = pytest.mark.slow


def replies(drill: Drill) -> list[Path]:
    return list((drill.workspace / "cache").glob("??/*.json"))


def paid(drill: Drill) -> int:
    """Answers that were paid for, in all runs of the workspace."""
    lines = (drill.workspace / "cache" / "spent" / "synthesis.jsonl").read_text().split("\n")
    return sum("prompt" in json.loads(line) for line in lines if line)


def test_a_killed_endpoint_costs_no_answer_and_none_is_asked_twice(
    markdown: Path, server: PrefectServer, tmp_path: Path
) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}/v1"

    def start() -> int:
        command = ["tasks.llm.embedded", "--port", str(port)]
        return serve(command, f"{address}/models", {}, tmp_path / "endpoint.log").pid

    def drill(name: str) -> Drill:
        made = Drill(tmp_path / name, markdown, server)
        settings = "{base_url: '%s', model: embedded-rules, concurrency: 2, max_retries: 1}"
        made.overrides = (
            "--set", f"synthesis={settings % address}", "--set", "execution.retries=0"
        )  # fmt: skip
        return made

    interrupted, whole = drill("interrupted"), drill("whole")
    endpoint = start()
    try:
        interrupted.run("extract")
        interrupted.run("caption")
        process = interrupted.start("synthesize")
        wait_until(lambda: len(replies(interrupted)) > 9, process, "ten answers were kept")
        kill_tree(endpoint)
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 1, said
        assert "Traceback" not in said
        words = " ".join(said.split())
        assert "no answer after 2 attempts" in words
        assert "Finished requests are kept: run the same command again" in words
        kept = {path.name for path in replies(interrupted)}
        endpoint = start()
        interrupted.run("synthesize")
        assert kept <= {path.name for path in replies(interrupted)}
        assert paid(interrupted) == len(replies(interrupted))
        for command in ("extract", "caption", "synthesize"):
            whole.run(command)
    finally:
        kill_tree(endpoint)
    assert interrupted.results() == whole.results()
    assert paid(interrupted) == paid(whole)
