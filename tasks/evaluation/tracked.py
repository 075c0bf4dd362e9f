"""An evaluation in MLflow: one run a (system, benchmark, setting), alike in names.

Metrics carry no benchmark or system in their names, and parameters say what a run is of: so the
compare page and the parallel coordinates put systems, rates and settings side by side.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from configs.schema import PipelineConfig
from tasks import tracking
from tasks.evaluation.benchmarks import Benchmark
from tasks.evaluation.places import evaluation_folder, prediction_path
from tasks.evaluation.questions import read_questions
from tasks.evaluation.reconstruction import METRICS, passage_scores, read_reconstruction
from tasks.evaluation.score_tags import mlflow_name
from tasks.evaluation.scores import leading, score_answers
from tasks.storage import Record, hash_json, read_records
from tasks.workspace import Workspace

_TABLE = "samples.json"
# What MLflow's pages look for to show an artifact as a table.
_AS_TABLE = {"mlflow.loggedArtifacts": json.dumps([{"path": _TABLE, "type": "table"}])}


def log_evaluation(tracker: tracking.Tracker, config: PipelineConfig, workspace: Workspace) -> None:
    """Note every result of the last evaluation, with its per-sample table."""
    folder = evaluation_folder(config, workspace)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    questions = {(b.name, b.pool): b for b in read_questions(folder)}
    systems = {system["id"]: system for system in summary["systems"]}
    places = {(b["name"], b["setting"]): b for b in summary["benchmarks"]}
    with tempfile.TemporaryDirectory() as temporary:
        table = Path(temporary) / _TABLE
        for job in index["jobs"]:
            benchmark = questions[(job["benchmark"], job["pool"])]
            metrics = _metrics(summary, job)
            path = prediction_path(folder, job["benchmark"], job["setting"], job["system"])
            rows = read_records(path)
            columns, data = sample_table(benchmark, rows)
            table.write_text(json.dumps({"columns": columns, "data": data}, ensure_ascii=False))
            system, place = systems[job["system"]], places[(job["benchmark"], job["pool"])]
            tracking.result_run(
                tracker,
                f"{system['name']}, {job['benchmark']}, {job['setting']}",
                hash_json([job["key"], metrics]),
                params=_params(job, system, place),
                metrics=metrics,
                artifacts=[table],
                tags=_AS_TABLE,
            )
        _log_reconstruction(tracker, folder, summary, index, table)


def _log_reconstruction(
    tracker: tracking.Tracker, folder: Path, summary: dict[str, Any], index: Record, table: Path
) -> None:
    """What came back from each model's memories, as results of the setting "reconstruction"."""
    systems = {system["id"]: system for system in summary["systems"]}
    rows = {(row["benchmark"], row["system"]): row for row in summary["reconstruction"]}
    for entry, texts in read_reconstruction(folder, index):
        row, system = rows[entry["benchmark"], entry["system"]], systems[entry["system"]]
        metrics = {name: metric["value"] for name, metric in row["metrics"].items()}
        shown = [name for name in METRICS if name in metrics]
        scored = [passage_scores(text) for text in texts]
        data = [
            [text["original"], text["regenerated"], *(scores.get(name) for name in shown)]
            for text, scores in zip(texts, scored, strict=True)
        ]
        columns = ["original", "regenerated", *shown]
        table.write_text(json.dumps({"columns": columns, "data": data}, ensure_ascii=False))
        tracking.result_run(
            tracker,
            f"{system['name']}, {entry['benchmark']}, reconstruction",
            hash_json([entry["key"], metrics]),
            params={
                "benchmark": entry["benchmark"],
                "setting": "reconstruction",
                "questions": row["n"],
                "predictions_key": entry["key"],
                **_system_params(system),
            },
            metrics=metrics,
            artifacts=[table],
            tags=_AS_TABLE,
        )


def sample_table(benchmark: Benchmark, rows: list[Record]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of one file of predictions, a question a row, with its main scores."""
    lead = leading(benchmark)
    has_answers = bool(rows) and "answer" in rows[0]
    scored = score_answers(benchmark, rows) if has_answers else {}
    shown = [name for name in dict.fromkeys((lead, "em", "f1", "containment")) if name in scored]
    columns = ["id", "question", "golds", "answer", "gold_documents", "documents_read", *shown]
    data = [
        [
            row["id"], row["question"], " / ".join(row["golds"]), row.get("answer"),
            row["positives"], row["documents"], *(scored[name].get(i) for name in shown),
        ]
        for i, row in enumerate(rows)
    ]  # fmt: skip
    return columns, data


def _metrics(summary: dict[str, Any], job: Record) -> dict[str, float]:
    """All scores of a job under names that every benchmark shares, and what it cost."""
    wanted = (job["benchmark"], job["setting"], job["system"])
    found: dict[str, float] = {}
    for row in (*summary["scores"], *summary["retrieval"]):
        if (row["benchmark"], row["setting"], row["system"]) == wanted:
            found |= {mlflow_name(name): m["value"] for name, m in row["metrics"].items()}
    for cost in summary["costs"]:
        if (cost["benchmark"], cost["setting"], cost["system"]) == wanted:
            found |= {
                "cost/tokens_read": cost["tokens_read"],
                "cost/first_token_s": cost["first_token_s"]["median"],
                "cost/questions_per_s": cost["questions_per_s"]["median"],
                "cost/bytes_per_passage": cost["bytes_per_passage"],
            }
    return found


def _params(job: Record, system: Record, place: Record) -> dict[str, Any]:
    return {
        "benchmark": job["benchmark"],
        "setting": job["setting"],
        **_system_params(system),
        "k": job["k"],
        "num_candidates": place["candidates"]["most"],
        "pool": place["pool"]["name"],
        "pool_size": place["pool"]["size"],
        "questions": place["questions"],
        "leading_metric": place["lead"],
        "predictions_key": job["key"],
    }


def _system_params(system: Record) -> dict[str, Any]:
    return {
        "system": system["name"],
        "stage": system["stage"] or system["kind"],
        "compr_rate": system["rate"],
        "memory_tokens": system["memory_tokens"],
    }
