"""Lessons in questions over two documents, and first weights that can match a second time."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from clara_model import world, world_words
from clara_model.base.hops import TwoHopLessons
from clara_model.base.lessons import Lessons, Progress
from clara_model.base.pretrain import build_decoder, pretrain_base
from clara_model.base.reading import ANSWER_WEIGHT, Text
from clara_model.base.settings import BuiltInSettings
from clara_model.base.tokenizer import train_tokenizer

LESSONS = 8
EMPLOYED = re.compile(
    r"(\w+ \w+) is employed by (\w+ \w+)|employer of (\w+ \w+) is still (\w+ \w+)"
)
ASKED = re.compile(r"(?:employs|employer of) (\w+ \w+)")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer([], folder, extended=True)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def lessons(tokenizer: PreTrainedTokenizerBase) -> TwoHopLessons:
    def encode(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    return TwoHopLessons(encode, seed=3, tokens=800, goal=0.8, most_steps=20)


def told(text: Text, tokenizer: PreTrainedTokenizerBase) -> tuple[str, list[tuple[str, str]]]:
    """What stands before the assistant's turn, and what comes before each answer with it."""
    start = tokenizer.convert_ids_to_tokens(text.ids).index("<|assistant|>") + 1
    asked: list[tuple[list[int], list[int]]] = [([], [])]
    for i, weight in zip(text.ids[start:], text.weights[start:], strict=True):
        if weight == ANSWER_WEIGHT:
            asked[-1][1].append(i)
        else:
            if asked[-1][1]:
                asked.append(([], []))
            asked[-1][0].append(i)
    pairs = [(tokenizer.decode(q).strip(), tokenizer.decode(a).strip()) for q, a in asked if a]
    return tokenizer.decode(text.ids[: start - 1]), pairs


@pytest.mark.parametrize("lesson", range(LESSONS))
def test_every_answer_stands_in_what_is_read(
    lessons: TwoHopLessons, tokenizer: PreTrainedTokenizerBase, lesson: int
) -> None:
    assert len(lessons) == LESSONS
    for step in range(4):
        for text in lessons.batch(step, Progress(lesson))[0]:
            documents, pairs = told(text, tokenizer)
            assert pairs
            assert all(word in documents for _, answer in pairs for word in answer.split())


def test_bare_chains_are_answered_by_following_two_links(
    lessons: TwoHopLessons, tokenizer: PreTrainedTokenizerBase
) -> None:
    for seed in range(20):
        read, pairs = told(lessons._links(4, both=True)(random.Random(seed)), tokenizer)
        words = read.removeprefix("<s>").split()
        linked: dict[str, str] = {}
        while words:
            name, words = f"{words[0]} {words[1]}", words[2:]
            count = 2 if name.split()[0] in world_words.GIVEN_NAMES else 1
            linked[name], words = " ".join(words[:count]), words[count:]
        assert pairs
        for question, answer in pairs:
            person = question.removeprefix("the employer of ")
            assert answer == linked[linked[person]]


def test_questions_over_two_documents_are_answered_by_the_employers_own(
    lessons: TwoHopLessons, tokenizer: PreTrainedTokenizerBase
) -> None:
    hops = 0
    for seed in range(30):
        rng = random.Random(seed)
        documents, pairs = told(lessons._employed((5,), 5, 5)(rng), tokenizer)
        employers = {a or c: b or d for a, b, c, d in EMPLOYED.findall(documents)}
        for question, answer in pairs:
            named = ASKED.search(question)
            # By code: no name to look up. "Who employs ...": one document answers.
            if not named or question.startswith(("Who employs", "Which company is the employer")):
                continue
            hops += 1
            own = [s for s in re.split(r"(?<=\.)\s", documents) if employers[named[1]] in s]
            assert any(answer in sentence for sentence in own)
    assert hops > 100


def test_both_kinds_of_crowds_are_read_after_the_lessons(
    lessons: TwoHopLessons, tokenizer: PreTrainedTokenizerBase
) -> None:
    read = [told(t, tokenizer)[0] for s in range(40) for t in lessons.several_documents(s)]
    whole = [documents for documents in read if documents.startswith("<s><|system|>")]
    employed = [documents for documents in whole if EMPLOYED.search(documents)]
    assert 0.2 < len(employed) / len(whole) < 0.8


def test_names_are_those_of_training_only(
    lessons: TwoHopLessons, tokenizer: PreTrainedTokenizerBase
) -> None:
    rng = random.Random(2)
    held_out = {world.draw_entity(rng, split).name for split in ("dev", "test") for _ in range(400)}
    for step in range(10):
        texts = lessons.several_documents(step) + lessons.batch(step, Progress(5))[0]
        seen = " ".join(tokenizer.decode(text.ids) for text in texts)
        assert not [name for name in held_out if name in seen]


def test_the_third_layer_of_a_fresh_decoder_looks_where_a_word_stood(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    settings = BuiltInSettings(induction=True, hops=2, head_dim=64, rope_theta=1.0e6)
    model = build_decoder(settings, tokenizer)
    model.set_attn_implementation("eager")
    ids = torch.randint(300, 3000, (64, 60), generator=torch.Generator().manual_seed(0))
    ids[:, 56] = ids[:, 22]
    with torch.no_grad():
        _, _, third, fourth = model(ids, output_attentions=True).attentions
    for layer in (third, fourth):
        for head in (2, 3):  # they know words by the window in which they stand
            looked = layer[:, head, 56, :50]
            looked = (looked / looked.sum(dim=-1, keepdim=True)).mean(dim=0)
            near, far = looked[23:30], torch.cat([looked[5:20], looked[36:]])
            assert near.mean() > 1.5 * far.mean()


def test_a_second_hop_needs_the_circuit_of_the_first() -> None:
    with pytest.raises(ValidationError, match="hops 2 needs induction"):
        BuiltInSettings(hops=2)
    with pytest.raises(ValidationError, match="at least 3 layers"):
        BuiltInSettings(hops=2, induction=True, layers=2)


def test_a_decoder_for_two_hops_is_pretrained_with_their_lessons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_tokenizer([], tmp_path / "tokenizer", extended=True)
    drawn: list[type[Lessons]] = []
    batch = Lessons.batch

    def note(lessons: Lessons, step: int, progress: Progress) -> tuple[list[Text], bool]:
        drawn.append(type(lessons))
        return batch(lessons, step, progress)

    monkeypatch.setattr(Lessons, "batch", note)
    settings = BuiltInSettings(
        hidden_size=32, layers=3, heads=2, ffn=64, steps=2, batch_size=2, warmup_steps=1,
        induction=True, hops=2, head_dim=16, lesson_tokens=60, lesson_share=0.9,
        copy_steps=0, short_steps=0,
    )  # fmt: skip
    pretrain_base(
        tmp_path / "tokenizer", tmp_path / "base", settings, user_texts=[], world_share=1.0
    )
    assert drawn == [TwoHopLessons] * 2
