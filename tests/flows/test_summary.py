"""The tables that close a run."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from configs.schema import PipelineConfig
from flows.summary import print_summary
from tasks.storage import Record, write_json, write_jsonl
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


def evaluated(workspace: Workspace) -> None:
    """Two settings of the user's questions, one of them asked of two systems."""

    def place(setting: str, most: int, size: int) -> Record:
        return {"name": "documents", "setting": setting, "questions": 20,
                "candidates": {"fewest": 6, "most": most},
                "pool": {"name": "the rows' own candidates", "size": size}}  # fmt: skip

    metric = {"value": 0.5, "low": 0.25, "high": 0.75}
    answers = {"em": metric, "f1": metric, "containment": metric}
    ranks = {name: metric for name in ("recall@1", "recall@3", "recall@5", "mrr")}

    def row(setting: str, system: str, metrics: Record) -> Record:
        return {"benchmark": "documents", "setting": setting, "system": system, "n": 20,
                "metrics": metrics}  # fmt: skip

    write_json(workspace.evaluation / "summary.json", {
        "systems": [{"id": "stage1", "k": 2, "kind": "clara"},
                    {"id": "bare", "k": 5, "kind": "closed-book"}],  # reads none of its k
        "benchmarks": [place("oracle", 8, 1055), place("normal", 6, 90),
                       place("unanswerable", 6, 30)],
        "scores": [row("gold", "stage1", answers), row("oracle", "stage1", answers),
                   row("unanswerable", "stage1", {"refused": metric})],
        "retrieval": [row("normal", "stage3", ranks)],
    })  # fmt: skip


def test_every_table_of_scores_states_pool_n_and_k_once(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    evaluated(workspace)
    text = " ".join(closing_words(workspace).split())
    answers, refusals = text.split("Says that the documents", 1)
    refusals, retrieval = refusals.split("Gold passage among", 1)
    # Gold passages alone are given out of oracle's candidates: one line for both.
    oracle = "documents, oracle: N = 6 to 8, k = 2; pool of 1,055 (the rows' own candidates)"
    assert answers.count(oracle) == text.count(oracle) == 1
    normal = "documents, normal: N = 6, k = 2; pool of 90 (the rows' own candidates)"
    assert retrieval.count(normal) == text.count(normal) == 1
    assert refusals.count("documents, unanswerable: N = 6, k = 2; pool of 30") == 1
