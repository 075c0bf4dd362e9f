"""Pretraining of the built-in decoder: what it reads, and that a cut-off run ends the same."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from clara_model import prompts, world, world_words
from clara_model.base.pretrain import build_decoder, pretrain_base, weighted_loss
from clara_model.base.reading import ANSWER_WEIGHT, Reader
from clara_model.base.settings import BuiltInSettings
from clara_model.base.tokenizer import train_tokenizer
from clara_model.errors import ConfigError

USER_TEXTS = ["The quick greenhouse thermostat is calibrated weekly by two gardeners. " * 40]


class KilledError(Exception):
    """Stands for the end of a process."""


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(USER_TEXTS, folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(tokenizer_folder)


def small(**changes: object) -> BuiltInSettings:
    values = {
        "hidden_size": 32,
        "layers": 2,
        "heads": 2,
        "ffn": 64,
        "steps": 8,
        "copy_steps": 2,
        "short_steps": 4,
        "batch_size": 4,
        "checkpoint_every": 3,
        "warmup_steps": 2,
    }
    return BuiltInSettings(**{**values, **changes})


def reader(tokenizer: PreTrainedTokenizerBase, settings: BuiltInSettings, share: float) -> Reader:
    def encode(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    return Reader(settings, encode, [encode(text) for text in USER_TEXTS], share)


def test_a_killed_run_continues_and_ends_with_the_same_weights(
    tokenizer_folder: Path, tmp_path: Path
) -> None:
    def run(out: Path, stop_after: int | None = None) -> dict[str, float]:
        def on_progress(report: dict[str, float]) -> None:
            seen.append(int(report["step"]))
            if report["step"] == stop_after:
                raise KilledError

        return pretrain_base(
            tokenizer_folder,
            out,
            small(),
            user_texts=USER_TEXTS,
            world_share=0.7,
            on_progress=on_progress,
        )

    seen: list[int] = []
    whole = run(tmp_path / "whole")
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8]
    with pytest.raises(KilledError):
        run(tmp_path / "cut", stop_after=5)
    assert not (tmp_path / "cut").exists()
    seen.clear()
    again = run(tmp_path / "cut")
    assert seen == [4, 5, 6, 7, 8]  # from the checkpoint after step 3
    assert again == whole
    first = load_file(tmp_path / "whole" / "model.safetensors")
    second = load_file(tmp_path / "cut" / "model.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cut", "whole"]


def test_a_checkpoint_of_other_settings_is_left_aside(
    tokenizer_folder: Path, tmp_path: Path
) -> None:
    def die(report: dict[str, float]) -> None:
        if report["step"] == 5:
            raise KilledError

    out = tmp_path / "base"
    with pytest.raises(KilledError):
        pretrain_base(
            tokenizer_folder, out, small(), user_texts=[], world_share=1.0, on_progress=die
        )
    steps: list[float] = []
    pretrain_base(
        tokenizer_folder,
        out,
        small(seed=1),
        user_texts=[],
        world_share=1.0,
        on_progress=lambda report: steps.append(report["step"]),
    )
    assert steps[0] == 1


def test_the_result_is_a_plain_hugging_face_folder(tokenizer_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "base"
    (out / "old").mkdir(parents=True)
    report = pretrain_base(tokenizer_folder, out, small(), user_texts=[], world_share=1.0)
    model = AutoModelForCausalLM.from_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert not (out / "old").exists()
    assert tokenizer.chat_template
    assert model.config.vocab_size == len(tokenizer)
    assert report["parameters"] == model.num_parameters()
    assert report["steps"] == 8
    # A fresh model knows nothing: about log(vocabulary) for each token.
    assert report["first_loss"] == pytest.approx(math.log(len(tokenizer)), rel=0.1)
    assert report["last_loss"] < report["first_loss"]


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_world_share_outside_its_range_is_refused(
    tokenizer_folder: Path, tmp_path: Path, share: float
) -> None:
    with pytest.raises(ConfigError, match=r"training\.world\.share"):
        pretrain_base(
            tokenizer_folder, tmp_path / "base", small(), user_texts=[], world_share=share
        )
    assert list(tmp_path.iterdir()) == []


def test_texts_of_full_documents_are_the_prompts_of_the_stages(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    texts = [
        tokenizer.decode(text.ids)
        for step in range(30)
        for text in reader(tokenizer, small(copy_steps=0, short_steps=0), 1.0).batch(step)
    ]
    systems = {"list": prompts.SYSTEM_LIST_QA, "single": prompts.SYSTEM_ANSWER}
    starts = {kind: f"<s><|system|>{text}<|user|>Background:" for kind, text in systems.items()}
    lists = [text for text in texts if text.startswith(starts["list"])]
    singles = [text for text in texts if text.startswith(starts["single"])]
    assert len(lists) > 30
    assert len(singles) > 5
    for text in singles:
        user, answer = text.split("<|user|>")[1].split("<|assistant|> ")
        document, question = user.removeprefix("Background:\n").split("\n\nQuestion:")
        prompt, added = prompts.render_pair(
            tokenizer, prompts.answer_turn(document, question), answer.removesuffix("</s>")
        )
        assert text == prompt + added
    for text in lists:
        user, answers = text.split("<|user|>")[1].split("<|assistant|> ")
        lines = answers.removesuffix("</s>").split("\n")
        assert len(lines) in (2, 10)  # one complex question, or a simple one for each fact
        pairs = zip(lines[::2], lines[1::2], strict=True)
        assert all(q.startswith("Question: ") and a.startswith("Answer: ") for q, a in pairs)


def test_tokens_are_those_of_the_whole_text(tokenizer: PreTrainedTokenizerBase) -> None:
    texts = reader(tokenizer, small(copy_steps=0, short_steps=0, batch_size=40), 1.0).batch(0)
    for text in texts:
        whole = tokenizer.decode(text.ids)
        assert tokenizer(whole, add_special_tokens=False)["input_ids"] == text.ids


def test_answers_weigh_most_and_prompts_next_to_nothing(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    values = {f" {word}" for word in world.vocabulary()}
    texts = reader(tokenizer, small(copy_steps=0, short_steps=0, batch_size=40), 1.0).batch(0)
    for text in texts:
        assert len(text.ids) == len(text.weights)
        heavy = [i for i, w in zip(text.ids, text.weights, strict=True) if w == ANSWER_WEIGHT]
        # Paraphrase, single question, list, record with name, complex question with commas.
        assert len(heavy) in (0, 1, 5, 7, 9)
        assert all(tokenizer.decode([i]) in {*values, ","} for i in heavy)
        assert text.weights[0] == 0.0
        assert sum(w > 0.02 for w in text.weights) < len(text.ids) / 1.5


def test_a_record_is_the_name_and_all_values_in_the_order_of_the_table(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    texts = reader(tokenizer, small(copy_steps=0, short_steps=0, batch_size=60), 1.0).batch(0)
    told = [tokenizer.decode(text.ids).split("</s>") for text in texts]
    records = [parts for parts in told if len(parts) == 3]
    assert len(records) > 5
    tables = (world_words.PERSON_FACTS, world_words.COMPANY_FACTS)
    for document, record, _ in records:
        first, second, *values = record.split()
        assert document.count(f"{first} {second}") == 5
        assert all(f" {value}" in document for value in values)
        known = [[value in fact[1] for value, fact in zip(values, t, strict=True)] for t in tables]
        assert [True] * 5 in known


def test_documents_grow_from_one_fact_and_plain_text_waits(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    settings = small(copy_steps=0, short_steps=100, batch_size=16)
    source = reader(tokenizer, settings, 0.5)
    first, last, full = (
        [tokenizer.decode(text.ids) for text in source.batch(step)] for step in (0, 99, 100)
    )
    assert all(text.split("<|assistant|>")[0].count(".") <= 2 for text in first)
    assert max(text.split("<|assistant|>")[0].count(".") for text in last) >= 5
    assert not any("<|system|>" in text or "greenhouse" in text for text in first + last)
    assert 3 <= sum("greenhouse" in text for text in full) <= 13


def test_first_steps_copy_words(tokenizer: PreTrainedTokenizerBase) -> None:
    texts = reader(tokenizer, small(copy_steps=1, batch_size=40), 1.0).batch(0)
    copies = [
        t
        for t in map(tokenizer.decode, (t.ids for t in texts))
        if t.startswith("<s><|user|>") and "Background" not in t
    ]
    assert 10 <= len(copies) <= 30
    for text in copies:
        given, repeated = text.removeprefix("<s><|user|>").split("<|assistant|>")
        assert repeated == f"{given}</s>"


def test_the_weighted_loss_is_the_weighted_mean_of_the_next_tokens_cross_entropy(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    model = build_decoder(small(), tokenizer)
    ids = torch.tensor([[1, 9, 12, 40], [1, 7, 0, 0]])
    weights = torch.tensor([[0.0, 2.0, 0.0, 0.5], [0.0, 4.0, 0.0, 0.0]])
    log_probs = model(input_ids=ids).logits.log_softmax(-1)
    expected = -(
        2.0 * log_probs[0, 0, 9] + 0.5 * log_probs[0, 2, 40] + 4.0 * log_probs[1, 0, 7]
    ) / (2.0 + 0.5 + 4.0)
    assert weighted_loss(model, ids, weights)[0].item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_first_weights_depend_on_the_seed_alone(tokenizer: PreTrainedTokenizerBase) -> None:
    torch.manual_seed(1)
    first = build_decoder(small(), tokenizer).lm_head.weight
    torch.manual_seed(2)
    assert torch.equal(first, build_decoder(small(), tokenizer).lm_head.weight)
    assert not torch.equal(first, build_decoder(small(seed=1), tokenizer).lm_head.weight)


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="hidden_size 100"):
        BuiltInSettings(hidden_size=100, heads=8)
