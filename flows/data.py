"""The flows of the data steps: extract, caption, synthesize, mine."""

from __future__ import annotations

from configs.load import DEFAULT_CONFIG, load_config
from flows.parameters import Config, Overrides, pipeline_flow
from flows.run import open_run
from tasks.base.task import tokenizer_task
from tasks.captioning.task import caption_task
from tasks.data_card.datasets import log_datasets
from tasks.data_card.task import card_task
from tasks.extraction.task import extract_task
from tasks.passages.task import passages_task
from tasks.plan import require_input
from tasks.rows.task import mine_task
from tasks.synthesis.task import synthesize_task

_CONFIG = str(DEFAULT_CONFIG)


@pipeline_flow("extract")
def extract(
    config: Config = _CONFIG,
    overrides: Overrides = (),
    force: bool = False,
    downstream: bool = False,
) -> None:
    """Documents to Markdown text and images."""
    require_input(load_config(config, overrides))
    with open_run(config, overrides, force=force, downstream=downstream) as run:
        settings, ws = run.config, run.workspace
        run.step("extract", lambda _: extract_task(settings, ws), [ws.raw_knowledge])


@pipeline_flow("caption")
def caption(
    config: Config = _CONFIG,
    overrides: Overrides = (),
    force: bool = False,
    downstream: bool = False,
) -> None:
    """Images to text."""
    with open_run(config, overrides, force=force, downstream=downstream) as run:
        settings, ws = run.config, run.workspace
        retrying = caption_task.with_options(retries=settings.execution.retries)
        run.step("caption", lambda _: retrying(settings, ws), [ws.captions])


@pipeline_flow("synthesize")
def synthesize(
    config: Config = _CONFIG,
    overrides: Overrides = (),
    force: bool = False,
    downstream: bool = False,
) -> None:
    """Texts to passages; passages to questions, answers and paraphrases."""
    with open_run(config, overrides, force=force, downstream=downstream) as run:
        settings, ws = run.config, run.workspace
        retrying = synthesize_task.with_options(retries=settings.execution.retries)
        run.step("tokenizer", lambda _: tokenizer_task(settings, ws))
        run.step("passages", lambda _: passages_task(settings, ws), [ws.passages])
        run.step("synthesize", lambda _: retrying(settings, ws), [ws.synthesis])


@pipeline_flow("mine")
def mine(
    config: Config = _CONFIG,
    overrides: Overrides = (),
    force: bool = False,
    downstream: bool = False,
) -> None:
    """Hard negatives, and the rows of the three stages and the benchmark."""
    with open_run(config, overrides, force=force, downstream=downstream) as run:
        settings, ws = run.config, run.workspace
        rows = [ws.pretrain_data, ws.instruction_data, ws.end_to_end_data, ws.rejected]
        benchmark = [ws.benchmark / "normal.jsonl", ws.benchmark / "oracle.jsonl"]
        run.step("mine", lambda _: mine_task(settings, ws), [*rows, *benchmark])
        page = [ws.data_card / f"card.{ending}" for ending in ("html", "md", "json")]
        run.step("card", lambda _: card_task(settings, ws), page)
        log_datasets(run.tracker, ws)
