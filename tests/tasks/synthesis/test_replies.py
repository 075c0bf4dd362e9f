"""What is found in a model's reply, and what is said of replies that hold nothing."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.synthesis.replies import Answers, Coverage, Paraphrase, UnreadableReply, read_reply

GOOD = '{"answers": [{"number": 1, "answer": "Ash"}]}'


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"\n  {GOOD}\n",
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}\n```",
        f"Here is the JSON you asked for:\n{GOOD}\nI hope it helps!",
        f"Of the form {{...}}:\n```json\n{GOOD}\n```\nAs {{asked}}.",
        json.dumps({"answers": [{"number": "1", "answer": " Ash\n", "more": 1}], "why": ""}),
    ],
    ids=["bare", "spaces", "json-fence", "fence", "words", "words-and-fence", "more-keys"],
)
def test_answers_are_found(text):
    (answer,) = read_reply(text, Answers).answers
    assert (answer.number, answer.answer) == (1, "Ash")


def test_fence_inside_a_string_is_not_taken_for_the_reply():
    text = json.dumps({"paraphrase": "Write ```x = {}``` there."})
    assert read_reply(text, Paraphrase).paraphrase == "Write ```x = {}``` there."


def test_chinese_stays_as_it_is():
    text = '```json\n{"paraphrase": "“桥”建于1904年。"}\n```'
    assert read_reply(text, Paraphrase).paraphrase == "“桥”建于1904年。"


def test_nothing_to_say_is_a_reply():
    assert read_reply('{"answers": []}', Answers).answers == []
    assert read_reply('{"covered": []}', Coverage) == Coverage(covered=[], missing=[])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no JSON object"),
        ("I cannot do that.", "no JSON object"),
        ('{"answers": [', "it never ends"),
        (GOOD[:-2], "the JSON is broken"),
        ("{'answers': []}", "the JSON is broken"),
        (GOOD.replace("Ash", 'the "Ash"'), "the JSON is broken"),
        ('{"answers": [' + "9" * 5000 + "]}", "the JSON is broken"),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, "the JSON is broken"),
        ('{"questions": []}', "answers: Field required"),
        ('{"answers": "none"}', "answers: "),
        ('{"answers": [{"answer": "Ash"}]}', "answers.0.number: Field required"),
        ('{"answers": [{"number": 1}]}', "answers.0.answer: Field required"),
        ('{"answers": [{"number": "one", "answer": "Ash"}]}', "answers.0.number: "),
        ('{"answers": [{"number": 1, "answer": 7}]}', "answers.0.answer: "),
        ('{"answers": [{"number": 1, "answer": "\\ud83d"}]}', "answers.0.answer: "),
        ('[{"number": 1, "answer": "Ash"}]', "answers: Field required"),
    ],
    ids=[
        "empty", "words", "cut-early", "cut-late", "single-quotes", "bare-quotes", "digits",
        "too-deep", "other-key", "no-list", "no-number", "no-answer", "word-for-number",
        "number", "surrogate", "list",
    ],
)  # fmt: skip
def test_unreadable_reply_says_why(text, fault):
    with pytest.raises(UnreadableReply, match=fault) as caught:
        read_reply(text, Answers)
    assert len(str(caught.value)) < 200


def test_empty_paraphrase_is_unreadable():
    with pytest.raises(UnreadableReply, match="paraphrase: "):
        read_reply('{"paraphrase": "  "}', Paraphrase)


@given(st.text(alphabet=st.sampled_from(list('{}[]":,`ab1 \\n')), max_size=40))
def test_any_text_is_read_or_unreadable(text):
    with contextlib.suppress(UnreadableReply):
        assert read_reply(text, Paraphrase).paraphrase
