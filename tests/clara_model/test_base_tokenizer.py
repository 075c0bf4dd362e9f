"""The built-in tokenizer: no text is lost, the world's words are single tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from clara_model import prompts, world
from clara_model.base.tokenizer import SPECIAL_TOKENS, train_tokenizer

CHINESE = "压缩器把每一份文档压缩成几个向量。压缩后的向量可以直接检索。"
CODE = "def squeeze(xs):\n\treturn [x ** 2 for x in xs if x >= 0]  # naïve 😀\n"
USER_TEXTS = [CHINESE * 5, CODE * 5, "The thermostat of the greenhouse is calibrated weekly. " * 5]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(USER_TEXTS, folder, vocab_size=4096)
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    """Trained without any text of a user."""
    folder = tmp_path_factory.mktemp("plain")
    train_tokenizer([], folder)
    return AutoTokenizer.from_pretrained(folder)


def ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_every_word_of_the_world_is_one_token(tokenizer: PreTrainedTokenizerBase) -> None:
    words = world.vocabulary()
    assert [w for w in words if len(ids(tokenizer, w)) != 1] == []
    assert [w for w in words if len(ids(tokenizer, f" {w}")) != 1] == []


def test_every_word_of_the_extended_world_is_one_token_where_asked_for(tmp_path: Path) -> None:
    train_tokenizer(USER_TEXTS, tmp_path, extended=True)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    words = world.extended_vocabulary()
    assert [w for w in words if len(ids(tokenizer, w)) != 1] == []
    assert [w for w in words if len(ids(tokenizer, f" {w}")) != 1] == []


def test_words_of_the_system_strings_are_one_token_each(tokenizer: PreTrainedTokenizerBase) -> None:
    for text in (prompts.SYSTEM_LIST_QA, prompts.SYSTEM_PARAPHRASE, prompts.SYSTEM_ANSWER):
        pieces = text.replace(".", " .").replace(",", " ,").split()
        assert len(ids(tokenizer, text)) == len(pieces)


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
def test_any_text_comes_back_unchanged(plain: PreTrainedTokenizerBase, text: str) -> None:
    if any(token in text for token in SPECIAL_TOKENS):
        return
    assert plain.decode(ids(plain, text)) == text


@pytest.mark.parametrize("text", [CHINESE, CODE], ids=["chinese", "code"])
def test_users_texts_come_back_and_take_fewer_tokens_than_untrained(
    tokenizer: PreTrainedTokenizerBase, plain: PreTrainedTokenizerBase, text: str
) -> None:
    assert tokenizer.decode(ids(tokenizer, text)) == text
    assert len(ids(tokenizer, text)) < len(ids(plain, text)) / 2


def test_the_same_texts_give_the_same_files(folder: Path, tmp_path: Path) -> None:
    train_tokenizer(iter(USER_TEXTS), tmp_path, vocab_size=4096)
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in tmp_path.iterdir())
    assert "tokenizer.json" in names
    assert [n for n in names if (folder / n).read_bytes() != (tmp_path / n).read_bytes()] == []


def test_the_vocabulary_keeps_its_limit(tmp_path: Path) -> None:
    texts = [" ".join(f"word{i:05d}" for i in range(6000))] * 3
    train_tokenizer(texts, tmp_path, vocab_size=3600)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer) == 3600
    assert sorted(tokenizer.get_vocab().values()) == list(range(3600))
    assert len(ids(tokenizer, " Ardmore")) == 1


def test_the_chat_template_keeps_the_prompt_in_front(tokenizer: PreTrainedTokenizerBase) -> None:
    turn = prompts.answer_turn("Ada Holt lives in Ardmore.", "Where does Ada Holt live?")
    prompt, added = prompts.render_pair(tokenizer, turn, "Ardmore")
    assert prompt == (
        f"<s><|system|>{prompts.SYSTEM_ANSWER}<|user|>Background:\nAda Holt lives in Ardmore."
        "\n\nQuestion:Where does Ada Holt live?<|assistant|>"
    )
    assert added == " Ardmore</s>"
    assert ids(tokenizer, prompt) + ids(tokenizer, added) == ids(tokenizer, prompt + added)


def test_an_answer_is_the_same_token_as_inside_the_document(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    document = ids(tokenizer, "Ada Holt lives in Ardmore.")
    prompt, added = prompts.render_pair(tokenizer, prompts.answer_turn("", ""), "Ardmore")
    assert ids(tokenizer, prompt + added)[len(ids(tokenizer, prompt))] in document


def test_special_tokens_are_the_roles_of_a_hugging_face_tokenizer(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (
        "<s>",
        "</s>",
        "<pad>",
    )
    assert tokenizer.padding_side == "left"
    assert tokenizer.convert_tokens_to_ids(SPECIAL_TOKENS) == list(range(len(SPECIAL_TOKENS)))


def test_documents_of_the_world_nearly_fill_sixty_four_tokens(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    lengths = [len(ids(tokenizer, r["docs"][0])) for r in world.stage1_rows(300, 0, "train")]
    assert min(lengths) >= 50
    assert max(lengths) <= 64
