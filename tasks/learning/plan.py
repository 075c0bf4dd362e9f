"""The jobs of a learning proof and what each needs; equal jobs are done once.

A job is known by a hash of all that decides its result, so that a rerun skips what is there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from clara_model.errors import ConfigError
from clara_model.training.spec import ModelPart, StagePart
from configs.learning import Ablation, LearningConfig, Stage3Recipe, TwoHopRecipe
from configs.training import StageSettings
from tasks.storage import Record, hash_file, hash_json

# Raised by hand whenever the same settings would give other results.
VERSION = 1

# What the decoder reads and learns is code as much as settings.
_SOURCES = ("world/*.py", "world_words.py", "prompts.py", "base/*.py")

Kind = Literal["reader", "train", "score"]


@dataclass(frozen=True)
class Job:
    """One process.

    Args:
        name: Its folder in the workspace, such as `seed0/stage1-r8`.
        kind: What it does.
        settings: All that decides its result, beside what it needs.
        needs: Jobs that must be done before, by the part they play.
        key: Hash of settings and of the keys of what it needs.
        cost: Roughly how long it takes, in no unit; the longest chain starts first.
    """

    name: str
    kind: Kind
    settings: Record
    needs: dict[str, str]
    key: str
    cost: float


@dataclass
class Plan:
    """All jobs, and which of them measure what.

    Args:
        jobs: By key.
        scores: Name of the scoring job of each seed and part (`reader`, `stage1-r8`, `stage3` ...).
        ablations: Names of the scoring jobs of the reference and the changed model, by seed and
            ablation.
    """

    jobs: dict[str, Job] = field(default_factory=dict)
    scores: dict[tuple[int, str], str] = field(default_factory=dict)
    ablations: dict[tuple[int, str], tuple[str, str]] = field(default_factory=dict)

    def add(
        self, name: str, kind: Kind, settings: Record, needs: dict[str, Job], cost: float
    ) -> Job:
        """The job of this name, or the one that does the same under another."""
        parts = {part: job.key for part, job in needs.items()}
        key = hash_json([VERSION, _code_hash(), kind, settings, parts])
        names = {part: job.name for part, job in needs.items()}
        return self.jobs.setdefault(key, Job(name, kind, settings, names, key, cost))


def plan_jobs(config: LearningConfig) -> Plan:
    """Every job of every seed, needs before those that need them.

    Raises:
        ConfigError: If names of ablations make two jobs fall into one folder, or a recipe does not
            say its steps.
    """
    plan = Plan()
    for seed in config.seeds:
        _plan_seed(plan, config, seed)
    for seed in config.seeds[: config.ablation_seeds]:
        for name, ablation in config.ablations.items():
            _plan_ablation(plan, config, seed, name, ablation)
    names = [job.name for job in plan.jobs.values()]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"two different jobs are called {', '.join(sorted(doubled))}; rename "
                          "an ablation")  # fmt: skip
    return plan


def _plan_seed(plan: Plan, config: LearningConfig, seed: int) -> None:
    parts = {"reader": _score(plan, config, seed, "reader", _reader(plan, config, seed))}
    for rate in config.rates:
        parts[f"stage1-r{rate}"] = _score_stage1(plan, config, seed, rate)
    parts["stage1"] = _score_stage1(plan, config, seed, config.main_rate)
    parts["stage3"] = _score_stage3(plan, config, seed)
    if config.stage3_control:
        control = _stage3(plan, config, seed, name="stage3-control", shuffle=True)
        parts["stage3-control"] = _score(plan, config, seed, "stage3", control)
    parts["five-docs"] = _score_five_docs(plan, config, seed)
    if config.two_hop is not None:
        two_hop = _stage3(plan, config, seed, name="two-hop", recipe=config.two_hop)
        parts["two-hop"] = _score(plan, config, seed, "two_hop", two_hop)
    plan.scores |= {(seed, part): job.name for part, job in parts.items()}


def _plan_ablation(
    plan: Plan, config: LearningConfig, seed: int, name: str, ablation: Ablation
) -> None:
    measure: dict[str, Callable[..., Job]] = {
        "stage1": _score_stage1,
        "stage3": _score_stage3,
        "five_docs": _score_five_docs,
    }
    score = measure[ablation.metric.partition(".")[0]]
    reference = config.changed(ablation.common)
    variant = config.changed({**ablation.common, **ablation.change})
    plan.ablations[seed, name] = (
        score(plan, reference, seed, prefix=f"{name}-reference-").name,
        score(plan, variant, seed, prefix=f"{name}-").name,
    )


def _reader(plan: Plan, config: LearningConfig, seed: int, prefix: str = "") -> Job:
    settings = config.built_in.model_copy(update={"seed": seed})
    value = {"built_in": settings.model_dump(mode="json"), "device": config.device}
    cost = settings.steps * settings.batch_size
    return plan.add(f"seed{seed}/{prefix}reader", "reader", value, {}, cost)


def _stage1(
    plan: Plan, config: LearningConfig, seed: int, rate: int | None = None, prefix: str = ""
) -> Job:
    rate = rate or config.main_rate
    recipe = config.stage1
    if rate in config.stage1_steps_at:
        recipe = recipe.model_copy(update={"steps": config.stage1_steps_at[rate]})
    options = {"paraphrase_share": recipe.paraphrase_share, "complex_share": recipe.complex_share}
    if recipe.employer_share:
        options["employer_share"] = recipe.employer_share
    settings = _training(config, seed, recipe, rate=rate, k=1, stage="stage1", options=options)
    needs = {"base": _reader(plan, config, seed, prefix)}
    return plan.add(f"seed{seed}/{prefix}stage1-r{rate}", "train", settings, needs, _cost(settings))


def _five_docs(plan: Plan, config: LearningConfig, seed: int, prefix: str = "") -> Job:
    recipe = config.five_docs
    options: Record = {"num_docs": recipe.k}
    if recipe.two_hop_share:
        options["one_hop_share"] = 1.0 - recipe.two_hop_share
        options["hint_share"] = recipe.hint_share
    settings = _training(config, seed, recipe, rate=config.main_rate, k=recipe.k, stage="stage2",
                         options=options,
                         form="two_hop_stage2" if recipe.two_hop_share else "stage2")  # fmt: skip
    needs = {"base": _reader(plan, config, seed, prefix),
             "init": _stage1(plan, config, seed, prefix=prefix)}  # fmt: skip
    return plan.add(f"seed{seed}/{prefix}five-docs", "train", settings, needs, _cost(settings))


def _stage3(
    plan: Plan,
    config: LearningConfig,
    seed: int,
    prefix: str = "",
    *,
    name: str = "stage3",
    recipe: Stage3Recipe | None = None,
    shuffle: bool = False,
) -> Job:
    two_hop = isinstance(recipe, TwoHopRecipe)
    recipe = recipe or config.stage3
    options: Record = {"num_candidates": recipe.num_candidates, "code_share": recipe.code_share}
    if isinstance(recipe, TwoHopRecipe):
        options |= {"one_hop_share": recipe.one_hop_share, "hint_share": recipe.hint_share}
    if recipe.described_share:
        options["described_share"] = recipe.described_share
    settings = _training(
        config, seed, recipe, rate=config.main_rate, k=recipe.k, stage="stage3", options=options,
        form="two_hop" if two_hop else "stage3", shuffle=shuffle,
    )  # fmt: skip
    start = _stage1 if recipe.init_from == "stage1" else _five_docs
    needs = {"base": _reader(plan, config, seed, prefix),
             "init": start(plan, config, seed, prefix=prefix)}  # fmt: skip
    return plan.add(f"seed{seed}/{prefix}{name}", "train", settings, needs, _cost(settings))


def _score_stage1(
    plan: Plan, config: LearningConfig, seed: int, rate: int | None = None, prefix: str = ""
) -> Job:
    model = _stage1(plan, config, seed, rate, prefix)
    return _score(plan, config, seed, "stage1", model, prefix)


def _score_stage3(plan: Plan, config: LearningConfig, seed: int, prefix: str = "") -> Job:
    return _score(plan, config, seed, "stage3", _stage3(plan, config, seed, prefix), prefix)


def _score_five_docs(plan: Plan, config: LearningConfig, seed: int, prefix: str = "") -> Job:
    return _score(plan, config, seed, "five_docs", _five_docs(plan, config, seed, prefix), prefix)


def _score(
    plan: Plan, config: LearningConfig, seed: int, what: str, model: Job, prefix: str = ""
) -> Job:
    """What is asked is the same for all models of a seed, so that they can be compared."""
    asked, recipe = config.questions, config.stage3
    two_hop = config.two_hop or TwoHopRecipe()
    hints = {"hint_share": two_hop.hint_share}
    own: dict[str, Record] = {
        "reader": {"num_candidates": recipe.num_candidates, "num_docs": config.five_docs.k,
                   "doc_max_length": config.model.doc_max_length}
        | (hints if config.two_hop else {}),
        "stage1": {"num_candidates": recipe.num_candidates},
        "stage3": {"num_candidates": recipe.num_candidates}
        | ({"described": True} if recipe.described_share else {})
        | ({"query_init": "random"} if recipe.query_init == "random" else {}),
        "five_docs": {"num_docs": config.five_docs.k},
        "two_hop": {"num_candidates": two_hop.num_candidates, **hints},
    }  # fmt: skip
    settings = {
        "what": what,
        "questions": {"count": asked.count, "seed": asked.seed + seed, "split": asked.split},
        "max_new_tokens": asked.max_new_tokens,
        "batch_size": asked.batch_size,
        "device": config.device,
        **own[what],
    }
    needs = {"model": model}
    if model.kind != "reader":
        needs["base"] = _reader(plan, config, seed, prefix)
    folder, _, name = model.name.partition("/")
    cost = asked.count * (config.stage3.num_candidates if what == "stage3" else 4)
    return plan.add(f"{folder}/score-{name}", "score", settings, needs, cost)


def _training(
    config: LearningConfig,
    seed: int,
    recipe: StageSettings,
    *,
    rate: int,
    k: int,
    stage: Literal["stage1", "stage2", "stage3"],
    options: Record,
    form: str | None = None,
    shuffle: bool = False,
) -> Record:
    """Settings of a training job; it sees every row once."""
    if recipe.steps is None:
        raise ConfigError(f"a recipe of {stage} has no steps; set them in the configuration")
    training = StagePart(**_known(StagePart, recipe)).model_copy(update={"seed": seed})
    count = recipe.steps * recipe.batch_size
    count += recipe.eval_rows if recipe.eval_every else 0
    rows = {"form": form or stage, "count": count, "seed": seed, "options": options,
            "shuffle": shuffle}  # fmt: skip
    return {
        "stage": stage,
        "model": _model(config, rate, k).model_dump(mode="json"),
        "training": training.model_dump(mode="json"),
        "rows": rows,
        "precision": config.precision,
        "device": config.device,
    }


def _model(config: LearningConfig, rate: int, k: int) -> ModelPart:
    return ModelPart(**config.model.model_dump(), compr_rate=rate, generation_top_k=k)


def _known(part: type[BaseModel], recipe: BaseModel) -> dict[str, Any]:
    return {key: value for key, value in recipe.model_dump().items() if key in part.model_fields}


def _cost(settings: Record) -> float:
    documents = settings["rows"]["options"].get("num_docs", 1)
    return float(settings["rows"]["count"]) * (1.0 + 0.5 * documents)


@cache
def _code_hash() -> str:
    package = Path(__file__).resolve().parents[2] / "clara_model"
    files = sorted(path for pattern in _SOURCES for path in package.glob(pattern))
    return hash_json({str(path.relative_to(package)): hash_file(path) for path in files})
