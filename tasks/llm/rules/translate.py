"""The same question in the other language, where a question's form and answer allow it.

Rules know no names in two languages: names stay as the passage writes them, and only years, names
and small numbers can answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tasks.llm.rules.facts import Fact

_HAN = re.compile(r"[\u4e00-\u9fff]")
_YEAR_ZH = re.compile(r"(\d{4})年")
_YEAR_EN = re.compile(r"\d{4}")
_NAME_EN = re.compile(r"[A-Z][\w.’'-]*(?: [A-Z][\w.’'-]*)*")
# Chinese verbs that a passage uses of makers, with their English pasts, and back.
_MADE = {
    "设计": "designed", "创办": "founded", "创立": "founded", "建立": "established",
    "建造": "built", "制造": "made", "制作": "made", "发明": "invented", "撰写": "wrote",
    "编写": "wrote", "开发": "developed", "提出": "proposed", "领导": "led", "主持": "led",
}  # fmt: skip
_MADE_BACK = {english: chinese for chinese, english in reversed(_MADE.items())} | {
    "painted": "画", "discovered": "发现", "composed": "创作",
}  # fmt: skip
_MADE_OF = "|".join(_MADE)
_MADE_BACK_OF = "|".join(_MADE_BACK)
# Form of the question, what it becomes, and the form of an answer that both languages share.
_TO_ENGLISH = (
    (re.compile(rf"(?P<x>.+)由谁(?P<v>{_MADE_OF})？"), "Who {v} {x}?", "name"),
    (re.compile(rf"(?P<x>.+)是哪一年(?P<v>{_MADE_OF})的？"), "In which year was {x} {d}?", "year"),
    (re.compile(r"(?P<x>.+)出生于哪一年？"), "In which year was {x} born?", "year"),
    (re.compile(r"(?P<x>.+)建于哪一年？"), "In which year was {x} built?", "year"),
    (re.compile(r"(?P<x>.+)成立于哪一年？"), "In which year was {x} founded?", "year"),
    (re.compile(r"(?P<x>.+)毕业于哪所学校？"), "Which school did {x} graduate from?", "name"),
    (re.compile(r"(?P<x>.+)出生于哪里？"), "Where was {x} born?", "name"),
    (re.compile(r"(?P<x>.+)位于哪里？"), "Where is {x} located?", "name"),
)
_TO_CHINESE = (
    (re.compile(rf"Who (?P<v>{_MADE_BACK_OF}) (?P<x>.+)\?"), "谁{v}了{x}？", "name"),
    (re.compile(r"When was (?P<x>.+) born\?"), "{x}出生于哪一年？", "year"),
    (re.compile(r"When was (?P<x>.+) (?:built|constructed)\?"), "{x}建于哪一年？", "year"),
    (re.compile(r"When was (?P<x>.+) (?:founded|established)\?"), "{x}成立于哪一年？", "year"),
    (re.compile(r"When was (?P<x>.+) opened\?"), "{x}于哪一年开放？", "year"),
    (re.compile(r"When did (?P<x>.+) die\?"), "{x}于哪一年去世？", "year"),
    (re.compile(r"Where was (?P<x>.+) born\?"), "{x}出生在哪里？", "name"),
    (re.compile(r"Who is the captain of (?P<x>.+)\?"), "{x}的船长是谁？", "name"),
    (re.compile(r"Who is the architect of (?P<x>.+)\?"), "{x}的建筑师是谁？", "name"),
)
_PARTICIPLE = {"wrote": "written", "led": "led"}


def translate(facts: Iterable[Fact]) -> list[Fact]:
    """The facts that can be asked for in the other language, asked so."""
    return [new for fact in facts if fact.rank == 0 for new in _translate(fact)]


def _translate(fact: Fact) -> Iterator[Fact]:
    is_chinese = _HAN.search(fact.question) is not None
    for form, target, answers in _TO_ENGLISH if is_chinese else _TO_CHINESE:
        match = form.fullmatch(fact.question)
        if match is None:
            continue
        parts = match.groupdict()
        about = parts["x"].removeprefix("the ")
        if is_chinese:
            verb = _MADE.get(parts.get("v", ""), "")
            if not re.fullmatch(r"[^\W\d的上]{2,12}|《[^《》]+》", about):
                return
        else:
            verb = _MADE_BACK.get(parts.get("v", ""), "")
            if not _NAME_EN.fullmatch(about):  # a common noun would stay English
                return
        answer = _shared(fact.answer, answers, is_chinese)
        if answer:
            question = target.format(x=about, v=verb, d=_PARTICIPLE.get(verb, verb))
            yield Fact(question, answer, about, sentence=fact.sentence)
        return


def _shared(answer: str, form: str, is_chinese: bool) -> str:
    """The answer as it stands in both languages; empty if it is in one only."""
    if form == "year":
        match = _YEAR_ZH.fullmatch(answer) if is_chinese else _YEAR_EN.fullmatch(answer)
        return "" if match is None else match[1] if is_chinese else match[0]
    if is_chinese:
        return answer if re.fullmatch(r"[\w·]{2,8}", answer) else ""
    return answer if _NAME_EN.fullmatch(answer) else ""
