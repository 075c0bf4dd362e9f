"""The pipeline and its steps."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import DEFAULT, Config, Downstream, Estimate, Force, Json, Set

steps = typer.Typer()


class Stage(StrEnum):
    """What `clara train` trains."""

    stage1 = "stage1"
    stage2 = "stage2"
    stage3 = "stage3"
    all = "all"


@steps.command(rich_help_panel="Pipeline")
def run(
    config: Config = DEFAULT,
    overrides: Set = None,
    force: Force = False,
    json: Json = False,
    estimate: Estimate = False,
) -> None:
    """Run the whole pipeline; finished steps are recognised and skipped.

    Example: `clara run --set extraction.input=my_documents --set workspace=data/mine`
    """
    if estimate:
        _estimate(("caption", "synthesize", "mine", "remine"), config, overrides, json)
        return
    from flows.console import run_pipeline

    run_pipeline(config, tuple(overrides or ()), force=force, as_json=json)


@steps.command(rich_help_panel="Pipeline")
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


def _add_step(name: str, title: str) -> None:
    """A command that runs one step's flow."""

    def command(
        config: Config = DEFAULT,
        overrides: Set = None,
        force: Force = False,
        downstream: Downstream = False,
        json: Json = False,
    ) -> None:
        _run_flow(name, config, overrides, force, downstream, json)

    steps.command(name, help=title, rich_help_panel="Steps")(command)


def _add_asking_step(name: str, title: str) -> None:
    """The same of a step that asks an endpoint: what it would cost can be had before."""

    def command(
        config: Config = DEFAULT,
        overrides: Set = None,
        force: Force = False,
        downstream: Downstream = False,
        json: Json = False,
        estimate: Estimate = False,
    ) -> None:
        if estimate:
            _estimate((name,), config, overrides, json)
        else:
            _run_flow(name, config, overrides, force, downstream, json)

    steps.command(name, help=title, rich_help_panel="Steps")(command)


_add_step("extract", "Documents to Markdown text and images (raw_knowledge.jsonl).")
_add_asking_step("caption", "Images to text through a vision model (captions.jsonl).")
_add_asking_step("synthesize", "Texts to passages; passages to questions, answers and paraphrases.")
_add_asking_step("mine", "Hard negatives, training rows of the three stages, held-out benchmark.")


@steps.command(rich_help_panel="Steps")
def train(
    stage: Annotated[Stage, typer.Argument(help="Which stage to train.")] = Stage.all,
    config: Config = DEFAULT,
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


@steps.command(rich_help_panel="Steps")
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
        arguments or [], systems, asked, tuple(overrides or ()), default=DEFAULT, sweep=sweep,
        force=force, downstream=downstream, as_json=json,
    )  # fmt: skip


_add_step("index", "Compress every passage once, for `clara ask`.")
