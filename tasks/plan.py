"""The pipeline as a list of steps: what each reads, writes, and depends on in the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clara_model.errors import ConfigError
from configs.base import ENDPOINT_NEUTRAL, EndpointSettings, Settings
from configs.schema import PipelineConfig
from tasks.evaluation.places import evaluation_folder
from tasks.extraction.convert import VERSION as EXTRACTION_VERSION
from tasks.extraction.modes import extraction_identity
from tasks.llm.embedded import RULES_VERSION
from tasks.manifests import Step
from tasks.synthesis.prompts import PROMPT_VERSION
from tasks.synthesis.settings import usable_settings
from tasks.workspace import Workspace

STAGES = ("stage1", "stage2", "stage3")
# What the variants of a sweep have in common: all that is made before a stage trains.
SHARED_STEPS = ("extract", "caption", "tokenizer", "passages", "synthesize", "mine", "card", "base")

# Settings that change how fast or how politely a step works, but not what comes out
# (the input's contents are hashed; its place does not matter).
_RESULT_NEUTRAL = {
    *ENDPOINT_NEUTRAL, "input", "memory_mb", "checkpoint_every", "checkpoint_minutes",
    "micro_batch_size", "attention",
}  # fmt: skip


def require_input(config: PipelineConfig) -> None:
    """Refuse a configuration whose documents are not there.

    Raises:
        ConfigError: If `extraction.input` is neither a file nor a folder.
    """
    if not config.extraction.input.exists():
        raise ConfigError(
            f"extraction.input: {config.extraction.input} is neither a file nor a folder here; "
            "`--set extraction.input=PATH` names another"
        )


def build_plan(config: PipelineConfig, workspace: Workspace) -> dict[str, Step]:
    """All steps in the order in which they run, by name."""
    steps = [*_data_steps(config, workspace), *_model_steps(config, workspace)]
    return {step.name: step for step in steps}


def _data_steps(config: PipelineConfig, ws: Workspace) -> list[Step]:
    tokenizer = ws.models / "tokenizer"
    length = config.model.doc_max_length
    split = {"share": config.synthesis.benchmark_share, "seed": config.seed}
    return [
        Step(
            "extract", "documents to text and images", EXTRACTION_VERSION,
            _decisive(config.extraction) | extraction_identity(config.extraction),
            (config.extraction.input,),
            (ws.raw_knowledge, ws.extracted_assets),
        ),
        Step(
            "caption", "images to text", 2,
            _decisive(config.captioning) | _endpoint_version(config.captioning),
            (ws.raw_knowledge, ws.extracted_assets), (ws.captions,),
        ),
        Step(
            "tokenizer", "tokenizer of the base model", 1,
            _base_identity(config), _tokenizer_inputs(config, ws), (tokenizer,),
        ),
        Step(
            "passages", "text to passages", 5,
            {"length": length, "split": split},
            (ws.raw_knowledge, ws.captions, tokenizer), (ws.passages,),
        ),
        Step(
            "synthesize", "questions, answers, paraphrases", 2,
            _synthesis_settings(config)
            | {"prompt_version": PROMPT_VERSION}
            | _endpoint_version(config.synthesis),
            (ws.passages,), (ws.synthesis,),
        ),
        Step(
            "mine", "hard negatives and training rows", 3,
            _row_settings(config), (ws.passages, ws.synthesis), _row_files(config, ws),
        ),
        Step(
            "card", "what the rows are, on one page", 1, {"seed": config.seed},
            (ws.raw_knowledge, ws.captions, ws.passages, ws.synthesis, *_row_files(config, ws)),
            (ws.data_card,),
        ),
    ]  # fmt: skip


def _model_steps(config: PipelineConfig, ws: Workspace) -> list[Step]:
    training, models = config.training, ws.models
    base = models / "base"
    # As in `clara_model.training.spec`: ranks and ways to save memory change rounding, and which
    # units dropout drops.
    shared = {"precision": training.precision, "group_by_length": training.group_by_length,
              "world_share": training.world.share}  # fmt: skip
    model = _decisive(config.model)
    remines = config.negatives.strategies.memory > 0
    rows = {
        "stage1": "pretrain_data.jsonl",
        "stage2": "instruction_data.jsonl",
        "stage3": "end_to_end_data.jsonl",
    }
    before = {"stage1": (), "stage2": (models / "stage1",),
              "stage3": (models / training.stage3.init_from,)}  # fmt: skip
    steps = [
        Step(
            "base", "base decoder", 1,
            _base_identity(config) | {"world_share": training.world.share},
            (models / "tokenizer", ws.raw_knowledge, ws.captions), (base,),
        )
    ]  # fmt: skip
    titles = ("compressor pretraining", "instruction tuning", "end-to-end training")
    for stage, title in zip(STAGES, titles, strict=True):
        files = [ws.root / rows[stage]]
        if stage == "stage3" and remines:
            # All that decides the rows mined again, so that none of it changes unnoticed.
            files = [ws.end_to_end_memory, ws.passages, ws.synthesis, models / "stage2"]
            steps.append(
                Step(
                    "remine", "hard negatives by memories", 1, _row_settings(config),
                    (base, ws.passages, ws.synthesis, models / "stage2"), (ws.end_to_end_memory,),
                )
            )  # fmt: skip
        if training.world.share > 0:
            files.append(ws.world / rows[stage])
        steps.append(
            Step(
                stage, title, 1,
                _decisive(getattr(training, stage)) | shared | {"model": model},
                (base, *files, *before[stage]), (models / stage,),
            )
        )  # fmt: skip
    evaluation = evaluation_folder(config, ws)
    variant = "" if evaluation == ws.evaluation else evaluation.name
    benchmarks = _held_out(config, ws)
    return [
        *steps,
        Step(
            "index", "passages compressed for answering", 2, model,
            (models / "stage3", ws.passages), (ws.memory / "index",),
        ),
        Step(
            "evaluate", "systems on held-out questions", 4,
            _decisive(config.evaluation) | {"model": model},
            (*_evaluated_models(config, ws), *benchmarks, *_public_files(config)),
            tuple(evaluation / name for name in
                  ("summary.json", "index.json", "questions", "predictions", "reconstruction")),
            variant,
        ),
        Step(
            "report", "one page to read", 4, {},
            (evaluation / "summary.json",), (evaluation / "report.html",), variant,
        ),
    ]  # fmt: skip


def _evaluated_models(config: PipelineConfig, ws: Workspace) -> tuple[Path, ...]:
    """The workspace's own models, or those folders that named systems are made of."""
    names = config.evaluation.systems
    if not names:
        return tuple(ws.models / name for name in ("base", *STAGES))
    from tasks.evaluation.entrants import named_models

    words = dict.fromkeys(word for name in names for word in named_models(name))
    places = [ws.models / w if w in STAGES else Path(w) for w in words]
    return tuple(place for place in (ws.models / "base", *places) if place.is_dir())


def _held_out(config: PipelineConfig, ws: Workspace) -> tuple[Path, ...]:
    """Folders of held-out questions; a given model may be evaluated where there are none."""
    folders = {"documents": ws.benchmark, "unanswerable": ws.benchmark}
    if config.training.world.share > 0:
        folders["world"] = ws.world / "benchmark"
    asked = [folder for name, folder in folders.items() if name in config.evaluation.held_out]
    places = dict.fromkeys(asked)
    return tuple(place for place in places if not config.evaluation.systems or place.is_dir())


def _public_files(config: PipelineConfig) -> tuple[Path, ...]:
    """Files of public benchmarks, and the corpus that they are asked over."""
    settings = config.evaluation
    files = [Path(name) for name in settings.benchmarks if Path(name).is_file()]
    if len(files) < len(settings.benchmarks) and settings.benchmarks_folder.is_dir():
        files.append(settings.benchmarks_folder)
    return (*files, *([settings.corpus] if settings.corpus else []))


def _decisive(settings: Settings) -> dict[str, Any]:
    """A section without the keys that leave the result as it is."""
    return settings.model_dump(mode="json", exclude=_RESULT_NEUTRAL)


def _endpoint_version(settings: EndpointSettings) -> dict[str, int]:
    """Version of the embedded endpoint's rules; another endpoint is known by its model's name."""
    return {"rules_version": RULES_VERSION} if settings.is_embedded else {}


def _base_identity(config: PipelineConfig) -> dict[str, Any]:
    model = config.model
    identity: dict[str, Any] = {"base": model.base, "remote_code": model.trust_remote_code}
    if model.base == "built-in":
        identity["built_in"] = model.built_in.model_dump(mode="json")
    return identity


def _tokenizer_inputs(config: PipelineConfig, ws: Workspace) -> tuple[Path, ...]:
    """The built-in tokenizer learns from the user's texts; a given base brings its own."""
    if config.model.base == "built-in":
        return (ws.raw_knowledge, ws.captions)
    folder = Path(config.model.base)
    return (folder,) if folder.is_dir() else ()


def _synthesis_settings(config: PipelineConfig) -> dict[str, Any]:
    """What decides questions and answers; the teacher works when rows are built."""
    settings = _decisive(usable_settings(config))
    del settings["teacher"]
    settings["models"] = config.synthesis.models.model_dump(include={"questions", "verification"})
    return settings


def _row_settings(config: PipelineConfig) -> dict[str, Any]:
    return {
        "negatives": config.negatives.decisive(config.synthesis),
        "teacher": (
            [config.synthesis.base_url, config.synthesis.model_for("teacher"), PROMPT_VERSION]
            if config.synthesis.teacher
            else None
        ),
        "top_k": config.model.generation_top_k,
        "world": config.training.world.model_dump(mode="json"),
        "paraphrase_share": config.training.stage1.paraphrase_share,
        "examples": {
            stage: [
                getattr(config.training, stage).steps,
                getattr(config.training, stage).batch_size,
            ]
            for stage in STAGES
        },
        "seed": config.seed,
    }


def _row_files(config: PipelineConfig, ws: Workspace) -> tuple[Path, ...]:
    files = (ws.pretrain_data, ws.instruction_data, ws.end_to_end_data, ws.all_training_data,
             ws.benchmark)  # fmt: skip
    return (*files, ws.world) if config.training.world.share > 0 else files
