"""The key of every endpoint reaches that endpoint, and nothing that is written, logged or said."""

from __future__ import annotations

import io
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from scripted_endpoint import refuse, say, serve

from clara_model.errors import ClaraError
from clara_model.evaluation.systems.opening import open_system
from clara_model.evaluation.systems.shelf import SystemOptions
from configs.schema import PipelineConfig
from tasks import tracking
from tasks.captioning.caption import caption_images
from tasks.evaluation.judge import ToJudge, judge_answers
from tasks.evaluation.systems_openai import chat_opener
from tasks.housekeeping import logs, redact
from tasks.housekeeping.endpoints import check_endpoints
from tasks.negatives.embeddings import embed_texts
from tasks.negatives.mine import Asked
from tasks.negatives.miner import block_miner
from tasks.negatives.pool import PassagePool
from tasks.storage import write_json, write_jsonl
from tasks.workspace import Workspace

KEY = "sk-planted-7c1e40d2ab95"
ECHO = f"Incorrect API key provided: {KEY}. Header was Bearer {KEY}"
# What repeats the key in its refusals, for all requests, for one, for now; and what talks nonsense.
ANSWERS = (refuse(401, ECHO), refuse(400, ECHO), refuse(500, ECHO), say("I would rather not."))

Ask = Callable[[PipelineConfig, Workspace], object]


def caption(config: PipelineConfig, workspace: Workspace) -> object:
    workspace.extracted_assets.mkdir(parents=True, exist_ok=True)
    Image.linear_gradient("L").save(workspace.extracted_assets / "a.png")
    write_jsonl(workspace.raw_knowledge, [
        {"file_path": "x.pdf", "content": "[IMAGE_REF: extracted_assets/a.png]",
         "extracted_images": ["a.png"]},
    ])  # fmt: skip
    return caption_images(config, workspace, base_url=config.captioning.base_url).rejects


def embed(config: PipelineConfig, workspace: Workspace) -> object:
    return embed_texts(["sea", "tea"], config.negatives.dense, workspace.cache)


def judge_candidates(config: PipelineConfig, workspace: Workspace) -> object:
    texts = ["The tower is old.", "The tower leans.", "Tea grows."]
    pool = PassagePool((str(i), text, "s") for i, text in enumerate(texts))
    asked = [Asked("Which tower is it?", "nothing", (0,), "seed")]
    return list(block_miner(pool, config, workspace)(asked))


def judge_an_answer(config: PipelineConfig, workspace: Workspace) -> object:
    judge = config.evaluation.judge
    item = ToJudge("Where?", ("Paris",), ("It is in Paris.",), "In Paris.")
    return judge_answers([item], judge, base_url=judge.base_url, cache=workspace.cache)


def answer(config: PipelineConfig, workspace: Workspace) -> object:
    openers = {"openai": chat_opener(config.evaluation.endpoint, workspace.cache)}
    system = open_system("openai:m", SystemOptions(max_new_tokens=9), openers)
    return system.answer(["where is Ada?"], [["Ada is in Orford."]])


def examine(config: PipelineConfig, _: Workspace) -> object:
    return check_endpoints(config)


SECTIONS: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], Ask]] = {
    "vision": (lambda e: {"captioning": e | {"ocr_hint": False}}, caption),
    "embeddings": (lambda e: {"negatives": {"dense": e}}, embed),
    "judge of negatives": (
        lambda e: {"model": {"generation_top_k": 1}, "negatives": {
            "llm_check": True, "num_candidates": 3, "max_relative_score": 9.0, "judge": e}},
        judge_candidates,
    ),
    "judge of answers": (lambda e: {"evaluation": {"judge": e | {"enabled": True}}},
                         judge_an_answer),
    "system that is compared": (lambda e: {"evaluation": {"endpoint": e}}, answer),
    "doctor": (lambda e: {"synthesis": e, "captioning": e}, examine),
}  # fmt: skip


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Whatever any library logs, as a console shows it; logging and known keys as before after."""
    monkeypatch.setenv("PLANTED", KEY)
    monkeypatch.setenv(logs.RUN_VARIABLE, "")
    factory, known = logging.getLogRecordFactory(), set(redact._values)
    stream, root = io.StringIO(), logging.getLogger()
    console, level = logging.StreamHandler(stream), root.level
    ours = [logging.getLogger(name) for name in logs.OUR_LOGGERS]
    before = [(logger, list(logger.handlers), logger.level) for logger in ours]
    root.addHandler(console)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(console)
    root.setLevel(level)
    logging.setLogRecordFactory(factory)
    redact._values.clear()
    redact._values.update(known)
    for logger, handlers, own_level in before:
        for handler in set(logger.handlers) - set(handlers):
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(own_level)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_key_is_sent_to_its_endpoint_and_left_nowhere_else(
    section: str, said: io.StringIO, tmp_path: Path
) -> None:
    settings_of, ask = SECTIONS[section]
    for number, act in enumerate(ANSWERS):
        workspace = Workspace(tmp_path / str(number))
        with serve([act]) as endpoint:
            config = PipelineConfig.model_validate({
                **settings_of({"base_url": endpoint.url, "model": "m", "api_key": "${PLANTED}",
                               "max_retries": 0}),
                # Nobody listens: what MLflow is to be told stays in files.
                "workspace": str(workspace.root),
                "tracking": {"uri": "http://127.0.0.1:9", "send_wait_s": 0.1},
            })  # fmt: skip
            tracker = tracking.open_pipeline_run(config, workspace)
            with suppress(ClaraError), tracking.step_run(tracker, "asking", "key") as run_id:
                tracking.log_metrics(tracker, run_id, [{"step": 0, "asked": 1}])
                try:
                    # Reasons and verdicts go into results.
                    write_json(
                        workspace.root / "result.json", {"result": repr(ask(config, workspace))}
                    )
                except ClaraError as err:
                    said.write("".join(traceback.format_exception(err)))
                    raise
        assert endpoint.headers
        assert {sent["Authorization"] for sent in endpoint.headers} == {f"Bearer {KEY}"}
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("PLANTED" in path.read_text(errors="replace") for path in written)  # the parameters
    assert [str(path) for path in written if KEY.encode() in path.read_bytes()] == []
    assert "Incorrect API key" in said.getvalue() + "".join(
        path.read_text(errors="replace") for path in written
    )
    assert KEY not in said.getvalue()
