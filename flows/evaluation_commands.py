"""`clara evaluate` and `clara report`: systems named on the command line, and their leaderboard."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clara_model.errors import ConfigError
from configs.load import load_config
from configs.schema import ModelSettings, PipelineConfig
from flows.console import call_flow, run_flow, run_pipeline
from tasks.evaluation.captions import terminal_lines
from tasks.evaluation.places import evaluation_folder
from tasks.travel.mirror import open_workspace
from tasks.workspace import Workspace

_HELD_OUT = ("documents", "unanswerable", "world")
_CONFIG_ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True)
class Asked:
    """What the command line asks of an evaluation; None leaves it to the configuration.

    Args:
        benchmarks: Names and files, separated by commas.
        settings: "normal", "oracle" or both, separated by commas.
        k: Documents read.
        candidates: N.
        questions: At most so many a benchmark.
        retriever: As in `evaluation.retriever`.
        name: Folder of the evaluation.
        cost: Whether costs are measured as well.
    """

    benchmarks: str | None = None
    settings: str | None = None
    k: int | None = None
    candidates: int | None = None
    questions: int | None = None
    retriever: str | None = None
    name: str | None = None
    cost: bool = False


def evaluate_systems(
    arguments: Sequence[str],
    systems: str | None,
    asked: Asked,
    overrides: Sequence[str],
    *,
    default: Path,
    sweep: str | None,
    force: bool,
    downstream: bool,
    as_json: bool,
) -> None:
    """Evaluate what is named, or the workspace's own models as the pipeline does.

    Args:
        arguments: Models, and perhaps a configuration file as the last.
        systems: Systems' lines, separated by commas.
        asked: Everything else that was asked.
        overrides: `section.key=value` settings.
        default: The configuration where none is named.
        sweep: `key=v1,v2`: train and evaluate one family instead.
        force: Run even if nothing has changed.
        downstream: Then run what depends on it.
        as_json: Print the outcome as JSON.

    Raises:
        ConfigError: If models and a sweep are given together, or the sweep cannot be read.
    """
    models, config = split_arguments(arguments, default)
    models += _words(systems)
    if sweep is not None:
        if models:
            raise ConfigError(
                f"--sweep trains its own models; leave out {', '.join(models)}, or the sweep"
            )
        own = [*overrides, *asked_overrides([], asked, named=False), *sweep_overrides(sweep)]
        run_pipeline(config, own, force=force, as_json=as_json)
        return
    own = [*overrides, *asked_overrides(models, asked, named=True)]
    settings = load_config(config, own)
    workspace = Workspace(settings.workspace)
    if evaluation_folder(settings, workspace) == workspace.evaluation:
        run_flow("evaluate", config, own, force=force, downstream=downstream, as_json=as_json)
        return
    call_flow("evaluate", config, own, force=force, downstream=downstream)
    _show(settings, workspace, as_json=as_json)


def rebuild_report(config: Path, overrides: Sequence[str], *, name: str | None) -> None:
    """Score stored predictions again and write report.html; needs neither model nor torch.

    Args:
        config: Configuration file.
        overrides: `section.key=value` settings.
        name: Of a named evaluation; None for the configuration's.
    """
    named = [f"evaluation.name={json.dumps(name)}"] if name else []
    settings = load_config(config, [*overrides, *named])
    from tasks.evaluation.evaluate import rescore
    from tasks.evaluation.report import write_report

    workspace = open_workspace(settings, ["evaluation", "evaluations", "logs"])
    rescore(settings, workspace)
    path = write_report(settings, workspace)
    Console().print(path.resolve().as_uri(), highlight=False, soft_wrap=True)


def split_arguments(arguments: Sequence[str], default: Path) -> tuple[list[str], Path]:
    """Models, and the configuration file: the last argument if it is named like one."""
    if arguments and arguments[-1].endswith(_CONFIG_ENDINGS):
        return list(arguments[:-1]), Path(arguments[-1])
    return list(arguments), default


def asked_overrides(systems: Sequence[str], asked: Asked, *, named: bool) -> list[str]:
    """The command line's wishes as settings, so that flow, manifest and MLflow know them.

    Args:
        systems: Models and lines; none for the workspace's own.
        asked: What else was asked.
        named: Whether results of a changed choice get a folder of their own.
    """
    chosen: dict[str, Any] = {
        "systems": list(systems) or None,
        "settings": _words(asked.settings) or None,
        "k": asked.k,
        "num_candidates": asked.candidates,
        "max_questions": asked.questions,
        "retriever": asked.retriever,
        "name": asked.name,
        "cost": asked.cost or None,
    }
    benchmarks = _words(asked.benchmarks)
    if benchmarks:
        chosen["benchmarks"] = [name for name in benchmarks if name not in _HELD_OUT]
        chosen["held_out"] = [name for name in benchmarks if name in _HELD_OUT]
        if named and not systems and asked.name is None:
            chosen["name"] = "benchmarks"
    return [
        f"evaluation.{key}={json.dumps(value, ensure_ascii=False)}"
        for key, value in chosen.items()
        if value is not None
    ]


def sweep_overrides(text: str) -> list[str]:
    """`compr_rate=4,16` as the settings of a sweep; a key without a section is the model's.

    Raises:
        ConfigError: If it has no key or no values.
    """
    key, _, values = text.partition("=")
    words = _words(values)
    if "." not in key and key in ModelSettings.model_fields:
        key = f"model.{key}"
    if "." not in key or not words:
        raise ConfigError(
            f"--sweep {text!r}: write KEY=VALUE,VALUE, such as compr_rate=4,16,32,64 or "
            "training.stage1.learning_rate=1.0e-4,3.0e-4"
        )
    return [f"sweep.key={key}", f"sweep.values=[{', '.join(words)}]"]


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _show(settings: PipelineConfig, workspace: Workspace, *, as_json: bool) -> None:
    """The leaderboard of a named evaluation, and where its page is."""
    from tasks.evaluation.names import names_of

    folder = evaluation_folder(settings, workspace)
    text = (folder / "summary.json").read_text(encoding="utf-8")
    summary = json.loads(text)
    console, names = Console(stderr=as_json), names_of(summary)
    leads = {place["name"]: place["lead"] for place in summary["benchmarks"]}
    tables = (
        (summary["scores"], None),
        (summary["retrieval"], "recall@1"),
        (summary["reconstruction"], "reconstruction.rougeL"),
    )
    shown = [row for rows, _ in tables for row in rows]
    table = Table(
        title="Leaderboard (95 % interval)", title_justify="left", box=box.SIMPLE_HEAD,
        caption=escape(terminal_lines(summary, shown)), caption_justify="left",
    )  # fmt: skip
    for column in ("benchmark", "setting", "system", "n", "metric", "value"):
        table.add_column(column, no_wrap=column == "value")
    for rows, metric in tables:
        for row in rows:
            name = metric or leads[row["benchmark"]]
            if found := row["metrics"].get(name):
                table.add_row(
                    row["benchmark"], row.get("setting", "reconstruction"), names[row["system"]],
                    str(found.get("n", row["n"])), name,
                    f"{found['value']:.3f} ({found['low']:.3f}-{found['high']:.3f})",
                )  # fmt: skip
    console.print(table)
    page = (folder / "report.html").resolve().as_uri()
    console.print(f"Report: {page}", soft_wrap=True, highlight=False)
    if as_json:
        sys.stdout.write(json.dumps(summary, ensure_ascii=False) + "\n")
