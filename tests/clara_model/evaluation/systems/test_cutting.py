"""How much of a document its memory is made of, against the tokens that the compressor reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from clara_model.config import ClaraConfig, read_config
from clara_model.encoding import FRAME_TOKENS, encode_documents, load_tokenizer
from clara_model.evaluation.systems.cutting import characters_read

TEXT = "The lighthouse of Osterly was built in 1874 by Ada Wick. " * 40


@pytest.fixture(scope="module")
def reader(shared: Path) -> tuple[object, ClaraConfig]:
    place = shared / "conformance" / "qwen3_cr4"
    config = read_config(place / "checkpoint")
    return load_tokenizer(str(place / "base"), config), config


def test_what_is_read_are_the_tokens_before_the_cut(reader) -> None:
    tokenizer, config = reader
    (count,) = characters_read([TEXT], tokenizer, config)
    assert count is not None
    whole, part = encode_documents([TEXT, TEXT[:count]], tokenizer, config)
    document = whole[: config.doc_max_length + FRAME_TOKENS]
    own = part[: len(part) - config.num_memory_tokens]
    if tokenizer.eos_token is not None and own[-1] == tokenizer.eos_token_id:
        own = own[:-1]
    # The same tokens but for the last, which the cut may have split otherwise.
    assert own[:-1] == document[: len(own) - 1]
    assert abs(len(own) - len(document)) <= 1


def test_a_text_that_fits_is_read_whole(reader) -> None:
    tokenizer, config = reader
    assert characters_read(["Osterly.", "<MEM> and <ENC>"], tokenizer, config) == [None, None]
    assert characters_read([], tokenizer, config) == []
