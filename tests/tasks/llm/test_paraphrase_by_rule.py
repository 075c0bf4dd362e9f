"""Rewording by rule: other words, the same facts."""

from __future__ import annotations

import re

import pytest

from tasks.llm.rules.paraphrase import paraphrase
from tasks.synthesis.checks import fault_of_paraphrase


@pytest.mark.parametrize(
    ("passage", "expected"),
    [
        (
            "Mara Velin founded Tidewater Optics in 1987.",
            "Tidewater Optics was founded by Mara Velin in 1987.",
        ),
        (
            "The hospital of Quillhaven opened in 1995.",
            "In 1995, the hospital of Quillhaven opened.",
        ),
        ("The Lantern Bridge was designed by Ivo Tarn.", "Ivo Tarn designed the Lantern Bridge."),
        (
            "The captain of the Grey Heron is Jorun Aske.",
            "Jorun Aske is the captain of the Grey Heron.",
        ),
        ("灯笼桥于1963年5月9日正式通车。", "1963年5月9日，灯笼桥正式通车。"),
        ("首府奥斯特利位于大梅罗岛的南岸。", "首府奥斯特利坐落于大梅罗岛的南岸。"),
        ("When the tide turns, the rotors stop.", "The rotors stop when the tide turns."),
        (
            "The pickers use wooden ladders because metal hurts the bark.",
            "Because metal hurts the bark, the pickers use wooden ladders.",
        ),
        ("You need to wear shoes.", "You have to wear shoes."),
    ],
)
def test_sentence_is_turned_around(passage: str, expected: str) -> None:
    assert paraphrase(passage) == expected


def test_tables_and_code_beside_changed_sentences_stay_as_they_are() -> None:
    table = "| Year | Step |\n|---|---|\n| 1956 | The largest bridge begins |"
    code = "```\nlargest = many\n```"
    assert paraphrase(f"{table}\n\n{code}\n\nThe pier is the largest.") == (
        f"{table}\n\n{code}\n\nThe pier is the biggest."
    )


def test_text_that_offers_nothing_comes_back_and_is_then_set_aside() -> None:
    passage = "Old Agnes can lift 80 tonnes."
    assert paraphrase(passage) == passage
    assert fault_of_paraphrase(passage, passage) == "the paraphrase is the passage itself"


def test_every_name_and_number_of_given_texts_survives(shared) -> None:
    files = sorted((shared / "corpora").glob("*/*.md"))
    for path in files[:10]:
        text = path.read_text(encoding="utf-8")[:5000]
        reworded = paraphrase(text)
        assert sorted(re.findall(r"\d+", reworded)) == sorted(re.findall(r"\d+", text))
        inner = re.compile(r"(?<=[a-z] )[A-Z][A-Za-z]+")
        assert set(inner.findall(text)) <= set(re.findall(r"[A-Za-z]+", reworded))


def test_table_alone_becomes_lines_of_words() -> None:
    table = "Ferries\n| Ferry | Captain | Seats |\n|---|---|---|\n| Grey Heron | Jorun Aske | 180 |"
    assert paraphrase(table) == "Ferries\nFerry Grey Heron: Captain Jorun Aske; Seats 180"


def test_sentences_that_lean_or_are_torn_keep_their_order() -> None:
    for passage in (
        "Pears grow on Tamsin. They bloom in May.",
        "and ladders. Pears grow on Tamsin.",
    ):
        assert paraphrase(passage) == passage
