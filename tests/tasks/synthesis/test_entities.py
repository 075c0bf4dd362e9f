"""Which names are seen, which passages share one, and who is drawn."""

from __future__ import annotations

import pytest

from tasks.synthesis.entities import choose, choose_partners, find_links, find_names


def passage(name, text, source="a.md", split="train"):
    return {"id": name, "source": source, "text": text, "language": "en", "split": split}


def partners(passages, wanted):
    links = find_links(passages, set(wanted))
    return {key: [link.passage["id"] for link in found] for key, found in links.items()}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("The Lantern Bridge was designed by Ivo Tarn.", {"Lantern Bridge", "Ivo Tarn"}),
        ("She studied at the University of Quillhaven.", {"University of Quillhaven"}),
        ("It opened in Osterly on Monday in March.", {"Osterly"}),
        ("Nothing is named here.", set()),
        ("云台茶园由林海若于1987年创办。", {"云台茶园", "林海若"}),
        ("他写了《海上灯火》。", {"海上灯火"}),
    ],
)
def test_names_are_seen_in_both_languages(text, names):
    assert names <= set(find_names(text))
    if not names:
        assert list(find_names(text)) == []


def test_passages_that_share_a_name_are_linked_rarest_name_first():
    passages = [
        passage("mill", "Tom Ash built the Kelso Mill."),
        passage("born", "Tom Ash was born in 1870.", "b.md"),
        passage("site", "The Kelso Mill stands by a river. The Kelso Mill is old."),
        passage("sold", "In 1950 the Kelso Mill was sold."),
        passage("else", "Ada Lark lives here."),
    ]
    assert partners(passages, ["mill", "else"]) == {"mill": ["born", "site", "sold"], "else": []}
    (first, *_) = find_links(passages, {"mill"})["mill"]
    assert first.name == "Tom Ash"


def test_passages_of_the_other_split_or_the_same_text_are_never_partners():
    passages = [
        passage("mill", "Tom Ash built the Kelso Mill."),
        passage("held", "Tom Ash was born in 1870.", "b.md", "benchmark"),
        passage("copy", "Tom Ash built the Kelso Mill.", "c.md"),
    ]
    assert partners(passages, ["mill", "held"]) == {"mill": [], "held": []}


def test_another_document_comes_before_the_same_one():
    passages = [
        passage("mill", "Tom Ash built it."),
        passage("near", "Tom Ash was here."),
        passage("far", "Tom Ash was there.", "b.md"),
    ]
    assert partners(passages, ["mill"]) == {"mill": ["far", "near"]}


def test_name_that_everybody_has_links_nobody():
    passages = [passage(f"p{n}", f"Tom Ash was here {n} times.") for n in range(41)]
    assert partners(passages, ["p0"]) == {"p0": []}
    assert len(partners(passages[:40], ["p0"])["p0"]) == 39


def test_two_passages_are_asked_about_together_once():
    passages = [
        passage("a", "Tom Ash was here."),
        passage("b", "Tom Ash was there."),
        passage("c", "Tom Ash and Ada Lark."),
    ]
    chosen = choose_partners(find_links(passages, {"a", "b", "c"}))
    pairs = [frozenset((first, link.passage["id"])) for first, link in chosen]
    assert len(pairs) == len(set(pairs)) == 3


def test_a_share_is_drawn_exactly_and_the_same_in_every_run_and_order():
    ids = [f"p{n}" for n in range(200)]
    drawn = choose(ids, 0.25, "joint")
    assert len(drawn) == 50
    assert choose(ids[::-1], 0.25, "joint") == drawn
    assert choose(ids, 0.25, "other") != drawn
    assert choose(ids, 0.0, "joint") == set()
    assert choose(ids, 1.0, "joint") == set(ids)
