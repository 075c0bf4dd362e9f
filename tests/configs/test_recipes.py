"""The recipes shipped in configs/: what they are said to be, and several values of one key."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from clara_model.errors import ConfigError
from configs.load import load_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PAPER = ("mistral_7b", "phi4_mini", "rates")


def numbers_as_text(tree: object, place: str = "") -> list[str]:
    """Places of values such as 3e-4, which PyYAML reads as text."""
    if isinstance(tree, dict):
        return [p for key, value in tree.items() for p in numbers_as_text(value, f"{place}.{key}")]
    if isinstance(tree, str):
        try:
            float(tree)
        except ValueError:
            return []
        return [place]
    return []


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_no_number_is_written_so_that_yaml_reads_text(path: Path) -> None:
    assert numbers_as_text(yaml.safe_load(path.read_text())) == []


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_recipes_are_those_of_its_table_10(name: str) -> None:
    config = load_config(CONFIGS / f"{name}.yaml")
    model, training = config.model, config.training
    assert (model.lora_r, model.lora_alpha, model.lora_dropout) == (16, 32, 0.1)
    assert (model.doc_max_length, model.generation_top_k) == (256, 5)
    assert config.negatives.num_candidates == 20
    for stage in (training.stage1, training.stage2):
        assert (stage.batch_size, stage.learning_rate, stage.mse_weight) == (128, 1e-4, 0.1)
    assert (training.stage3.batch_size, training.stage3.learning_rate) == (32, 5e-6)
    for stage in (training.stage1, training.stage2, training.stage3):
        assert (stage.epochs, stage.warmup_ratio, stage.max_grad_norm) == (1.0, 0.03, 1.0)
        assert (stage.schedule, stage.weight_decay) == ("cosine", 0.0)
    assert training.world.share == 0.0


def test_qwen3_4b_takes_one_example_at_a_time_of_batches_of_32() -> None:
    config = load_config(CONFIGS / "qwen3_4b.yaml")
    assert config.model.base == "Qwen/Qwen3-4B-Instruct-2507"
    assert config.model.generation_top_k == 5
    for name in ("stage1", "stage2", "stage3"):
        stage = getattr(config.training, name)
        assert (stage.batch_size, stage.micro_batch_size) == (32, 1)


@pytest.mark.parametrize(
    ("name", "every", "patience"), [*((name, 200, 0) for name in PAPER), ("qwen3_4b", 50, 5)]
)
def test_recipes_for_gpus_end_with_the_weights_that_did_best_on_rows_held_out(
    name: str, every: int, patience: int
) -> None:
    training = load_config(CONFIGS / f"{name}.yaml").training
    for stage in (training.stage1, training.stage2, training.stage3):
        assert (stage.eval_every, stage.early_stopping, stage.keep) == (every, patience, "best")
        assert (stage.eval_rows, stage.best_metric) == (64, "loss")


@pytest.mark.parametrize("name", [*PAPER, "qwen3_4b"])
def test_recipes_for_gpus_train_in_half_precision_and_name_a_key_only(name: str) -> None:
    config = load_config(CONFIGS / f"{name}.yaml")
    assert (config.training.precision, config.training.gradient_checkpointing) == ("bf16", True)
    assert config.synthesis.base_url.endswith("/v1")
    assert str(config.synthesis.api_key).startswith("${")


def test_rates_go_from_64_memory_vectors_a_document_to_one() -> None:
    config = load_config(CONFIGS / "rates.yaml")
    assert config.sweep is not None
    variants = [config.variant(value) for value in config.sweep.values]
    assert [v.model.doc_max_length // v.model.compr_rate for v in variants] == [64, 16, 8, 4, 2, 1]
    assert all(variant.sweep is None for variant in variants)
    # Nothing else differs.
    same = {v.model_copy(update={"model": config.model}).model_dump_json() for v in variants}
    assert same == {config.model_copy(update={"sweep": None}).model_dump_json()}


def test_rates_are_the_recipe_of_mistral() -> None:
    one, other = (load_config(CONFIGS / f"{name}.yaml") for name in ("mistral_7b", "rates"))
    apart = {"workspace": one.workspace, "sweep": None}
    assert other.model_copy(update=apart) == one


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sweep.values=[4, 3]"], r"sweep: model\.compr_rate=3: doc_max_length 256 is not a mult"),
        (["sweep.key=model.nothing"], r"sweep: model\.nothing=4: there is no such key"),
        (["sweep.key=model.base.deep"], r"'base' is not a section"),
        (["sweep.key=workspace"], r"must begin with model, training, evaluation"),
        (["sweep.values=[4, 4]"], r"the same variant twice: compr_rate=4"),
        (["sweep.values=[]"], r"at least 1 item"),
        (["sweep.ky=1"], r"unknown key 'sweep\.ky'; did you mean 'key'\?"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_before_anything_runs(
    overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(CONFIGS / "rates.yaml", overrides)


def test_variants_are_named_after_key_and_value() -> None:
    overrides = ["sweep.key=training.stage3.query_init", "sweep.values=[encoder, random]"]
    sweep = load_config(CONFIGS / "rates.yaml", overrides).sweep
    assert sweep is not None
    assert [sweep.label(v) for v in sweep.values] == ["query_init=encoder", "query_init=random"]
    assert sweep.label("org/model a") == "query_init=org-model-a"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("data_mix={simple: 0, complex: 0, paraphrase: 0}", "all 0: nothing is left to train on"),
        ("data_mix.simple=1.5", "less than or equal to 1"),
    ],
)
def test_a_data_mix_that_leaves_nothing_is_refused(key: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(CONFIGS / "quickstart.yaml", [f"training.stage1.{key}"])


def test_a_frozen_compressor_and_shared_weights_that_train_exclude_each_other() -> None:
    overrides = ["training.stage2.train_compressor=false", "model.train_also=[norm]"]
    with pytest.raises(ConfigError, match=r"model\.train_also trains weights that the compressor"):
        load_config(CONFIGS / "quickstart.yaml", overrides)


def test_a_stage3_that_trains_nothing_is_refused() -> None:
    frozen = ["training.stage3.train_query_reasoner=false", "training.stage3.train_decoder=false"]
    with pytest.raises(ConfigError, match="nothing to train; set one to true"):
        load_config(CONFIGS / "quickstart.yaml", frozen)
    load_config(CONFIGS / "quickstart.yaml", [*frozen, "training.stage3.train_compressor=true"])
