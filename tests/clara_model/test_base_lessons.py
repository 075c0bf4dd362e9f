"""Lessons in telling documents apart, and first weights that can already look words up."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerBase

from clara_model import world
from clara_model.base.lessons import Lessons, Progress
from clara_model.base.pretrain import build_decoder, pretrain_base
from clara_model.base.reading import ANSWER_WEIGHT, Text
from clara_model.base.settings import BuiltInSettings
from clara_model.base.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer([], folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(tokenizer_folder)


@pytest.fixture
def lessons(tokenizer: PreTrainedTokenizerBase) -> Lessons:
    def encode(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    return Lessons(encode, seed=3, tokens=400, goal=0.8, most_steps=20)


def parts(text: Text, tokenizer: PreTrainedTokenizerBase) -> tuple[str, list[str]]:
    """What stands before the assistant's turn, and the words to be predicted as answers."""
    words = tokenizer.convert_ids_to_tokens(text.ids)
    start = words.index("<|assistant|>")
    answers = [
        word.removeprefix("Ġ")
        for word, weight in zip(words, text.weights, strict=True)
        if weight == ANSWER_WEIGHT
    ]
    return tokenizer.decode(text.ids[:start]), answers


@pytest.mark.parametrize("lesson", range(5))
def test_every_answer_stands_in_the_documents(
    lessons: Lessons, tokenizer: PreTrainedTokenizerBase, lesson: int
) -> None:
    for step in range(4):
        texts, is_current = lessons.batch(step, Progress(lesson))
        assert is_current
        for text in texts:
            documents, answers = parts(text, tokenizer)
            assert answers
            assert all(answer in documents for answer in answers)


def test_a_batch_depends_on_seed_step_and_lesson_alone(lessons: Lessons) -> None:
    lessons.batch(0, Progress(1))
    again = lessons.batch(5, Progress(2, steps=9))
    random.random()
    assert lessons.batch(5, Progress(2, steps=9)) == again
    assert lessons.batch(6, Progress(2, steps=9)) != again


def test_lessons_ask_about_names_of_training_only(
    lessons: Lessons, tokenizer: PreTrainedTokenizerBase
) -> None:
    rng = random.Random(2)
    held_out = {world.draw_entity(rng, split).name for split in ("dev", "test") for _ in range(400)}
    for step in range(20):
        texts = lessons.several_documents(step) + lessons.batch(step, Progress(2))[0]
        told = " ".join(tokenizer.decode(text.ids) for text in texts)
        assert not [name for name in held_out if name in told]


def test_a_lesson_ends_when_it_is_mastered_or_has_taken_its_time(lessons: Lessons) -> None:
    progress = Progress()
    # The mastery after n right steps is 1 - 0.85 ** n, which passes 0.8 at n = 10.
    assert [lessons.mark(progress, 1.0) for _ in range(10)] == [False] * 9 + [True]
    assert progress == Progress(lesson=1)
    assert [lessons.mark(progress, 0.1) for _ in range(20)] == [False] * 19 + [True]


@pytest.fixture
def fresh(tokenizer: PreTrainedTokenizerBase) -> LlamaForCausalLM:
    settings = BuiltInSettings(induction=True, head_dim=64, rope_theta=1.0e6)
    model = build_decoder(settings, tokenizer)
    model.set_attn_implementation("eager")
    return model


def draw_words(rows: int, length: int) -> torch.Tensor:
    return torch.randint(300, 3000, (rows, length), generator=torch.Generator().manual_seed(0))


def test_fresh_heads_look_back_and_match(fresh: LlamaForCausalLM) -> None:
    ids = draw_words(64, 24)
    ids[:, 20] = ids[:, 9]
    with torch.no_grad():
        first, second, *_ = fresh(ids, output_attentions=True).attentions
    for head, offset in enumerate((1, 2)):
        assert (first[:, head, 15].argmax(dim=-1) == 15 - offset).all()
    # A repeated token looks for what came 1 and 2 places after its first occurrence.
    looked = second[:, :, 20, :20].mean(dim=0)
    for head, place in enumerate((10, 11)):
        others = [looked[head, i] for i in range(20) if abs(i - place) > 1]
        assert looked[head, place] > 2 * torch.stack(others).max()


def test_fresh_windows_cover_a_sentence_and_nothing_far_from_it(fresh: LlamaForCausalLM) -> None:
    with torch.no_grad():
        first, *_ = fresh(draw_words(8, 200), output_attentions=True).attentions
    for head, offsets in ((2, range(0, 7)), (3, range(3, 12))):
        looked = first[:, head, 199].flip(-1).mean(dim=0)  # by tokens back
        assert looked[list(offsets)].sum() > 0.8
        assert looked[list(offsets)].max() < 0.3
        assert looked[20:].sum() < 0.05


def test_fresh_windows_know_a_sentence_by_its_words(fresh: LlamaForCausalLM) -> None:
    ids = draw_words(64, 60)
    # Two words of a sentence return in a question, at other distances from its end.
    ids[:, 56], ids[:, 57] = ids[:, 22], ids[:, 23]
    with torch.no_grad():
        _, second, *_ = fresh(ids, output_attentions=True).attentions
    for head in (2, 3):
        looked = second[:, head, 59, :50]
        looked = (looked / looked.sum(dim=-1, keepdim=True)).mean(dim=0)
        assert looked[24:32].mean() > 1.5 * torch.cat([looked[5:20], looked[36:]]).mean()


def test_a_killed_run_goes_on_in_the_middle_of_a_lesson(
    tokenizer_folder: Path, tmp_path: Path
) -> None:
    settings = BuiltInSettings(
        hidden_size=32, layers=2, heads=2, ffn=64, steps=8, batch_size=2, checkpoint_every=3,
        warmup_steps=2, induction=True, head_dim=16, lesson_tokens=60, copy_steps=0, short_steps=0,
    )  # fmt: skip

    class KilledError(Exception):
        pass

    def kill(line: dict[str, float]) -> None:
        if line["step"] == 5:
            raise KilledError

    options = {"user_texts": [], "world_share": 1.0}
    pretrain_base(tokenizer_folder, tmp_path / "whole", settings, **options)
    with pytest.raises(KilledError):
        pretrain_base(tokenizer_folder, tmp_path / "cut", settings, **options, on_progress=kill)
    pretrain_base(tokenizer_folder, tmp_path / "cut", settings, **options)
    whole, cut = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "cut"))
    assert whole == cut
