"""What is found in a model's reply, and what is said of replies that hold nothing."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.synthesis.replies import Pairs, Paraphrase, UnreadableReply, read_reply

GOOD = '{"pairs": [{"question": "Who built it?", "answer": "Ash"}]}'


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"\n  {GOOD}\n",
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}\n```",
        f"Here is the JSON you asked for:\n{GOOD}\nI hope it helps!",
        f"Of the form {{...}}:\n```json\n{GOOD}\n```\nAs {{asked}}.",
        json.dumps({"pairs": [{"question": " Who built it? ", "answer": "Ash\n", "more": 1}]}),
    ],
    ids=["bare", "spaces", "json-fence", "fence", "words", "words-and-fence", "more-keys"],
)
def test_pairs_are_found(text):
    (pair,) = read_reply(text, Pairs).pairs
    assert (pair.question, pair.answer) == ("Who built it?", "Ash")


def test_fence_inside_a_string_is_not_taken_for_the_reply():
    text = json.dumps({"paraphrase": "Write ```x = {}``` there."})
    assert read_reply(text, Paraphrase).paraphrase == "Write ```x = {}``` there."


def test_chinese_stays_as_it_is():
    text = '```json\n{"paraphrase": "“桥”建于1904年。"}\n```'
    assert read_reply(text, Paraphrase).paraphrase == "“桥”建于1904年。"


def test_no_pairs_is_a_reply():
    assert read_reply('{"pairs": []}', Pairs).pairs == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no JSON object"),
        ("I cannot do that.", "no JSON object"),
        ('{"pairs": [', "it never ends"),
        (GOOD[:-2], "the JSON is broken"),
        ("{'pairs': []}", "the JSON is broken"),
        (GOOD.replace("Ash", 'the "Ash"'), "the JSON is broken"),
        ('{"pairs": [' + "9" * 5000 + "]}", "the JSON is broken"),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, "the JSON is broken"),
        ('{"questions": []}', "pairs: Field required"),
        ('{"pairs": "none"}', "pairs: "),
        ('{"pairs": [{"question": "Who?"}]}', "pairs.0.answer: Field required"),
        ('{"pairs": [{"question": "Who?", "answer": ""}]}', "pairs.0.answer: "),
        ('{"pairs": [{"question": "  ", "answer": "Ash"}]}', "pairs.0.question: "),
        ('{"pairs": [{"question": "Who?", "answer": 7}]}', "pairs.0.answer: "),
        ('{"pairs": [{"question": "Who?", "answer": "\\ud83d"}]}', "pairs.0.answer: "),
        ('[{"question": "Who?", "answer": "Ash"}]', "pairs: Field required"),
    ],
    ids=[
        "empty", "words", "cut-early", "cut-late", "single-quotes", "bare-quotes", "digits",
        "too-deep", "other-key", "no-list", "no-answer", "empty-answer", "empty-question",
        "number", "surrogate", "list",
    ],
)  # fmt: skip
def test_unreadable_reply_says_why(text, fault):
    with pytest.raises(UnreadableReply, match=fault) as caught:
        read_reply(text, Pairs)
    assert len(str(caught.value)) < 200


@given(st.text(alphabet=st.sampled_from(list('{}[]":,`ab1 \\n')), max_size=40))
def test_any_text_is_read_or_unreadable(text):
    with contextlib.suppress(UnreadableReply):
        assert read_reply(text, Paraphrase).paraphrase
