"""Questions and answers about a passage: simple, complex, and the answer to a given question."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from itertools import islice

from tasks.llm.rules.chinese import read_chinese
from tasks.llm.rules.cloze import ask_gaps
from tasks.llm.rules.complex import join_facts
from tasks.llm.rules.english import read_english
from tasks.llm.rules.facts import Fact, is_sound
from tasks.llm.rules.names import Names
from tasks.llm.rules.tables import read_tables
from tasks.llm.rules.translate import translate
from tasks.passages.sentences import HAN, detect_language, split_sentences

_ITEM = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+")
_MARKUP = re.compile(
    r"\*{1,3}(?=\S)(.+?)(?<=\S)\*{1,3}|(?<!\w)_{1,3}(?=\S)(.+?)(?<=\S)_{1,3}(?!\w)"
)
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<!--.*?-->|^\s*(?:>\s*)+")
_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\([^()]*\)|\[[^\[\]]*\])")
_MOST_GAPS = 2
# A passage is asked about some ten times in a row, by a few at once.
_PASSAGES_KEPT = 256
_ALL = 1000
_ALIKE = 0.5


def ask_simple(passage: str, number: int) -> list[Fact]:
    """At most `number` one-fact questions: clear ones first, then by variety of sentences."""
    facts = find_facts(passage)
    chosen: list[Fact] = []
    for rank in sorted({fact.rank for fact in facts}):
        chosen += _spread([fact for fact in facts if fact.rank == rank])
    if not chosen:
        gaps = (f for f in ask_gaps(*_read_lines(passage), passage) if is_sound(f, passage))
        chosen = list(islice(gaps, _MOST_GAPS))
    return chosen[:number]


def ask_complex(passage: str, number: int) -> list[Fact]:
    """At most `number` questions that need two facts: one fact inside another, else both."""
    facts = [fact for fact in find_facts(passage) if fact.rank == 0]
    return _distinct(join_facts(facts))[:number]


@lru_cache(maxsize=_PASSAGES_KEPT)
def known_answers(passage: str) -> dict[str, str]:
    """Every question that the rules can ask of a passage, with its answer."""
    facts = [*find_facts(passage), *ask_simple(passage, _ALL), *ask_complex(passage, _ALL)]
    return {fact.question: fact.answer for fact in [*facts, *translate(find_facts(passage))]}


def answer_question(question: str, passage: str) -> str:
    """The answer of the fact whose question is most like the one asked; empty if none is."""
    known = known_answers(passage)
    if question in known:
        return known[question]
    likeness, answer = best_answer(question, passage)
    return answer if likeness >= _ALIKE else ""


def best_answer(question: str, passage: str) -> tuple[float, str]:
    """How like the nearest fact's question is, between 0 and 1, and that fact's answer."""
    wanted = _units(question)
    ranked = ((_likeness(wanted, _units(f.question)), f.answer) for f in find_facts(passage))
    return max(ranked, key=lambda entry: entry[0], default=(0.0, ""))


@lru_cache(maxsize=_PASSAGES_KEPT)
def find_facts(passage: str) -> tuple[Fact, ...]:
    """Every sound fact of a passage in the order of its sentences, each question once."""
    facts: list[Fact] = []
    context, sentences = _read_lines(passage)
    names = Names(context, sentences)
    for number, sentence in enumerate(sentences):
        is_chinese = detect_language(sentence) == "zh"
        found = read_chinese(sentence) if is_chinese else read_english(sentence, names)
        facts += [_ranked(fact, names).at(number) for fact in found]
    facts += read_tables(passage)
    return tuple(_distinct([fact for fact in facts if is_sound(fact, passage)]))


def _ranked(fact: Fact, names: Names) -> Fact:
    """A fact about "the company" or "the first turbine" is asked only for want of better."""
    is_vague = not HAN.search(fact.subject) and names.is_vague(fact.subject)
    return replace(fact, rank=fact.rank + 1) if is_vague else fact


def _read_lines(passage: str) -> tuple[list[str], list[str]]:
    """Lines that are no sentences (headings), and the sentences; tables are neither."""
    context, sentences = [], []
    for line in passage.split("\n"):
        if line.startswith("|"):
            continue
        text = _plain(line)
        whole = [s for s in split_sentences(text) if s[-1] in ".。！；"]
        sentences += whole
        if not whole:
            context.append(text)
    return context, sentences


def _plain(line: str) -> str:
    """A line without the marks of lists, quotes, links and emphasis."""
    text = _LINK.sub(r"\1", _TAG.sub("", _ITEM.sub("", line)))
    return _MARKUP.sub(lambda m: m[1] or m[2], text).strip()


def _spread(facts: list[Fact]) -> list[Fact]:
    """Facts in turns: the first of every sentence, then the second of every sentence."""
    turns: dict[int, int] = {}
    keyed = []
    for fact in facts:
        turn = turns.get(fact.sentence, 0)
        turns[fact.sentence] = turn + 1
        keyed.append(((turn, fact.sentence), fact))
    return [fact for _, fact in sorted(keyed, key=lambda entry: entry[0])]


def _distinct(facts: list[Fact]) -> list[Fact]:
    return list({fact.question: fact for fact in reversed(facts)}.values())[::-1]


def _units(text: str) -> set[str]:
    """Words, and single Han characters."""
    return set(re.findall(r"[\u4e00-\u9fff]|[^\W_]+", text.lower()))


def _likeness(one: set[str], other: set[str]) -> float:
    return len(one & other) / max(len(one | other), 1)
