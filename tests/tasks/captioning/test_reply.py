"""Replies of vision models become one paragraph, or a reason."""

from __future__ import annotations

import json

import pytest

from tasks.captioning.reply import (
    RefusedCaption,
    UnreadableCaption,
    read_caption,
    write_caption,
)

FULL = {
    "title": "Rain by month",
    "visible_text": "Jan, Feb; mm",
    "shown": "Two bars stand side by side",
    "key_facts": ["January had 40 mm", "February had 55 mm."],
}


@pytest.mark.parametrize(
    "text",
    [json.dumps(FULL), f"```json\n{json.dumps(FULL)}\n```", f"Here it is:\n{json.dumps(FULL)}"],
    ids=["bare", "fenced", "with words"],
)
def test_all_parts_stand_in_one_paragraph(text):
    assert write_caption(read_caption(text)) == (
        "Rain by month. Two bars stand side by side. Visible text: Jan, Feb; mm. "
        "Key facts: January had 40 mm. February had 55 mm."
    )


def test_chinese_caption_has_chinese_labels_and_no_spaces_between_parts():
    reply = {
        "title": "降雨",
        "visible_text": "一月",
        "shown": "两根柱子",
        "key_facts": ["一月最少"],
    }
    caption = write_caption(read_caption(json.dumps(reply)))
    assert caption == "降雨。两根柱子。图中文字：一月。要点：一月最少。"


def test_lists_and_nulls_in_place_of_texts_are_taken():
    reply = {"title": None, "visible_text": ["A", "B"], "shown": "x y", "key_facts": "one"}
    caption = read_caption(json.dumps(reply))
    assert (caption.title, caption.visible_text, caption.key_facts) == ("", "A; B", ["one"])


def test_mark_that_a_screenshot_shows_does_not_reach_the_text():
    reply = {"shown": "A page that says [IMAGE_REF: extracted_assets/a.png] twice"}
    assert write_caption(read_caption(json.dumps(reply))) == "A page that says twice."


@pytest.mark.parametrize(
    "text",
    ["I'm sorry, I can't help with that.", "I cannot describe this.", "抱歉，我无法描述。",
     json.dumps({"shown": "I'm unable to view images."})],
)  # fmt: skip
def test_refusals_are_told_from_captions(text):
    with pytest.raises(RefusedCaption):
        read_caption(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "empty"), ("A chart.", "no whole JSON"), ('{"shown": "a', "no whole JSON"),
     ('{"title": "x"}', "shown"), ('{"shown": ""}', "shown"), ('{"a": ]}', "broken")],
)  # fmt: skip
def test_other_replies_say_what_is_wrong(text, reason):
    with pytest.raises(UnreadableCaption, match=reason):
        read_caption(text)
