from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clara_model import ClaraConfig
from clara_model.encoding import (
    IGNORED,
    encode_documents,
    encode_example,
    extend_tokenizer,
    memory_tokens,
    slots,
)
from clara_model.errors import ConfigError, DataError
from clara_model.prompts import (
    Turn,
    answer_turn,
    escape,
    full_text_turn,
    list_qa_answer,
    paraphrase_turn,
    question_line,
    render,
    render_started_answer,
)

CONFIG = ClaraConfig(doc_max_length=12, compr_rate=4)


@pytest.fixture
def tokenizer(tiny_tokenizer: Callable):
    built = tiny_tokenizer()
    extend_tokenizer(built, CONFIG)
    return built


def test_special_tokens_follow_the_vocabulary_in_the_released_order(tiny_tokenizer) -> None:
    built = tiny_tokenizer()
    size = len(built)
    extend_tokenizer(built, CONFIG)
    added = ["<MEM0>", "<MEM1>", "<MEM2>", "<AE>", "<ENC>", "<SEP>"]
    assert built.convert_tokens_to_ids(added) == list(range(size, size + 6))
    assert (built.padding_side, built.pad_token) == ("left", "<bos>")


def test_tokenizer_without_bos_frames_without_it_and_pads_with_eos(tiny_tokenizer) -> None:
    built = tiny_tokenizer()
    built.bos_token = None
    extend_tokenizer(built, CONFIG)
    (ids,) = encode_documents(["Kelso"], built, CONFIG)
    assert built.decode(ids) == "<ENC>Kelso<|end|><MEM0><MEM1><MEM2>"
    assert built.pad_token == "<|end|>"


def test_tokenizer_with_nothing_to_pad_with_is_refused(tiny_tokenizer) -> None:
    built = tiny_tokenizer()
    built.bos_token = built.eos_token = None
    with pytest.raises(ConfigError, match="neither pad, BOS nor EOS"):
        extend_tokenizer(built, CONFIG)


def test_tokenizer_of_another_rate_is_refused(tiny_tokenizer) -> None:
    # Its later memory tokens would follow <SEP>, far from the first ones.
    built = tiny_tokenizer()
    extend_tokenizer(built, ClaraConfig(doc_max_length=12, compr_rate=6))
    with pytest.raises(ConfigError, match="memory tokens of another model"):
        extend_tokenizer(built, CONFIG)


def test_shared_memory_token_is_repeated(tiny_tokenizer) -> None:
    config = ClaraConfig(doc_max_length=12, compr_rate=4, different_mem_tokens=False, sep=False)
    built = tiny_tokenizer(pad=True)
    size = len(built)
    extend_tokenizer(built, config)
    assert memory_tokens(config) == ["<MEM>"] * 3
    assert (len(built), built.pad_token) == (size + 4, "<pad>")
    assert slots(config, 2) == "<MEM>" * 6


def test_document_is_framed_and_followed_by_memory(tokenizer) -> None:
    (ids,) = encode_documents(["Kelso"], tokenizer, CONFIG)
    assert tokenizer.decode(ids) == "<ENC><bos>Kelso<|end|><MEM0><MEM1><MEM2>"


def test_long_document_is_cut_with_its_end_mark(tokenizer, documents) -> None:
    (ids,) = encode_documents([documents[0]], tokenizer, CONFIG)
    assert len(ids) == 12 + 3 + 3
    assert tokenizer.eos_token_id not in ids
    assert tokenizer.decode(ids[2:15]) == documents[0][: len(tokenizer.decode(ids[2:15]))]


@given(st.text(alphabet="<>MEMSPAENC012 ", min_size=1, max_size=40))
def test_no_text_can_smuggle_in_a_memory_token(text: str) -> None:
    escaped = escape(text)
    assert not any(t in escaped for t in [*memory_tokens(CONFIG), "<AE>", "<ENC>", "<SEP>"])


def test_smuggled_tokens_do_not_add_slots(tokenizer) -> None:
    example = encode_example(
        answer_turn(slots(CONFIG, 1), "What is <MEM0><SEP>?"), "<MEM1>", tokenizer
    )
    memory = tokenizer.convert_tokens_to_ids(memory_tokens(CONFIG))
    assert sum(token in memory for token in example.input_ids) == 3
    (document,) = encode_documents(["<ENC> <MEM0>"], tokenizer, CONFIG)
    assert sum(token in memory for token in document) == 3


def test_empty_document_is_refused(tokenizer) -> None:
    with pytest.raises(DataError, match="text 1 of 2 is empty"):
        encode_documents(["Kelso", " \n"], tokenizer, CONFIG)


def test_labels_are_the_assistants_turn(tokenizer) -> None:
    example = encode_example(Turn("Be brief.", "Where?"), "Kelso", tokenizer)
    start = next(i for i, label in enumerate(example.labels) if label != IGNORED)
    assert example.labels[start:] == example.input_ids[start:]
    assert tokenizer.decode(example.labels[start:]) == "Kelso<|end|>\n"
    assert tokenizer.decode(example.input_ids[:start]) == (
        "<|start|>system\nBe brief.<|end|>\n<|start|>user\nWhere?<|end|>\n<|start|>assistant\n"
    )


def test_template_without_system_role_gets_one_user_turn(tiny_tokenizer, chat_templates) -> None:
    built = tiny_tokenizer(chat_templates["without_system"])
    assert render(built, Turn("Be brief.", "Where?")) == "<bos>[Q] Be brief.\nWhere? [/Q]"
    example = encode_example(Turn("Be brief.", "Where?"), "Kelso", built)
    assert built.decode([i for i in example.labels if i != IGNORED]) == " Kelso<|end|>"


def test_started_answer_keeps_the_templates_space(tiny_tokenizer, chat_templates) -> None:
    built = tiny_tokenizer(chat_templates["without_system"])
    text = render_started_answer(built, Turn("S", "U"), question_line("Where?"))
    assert text == "<bos>[Q] S\nU [/Q] Question: Where?\nAnswer:"


def test_prompt_that_is_no_prefix_is_refused(tiny_tokenizer, chat_templates) -> None:
    thinking = chat_templates["chatml"].replace("'<|start|>assistant\n'", "'<|start|>A\n<think>'")
    with pytest.raises(DataError, match="unlike its own prompt"):
        encode_example(Turn("S", "U"), "Kelso", tiny_tokenizer(thinking))


def test_answer_that_the_template_drops_is_refused(tiny_tokenizer) -> None:
    silent = (
        "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}"
        "{% endfor %}"
    )
    with pytest.raises(DataError, match="without a labelled token"):
        encode_example(Turn("S", "U"), "Kelso", tiny_tokenizer(silent))


def test_token_across_the_border_is_split_where_generation_starts(tiny_tokenizer) -> None:
    built = tiny_tokenizer("{% for m in messages %}{{ m['content'] }}{% endfor %}")

    def ids(text: str) -> list[int]:
        return built(text, add_special_tokens=False)["input_ids"]

    assert ids("S the cit")[-1] not in ids("S the city")  # the tokenizer merges over the border
    example = encode_example(Turn("S", " the cit"), "y", built)
    assert example.input_ids == ids("S the cit") + ids("y")
    assert example.labels[-1:] == ids("y")


def test_thinking_block_belongs_to_the_prompt(tiny_tokenizer, chat_templates) -> None:
    # As Qwen3 writes it: an empty block, in the prompt and in a finished conversation alike.
    empty = "<think>\\n\\n</think>\\n\\n"
    thinking = chat_templates["chatml"].replace(
        "m['role'] + '\n' +",
        f"m['role'] + '\n' + ('{empty}' if m['role'] == 'assistant' else '') +",
    )
    thinking = thinking.replace("assistant\n' }}", f"assistant\n{empty}' }}}}")
    built = tiny_tokenizer(thinking)
    example = encode_example(Turn("S", "U"), "Kelso", built)
    prompt = built.decode([i for i, label in zip(*example, strict=True) if label == IGNORED])
    assert prompt.endswith("<|start|>assistant\n<think>\n\n</think>\n\n")
    assert built.decode([i for i in example.labels if i != IGNORED]) == "Kelso<|end|>\n"


def test_template_that_refuses_even_one_user_turn_is_named(tiny_tokenizer) -> None:
    built = tiny_tokenizer("{{ raise_exception('only tools') }}")
    with pytest.raises(ConfigError, match="refuses a user turn: only tools"):
        render(built, Turn("S", "U"))


def test_missing_chat_template_is_refused(tiny_tokenizer) -> None:
    with pytest.raises(ConfigError, match="no chat template"):
        render(tiny_tokenizer(None), Turn("S", "U"))


def test_user_turns_are_those_of_the_released_checkpoints() -> None:
    assert answer_turn("@", "Why?").user == "Background:\n@\n\nQuestion:Why?"
    assert paraphrase_turn("@", "Again.").user == "Background: @ Again."
    assert full_text_turn(["One.", "Two."], "Why?").user == (
        "Background:\nOne.\n\nTwo.\n\nQuestion:Why?"
    )
    assert full_text_turn([], "Why?").user == "Question:Why?"
    assert list_qa_answer(["a?", "b?"], ["A", "B"]) == (
        "Question: a?\nAnswer: A\nQuestion: b?\nAnswer: B"
    )
