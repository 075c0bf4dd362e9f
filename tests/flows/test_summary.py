"""The tables that close a run."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from configs.schema import PipelineConfig
from flows.summary import print_summary
from tasks.storage import write_json, write_jsonl
from tasks.workspace import Workspace


def closing_words(workspace: Workspace) -> str:
    stream = io.StringIO()
    config = PipelineConfig.model_validate({"workspace": str(workspace.root)})
    print_summary(Console(file=stream, width=120), config, workspace)
    return stream.getvalue()


def test_every_kind_of_question_is_counted(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    counts = {"simple": 51, "complex": 17, "joint": 8, "cross_lingual": 4, "unanswerable": 3}
    write_json(workspace.manifests / "synthesize.json", {"counts": counts})
    write_json(workspace.manifests / "mine.json", {"counts": {"benchmark_unanswerable_rows": 2}})
    told = dict(line.rsplit(maxsplit=1) for line in closing_words(workspace).splitlines()
                if len(line.split()) > 1)  # fmt: skip
    rows = {what.strip(): count for what, count in told.items()}
    assert (
        rows.items()
        >= {
            "simple questions": "51",
            "complex questions": "17",
            "questions over two passages": "8",
            "cross-lingual questions": "4",
            "unanswerable questions": "3",
            "held-out questions without answer": "2",
        }.items()
    )


def test_reasons_that_look_like_markup_are_shown_as_they_are(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_jsonl(workspace.rejected, [{"step": "synthesize", "item": "p", "reason": "[/INST] ok"}])
    assert "[/INST] ok" in closing_words(workspace)
