"""The command line: `clara run` for everything, one command a step, and tools around them.

Importing this file must stay cheap: Prefect, torch and the steps are imported by the commands.
"""

from __future__ import annotations

import errno
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clara_model.errors import ClaraError
from flows.row_commands import rows

app = typer.Typer(
    help="Turn a folder of documents into a trained, evaluated and usable CLaRa model.\n\n"
    "`clara run` does everything; the other commands do one step each. Every command takes the "
    "configuration file as its last argument and any number of `--set section.key=value`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    add_completion=False,
)

Config = Annotated[Path, typer.Argument(help="Configuration file.", show_default=True)]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a value of the configuration."),
]
Force = Annotated[bool, typer.Option("--force", help="Run even if nothing has changed.")]
Estimate = Annotated[
    bool, typer.Option("--estimate", help="Print calls, tokens and cost by model; send nothing.")
]
Downstream = Annotated[
    bool, typer.Option("--downstream", help="Then run what depends on it and is out of date.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON on standard output.")]

_DEFAULT = Path("configs/quickstart.yaml")


class Stage(StrEnum):
    """What `clara train` trains."""

    stage1 = "stage1"
    stage2 = "stage2"
    stage3 = "stage3"
    all = "all"


class Trained(StrEnum):
    """Models that can be exported."""

    stage1 = "stage1"
    stage2 = "stage2"
    stage3 = "stage3"


class Layout(StrEnum):
    """Checkpoint layouts that `clara export` writes."""

    safetensors = "safetensors"
    ml_clara = "ml-clara"
    auto_model = "auto-model"


class Score(StrEnum):
    """Scores that versions are compared by."""

    em = "em"
    f1 = "f1"
    containment = "containment"


class LogFormat(StrEnum):
    """How logs are written to standard error."""

    text = "text"
    json = "json"


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and debug logs.")] = False,
    log_format: Annotated[
        LogFormat | None,
        typer.Option(envvar="CLARA_LOG_FORMAT", help="Logs as lines to read, or as JSON."),
    ] = None,
) -> None:
    from flows.console import prepare_console

    prepare_console(debug=debug, log_format=log_format)


@app.command(rich_help_panel="Pipeline")
def run(
    config: Config = _DEFAULT,
    overrides: Set = None,
    force: Force = False,
    json: Json = False,
    estimate: Estimate = False,
) -> None:
    """Run the whole pipeline; finished steps are recognised and skipped.

    Example: `clara run --set extraction.input=my_documents --set workspace=data/mine`
    """
    if estimate:
        _estimate(("caption", "synthesize"), config, overrides, json)
        return
    from flows.console import run_pipeline

    run_pipeline(config, tuple(overrides or ()), force=force, as_json=json)


@app.command(rich_help_panel="Pipeline")
def learn(
    config: Annotated[Path, typer.Argument(help="Configuration file.", show_default=True)] = Path(
        "configs/learn.yaml"
    ),
    overrides: Set = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Page to write; default: docs/learning.md, with --only in the workspace."
        ),
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Only jobs of this name, and their needs.")
    ] = None,
    json: Json = False,
) -> None:
    """Prove that it learns: train on a made-up world, ask about unseen entities, write a page.

    Finished jobs are skipped. Example: `clara learn --set "seeds=[0, 1, 2]"`
    """
    from flows.learn import prove_learning

    prove_learning(config, tuple(overrides or ()), out=out, only=only, as_json=json)


def _estimate(
    steps: tuple[str, ...], config: Path, overrides: list[str] | None, json: bool
) -> None:
    from flows.estimate import show_estimate

    show_estimate(steps, config, tuple(overrides or ()), as_json=json)


def _run_flow(
    name: str, config: Path, overrides: list[str] | None, force: bool, downstream: bool, json: bool
) -> None:
    from flows.console import run_flow

    run_flow(name, config, tuple(overrides or ()), force=force, downstream=downstream, as_json=json)


@app.command(rich_help_panel="Steps")
def extract(
    config: Config = _DEFAULT,
    overrides: Set = None,
    force: Force = False,
    downstream: Downstream = False,
    json: Json = False,
) -> None:
    """Documents to Markdown text and images (raw_knowledge.jsonl)."""
    _run_flow("extract", config, overrides, force, downstream, json)


@app.command(rich_help_panel="Steps")
def caption(
    config: Config = _DEFAULT,
    overrides: Set = None,
    force: Force = False,
    downstream: Downstream = False,
    json: Json = False,
    estimate: Estimate = False,
) -> None:
    """Images to text through a vision model (captions.jsonl)."""
    if estimate:
        _estimate(("caption",), config, overrides, json)
        return
    _run_flow("caption", config, overrides, force, downstream, json)


@app.command(rich_help_panel="Steps")
def synthesize(
    config: Config = _DEFAULT,
    overrides: Set = None,
    force: Force = False,
    downstream: Downstream = False,
    json: Json = False,
    estimate: Estimate = False,
) -> None:
    """Texts to passages; passages to questions, answers and paraphrases."""
    if estimate:
        _estimate(("synthesize",), config, overrides, json)
        return
    _run_flow("synthesize", config, overrides, force, downstream, json)


@app.command(rich_help_panel="Steps")
def mine(
    config: Config = _DEFAULT,
    overrides: Set = None,
    force: Force = False,
    downstream: Downstream = False,
    json: Json = False,
) -> None:
    """Hard negatives, training rows of the three stages, held-out benchmark."""
    _run_flow("mine", config, overrides, force, downstream, json)


@app.command(rich_help_panel="Steps")
def train(
    stage: Annotated[Stage, typer.Argument(help="Which stage to train.")],
    config: Config = _DEFAULT,
    overrides: Set = None,
    force: Force = False,
    downstream: Downstream = False,
    json: Json = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print steps, memory and time; train nothing.")
    ] = False,
    gpu: Annotated[
        str, typer.Option(help="With --dry-run: plan for this GPU, such as H100, not this machine.")
    ] = "",
) -> None:
    """Train a stage, or all three; an interrupted one continues from its checkpoint."""
    names = [s for s in Stage if s is not Stage.all] if stage is Stage.all else [stage]
    if dry_run:
        from flows.dry_run import show_plans

        stages = [str(name) for name in names]
        show_plans(stages, config, tuple(overrides or ()), gpu=gpu, as_json=json)
        return
    for name in names:
        is_last = name == names[-1]
        _run_flow(f"train-{name}", config, overrides, force, downstream and is_last, json)


@app.command(rich_help_panel="Steps")
def evaluate(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]... [CONFIG]",
            help="Checkpoint folders, stages of the workspace, or systems' lines; then perhaps "
            "the configuration file. Without models: the workspace's own.",
        ),
    ] = None,
    benchmarks: Annotated[
        str | None, typer.Option(help="hotpotqa,nq,FILE,documents,world: names and files.")
    ] = None,
    settings: Annotated[str | None, typer.Option(help="normal, oracle, or both.")] = None,
    systems: Annotated[
        str | None, typer.Option(help="More systems, such as closed-book:M,bm25+text:M.")
    ] = None,
    k: Annotated[int | None, typer.Option(help="Documents that generators read.")] = None,
    candidates: Annotated[int | None, typer.Option(help="N, candidates a question.")] = None,
    questions: Annotated[int | None, typer.Option(help="At most so many a benchmark.")] = None,
    retriever: Annotated[
        str | None, typer.Option(help="Finds candidates: bm25, dense:MODEL, index[:FOLDER].")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Folder: evaluations/NAME.")] = None,
    cost: Annotated[bool, typer.Option("--cost", help="Measure speed and memory, too.")] = False,
    sweep: Annotated[
        str | None, typer.Option(help="compr_rate=4,16: train and evaluate one for each value.")
    ] = None,
    overrides: Set = None,
    force: Force = False,
    downstream: Downstream = False,
    json: Json = False,
) -> None:
    """Score systems on held-out questions or public benchmarks, and write the report.

    Example: `clara evaluate stage2 stage3 --benchmarks hotpotqa.jsonl --settings normal,oracle`
    """
    from flows.evaluation_commands import Asked, evaluate_systems

    asked = Asked(benchmarks, settings, k, candidates, questions, retriever, name, cost)
    evaluate_systems(
        arguments or [], systems, asked, tuple(overrides or ()), default=_DEFAULT, sweep=sweep,
        force=force, downstream=downstream, as_json=json,
    )  # fmt: skip


@app.command(rich_help_panel="Steps")
def index(
    config: Config = _DEFAULT,
    overrides: Set = None,
    force: Force = False,
    downstream: Downstream = False,
    json: Json = False,
) -> None:
    """Compress every passage once, for `clara ask`."""
    _run_flow("index", config, overrides, force, downstream, json)


@app.command(rich_help_panel="Using the model")
def ask(
    question: Annotated[str, typer.Argument(help="The question.")],
    config: Config = _DEFAULT,
    overrides: Set = None,
    json: Json = False,
) -> None:
    """Answer a question from the indexed passages, with citations."""
    from flows.tools import ask_question

    ask_question(question, config, tuple(overrides or ()), as_json=json)


@app.command("inspect", rich_help_panel="Using the model")
def inspect_model(
    question: Annotated[str, typer.Option(help="The question.")],
    config: Config = _DEFAULT,
    overrides: Set = None,
    model: Annotated[
        str, typer.Option(help="stage1, stage2 or stage3 of the workspace, or a checkpoint folder.")
    ] = "stage3",
    documents: Annotated[
        list[Path] | None,
        typer.Option(help="Candidates: a folder or file (.md, .txt, .jsonl); may be repeated."),
    ] = None,
    compare: Annotated[
        str | None, typer.Option(help="Another model, whose map stands beside, say without MSE.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Page to write; default: in the workspace.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Tokens shown of each memory slot.")] = 5,
    json: Json = False,
) -> None:
    """Look inside a model: what memories say, scores of candidates, a map; written as a page."""
    from flows.inspection import inspect_question

    inspect_question(
        question, config, tuple(overrides or ()), model=model, documents=documents or (),
        compare=compare, out=out, top_tokens=top, as_json=json,
    )  # fmt: skip


@app.command(rich_help_panel="Using the model")
def report(
    config: Config = _DEFAULT,
    overrides: Set = None,
    name: Annotated[str | None, typer.Option(help="Of a named evaluation.")] = None,
) -> None:
    """Score stored predictions again and rebuild the report page, without a model."""
    from flows.evaluation_commands import rebuild_report

    rebuild_report(config, tuple(overrides or ()), name=name)


@app.command(rich_help_panel="Using the model")
def export(
    folder: Annotated[Path, typer.Argument(help="Folder to write; must not exist.")],
    config: Config = _DEFAULT,
    overrides: Set = None,
    model: Annotated[Trained, typer.Option(help="Which stage's model.")] = Trained.stage3,
    layout: Annotated[Layout, typer.Option(help="Checkpoint layout.")] = Layout.safetensors,
) -> None:
    """Write a trained model to a folder: our layout, the authors', or one that AutoModel loads."""
    from flows.tools import export_stage

    export_stage(folder, config, tuple(overrides or ()), stage=model.value, layout=layout.value)


@app.command(rich_help_panel="Operations")
def package(
    config: Config = _DEFAULT,
    overrides: Set = None,
    out: Annotated[Path, typer.Option(help="Archive to write: .tar.gz or .zip.")] = Path(
        "clara_data.tar.gz"
    ),
    max_base_mb: Annotated[
        float, typer.Option(help="A base from the hub goes along up to this size.")
    ] = 500.0,
    json: Json = False,
) -> None:
    """Archive rows, tokenizer, base and configuration, to train elsewhere (`clara unpack`)."""
    from flows.package import package as write_package

    write_package(config, tuple(overrides or ()), out=out, max_base_mb=max_base_mb, as_json=json)


@app.command(rich_help_panel="Operations")
def unpack(
    archive: Annotated[Path, typer.Argument(help="What `clara package` wrote.")],
    folder: Annotated[Path, typer.Argument(help="New folder; becomes a workspace.")],
    json: Json = False,
) -> None:
    """Check every file of an archive, and make it a workspace to train in."""
    from flows.package import unpack as unpack_package

    unpack_package(archive, folder, as_json=json)


app.add_typer(rows)


@app.command(rich_help_panel="Around")
def doctor(config: Config = _DEFAULT, overrides: Set = None, json: Json = False) -> None:
    """What is here and works, what is missing, and how to mend it; asks endpoints for one token."""
    from flows.doctor import examine

    raise typer.Exit(examine(config, tuple(overrides or ()), as_json=json))


@app.command(rich_help_panel="Operations")
def status(
    config: Config = _DEFAULT,
    overrides: Set = None,
    send: Annotated[
        bool, typer.Option("--send", help="First send to MLflow what waits to be sent.")
    ] = False,
    json: Json = False,
) -> None:
    """What of a workspace is done, stale, running, interrupted or failed."""
    from flows.status import show_status

    raise typer.Exit(show_status(config, tuple(overrides or ()), send=send, as_json=json))


@app.command(rich_help_panel="Operations")
def gc(
    config: Config = _DEFAULT,
    overrides: Set = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is listed.")] = False,
    replies: Annotated[
        bool, typer.Option("--replies", help="Also paid replies of endpoints, if all is done.")
    ] = False,
    json: Json = False,
) -> None:
    """List checkpoints and caches that no manifest needs; with --yes, remove them."""
    from flows.gc import collect

    collect(config, tuple(overrides or ()), yes=yes, replies=replies, as_json=json)


@app.command(rich_help_panel="Operations")
def promote(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[VERSION] [CONFIG]",
            help="Number of the version, default: the candidate; and the configuration file.",
        ),
    ] = None,
    overrides: Set = None,
    metric: Annotated[Score, typer.Option(help="What questions are scored by.")] = Score.f1,
    setting: Annotated[str, typer.Option(help="Which candidates they came with.")] = "normal",
    force: Annotated[bool, typer.Option("--force", help="Whatever the test says.")] = False,
    json: Json = False,
) -> None:
    """Make a version the champion, if the paired test on the benchmark shows it to be better."""
    from flows.promote import promote_version

    version = next((word for word in arguments or () if word.isdigit()), None)
    config = Path(next((word for word in arguments or () if not word.isdigit()), _DEFAULT))
    code = promote_version(
        version, config, tuple(overrides or ()),
        metric=metric.value, setting=setting, force=force, as_json=json,
    )  # fmt: skip
    raise typer.Exit(code)


@app.command(rich_help_panel="Operations")
def up(
    config: Config = _DEFAULT,
    overrides: Set = None,
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow page.")] = 5000,
    prefect_port: Annotated[int, typer.Option(help="Port of the Prefect page.")] = 4200,
    pools: Annotated[
        list[str] | None, typer.Option("--pool", help="Pool to work for; default: cpu and gpu.")
    ] = None,
) -> None:
    """Serve Prefect and MLflow on loopback, with deployments and a worker, until Ctrl-C."""
    from flows.up import serve_all

    serve_all(
        config, tuple(overrides or ()),
        mlflow_port=mlflow_port, prefect_port=prefect_port, pools=pools or ["cpu", "gpu"],
    )  # fmt: skip


@app.command(rich_help_panel="Operations")
def deploy(json: Json = False) -> None:
    """Make work pools and deployments on the Prefect server that PREFECT_API_URL names.

    Done again, it brings them up to date; schedules that were switched on stay on.
    """
    from flows.deploy import deploy_all

    deploy_all(as_json=json)


@app.command(rich_help_panel="Around")
def ui(
    config: Config = _DEFAULT,
    overrides: Set = None,
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow page.")] = 5000,
    prefect_port: Annotated[int, typer.Option(help="Port of the Prefect page.")] = 4200,
) -> None:
    """Serve the MLflow and Prefect pages on loopback until Ctrl-C."""
    from flows.up import serve_all

    serve_all(config, tuple(overrides or ()), mlflow_port=mlflow_port, prefect_port=prefect_port)


def main() -> None:
    """Entry point: user mistakes end in one line and an exit code (0 done, 1 failed, 2 usage)."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    if debug:
        # Accepted anywhere: people add it to the end of the command that failed.
        arguments = ["--debug", *(a for a in arguments if a != "--debug")]
    try:
        app(args=arguments, prog_name="clara")
    except ClaraError as err:
        if debug:
            raise
        from tasks.housekeeping.redact import redact

        typer.secho(f"error: {redact(str(err))}", err=True, fg=typer.colors.RED)
        sys.exit(err.exit_code)
    except OSError as err:
        if debug or err.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        typer.secho(
            f"error: the disk is full ({err}); make room and run the same command again: what is "
            "finished is kept",
            err=True, fg=typer.colors.RED,
        )  # fmt: skip
        sys.exit(1)
    except KeyboardInterrupt:
        typer.secho("stopped; the same command continues where this one was", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
