"""Sentences and clauses of English and Chinese text, and the language of a text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.passages.sentences import detect_language, joiner, split_clauses, split_sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["The mill opened in 1904.", "It makes bells."],
        ["Who built it?", "Nobody knows!", "Really?!", "Yes."],
        ["Dr. Lark met Mr. Ash.", "They spoke."],
        ["Costs rose by 3.5 percent.", "Version 2.1.4 came later."],
        ["J. R. Smith and A. Lark wrote it.", "It sold well."],
        ["J.R.R. Smith wrote it.", "It sold well."],
        ["The U.S. Army left.", "Peace came."],
        ["See e.g. Ash and Lark.", "Others, i.e. Tom, differ."],
        ["Smith et al. found it.", "Nobody else did."],
        ["It is shown in Fig. 3 and Sec. 4 of it.", "It is clear."],
        ["It is room no. 5 there.", "The answer was no.", "Nobody spoke."],
        ["He and I.", "We left."],
        ["“It rings.”", "Then he left.", "(It was late.)", "She stayed."],
        ["It was late…", "Then it rang."],
        ["It costs 5 e. g. here and there.", "Fine."],
        ["Write to tom.ash@kelso.org or see kelso.org/a.html for more.", "Fine."],
        ["1. First do this.", "Then do that."],
        ["no end mark"],
    ],
    ids=lambda sentences: sentences[0][:24],
)
def test_english_sentences(sentences):
    assert split_sentences(" ".join(sentences)) == sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["桥建于1904年。", "它位于青川市。"],
        ["谁建了它？", "没人知道！", "真的吗？！"],
        ["他说：“钟响了。”", "然后他走了。"],
        ["温度为3.5度；", "湿度为40%。"],
        ["真的吗?", "是的!", "好。"],
        ["钟响了……", "他走了。"],
        ["（夜深了。）", "她留下了。"],
        ["没有标点"],
    ],
    ids=lambda sentences: sentences[0][:8],
)
def test_chinese_sentences(sentences):
    assert split_sentences("".join(sentences)) == sentences


def test_line_breaks_and_double_spaces_are_one_space():
    assert split_sentences("One  two\nthree. Four\tfive.") == ["One two three.", "Four five."]


def test_empty_paragraph_has_no_sentence():
    assert split_sentences(" \n ") == []


def test_clauses_end_after_their_marks():
    sentence = "We sell bells, clocks; and, at 1,000 a piece: mills."
    assert split_clauses(sentence) == [
        "We sell bells,", "clocks;", "and,", "at 1,000 a piece:", "mills.",
    ]  # fmt: skip


def test_chinese_clauses_end_after_full_width_marks():
    assert split_clauses("我们卖钟、表，售价1,000元：很贵。") == [
        "我们卖钟、", "表，", "售价1,000元：", "很贵。",
    ]  # fmt: skip


def test_time_and_address_are_not_cut_at_colons():
    assert split_clauses("At 10:30 see https://kelso.org now") == [
        "At 10:30 see https://kelso.org now"
    ]


@pytest.mark.parametrize(
    ("before", "after", "between"),
    [
        ("It rings.", "He left.", " "),
        ("“It rings.”", "He left.", " "),
        ("the dogs’", "Then", " "),
        ("It was late…", "Then", " "),
        ("桥建成了。", "它很长。", ""),
        ("他说：“好。”", "他走了。", ""),
        ("钟响了……", "他走了。", ""),
        ("真的吗?", "是的!", ""),
        ("他来自青川，", "是钟匠。", ""),
        ("作者：王明", "公司位于青川。", " "),
        ("It rings.", "桥建成了。", " "),
        ("", "It rings.", ""),
        ("It rings.", "", ""),
    ],
)
def test_joiner_puts_a_space_except_after_chinese_marks(before, after, between):
    assert joiner(before, after) == between


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The mill makes bells.", "en"),
        ("青川市的桥建于1904年。", "zh"),
        ("我们使用 Python 编写程序。", "zh"),
        ("The word 桥 means bridge.", "en"),
        ("橋は1904年に建てられました。", "ja"),
        ("다리는 1904년에 지어졌다.", "ko"),
        ("Мост построен в 1904 году.", "other"),
        ("1904", "en"),
    ],
)
def test_language_by_script(text, language):
    assert detect_language(text) == language


_TEXT = st.text(
    alphabet=st.sampled_from(list('aB1 .,;:!?…”’")(\n。！？；，、“桥建青A')), max_size=80
)


def without_spaces(text):
    return "".join(text.split())


@given(_TEXT)
def test_sentences_give_every_character_back(text):
    assert without_spaces("".join(split_sentences(text))) == without_spaces(text)


@given(_TEXT)
def test_clauses_give_every_character_back(text):
    assert without_spaces("".join(split_clauses(text))) == without_spaces(text)


@given(st.text(alphabet=st.sampled_from(list('aB1 .,;:!?”’")(“C')), max_size=80))
def test_joined_english_sentences_are_the_text(text):
    joined = ""
    for sentence in split_sentences(text):
        joined += joiner(joined, sentence) + sentence
    assert joined == " ".join(text.split())


@given(_TEXT)
def test_splitting_again_changes_nothing(text):
    once = split_sentences(text)
    assert [part for sentence in once for part in split_sentences(sentence)] == once


@given(_TEXT)
def test_joined_pieces_run_no_two_words_together(text):
    joined = ""
    for sentence in split_sentences(text):
        joined += joiner(joined, sentence) + sentence
    assert re.findall(r"\w+", joined) == re.findall(r"\w+", text)
