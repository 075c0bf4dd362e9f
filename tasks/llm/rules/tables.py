"""Questions about the rows of Markdown tables."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tasks.llm.rules.facts import Fact
from tasks.llm.rules.names import Names
from tasks.passages.sentences import HAN

_RULE = re.compile(r"\|[\s:|-]+\|")
_UNIT = re.compile(r"(.+?) \((.+)\)")
_CODE = re.compile(r"[_=<>;{}]|\w\.\w")
# Columns that name no thing one could ask "What is the ... of" about.
_NO_NOUN = re.compile(
    r"\d|\b(?:since|from|by|of|built|made|introduced|opened|founded|born|step|day|year)$", re.I
)


def read_tables(passage: str) -> Iterator[Fact]:
    """One fact a cell, beyond the first column, whose row and column have names."""
    head: list[str] = []
    for number, line in enumerate(passage.split("\n")):
        if not line.startswith("|"):
            head = []
        elif _RULE.fullmatch(line):
            continue
        elif not head:
            head = _cells(line)
        else:
            yield from _read_row(head, _cells(line), 10_000 + number)


def _read_row(head: list[str], row: list[str], place: int) -> Iterator[Fact]:
    name = row[0]
    if (
        len(row) != len(head)
        or not re.search(r"[^\W\d_]", name)
        or not all(head)
        or _CODE.search(" ".join(head))
    ):
        return
    ask = _ask_chinese if HAN.search("".join(head)) else _ask_english
    for column, cell in zip(head[1:], row[1:], strict=True):
        if re.search(r"\w", cell):
            yield Fact(ask(head[0], name, column, cell), cell, name, sentence=place)


def _ask_english(kind: str, name: str, column: str, cell: str) -> str:
    unit = _UNIT.fullmatch(column)
    noun, measure = (unit[1], f" in {unit[2]}") if unit else (column, "")
    known = f"the {_lower(kind)} {name}" if kind.isalpha() else name
    if re.fullmatch(r"\d{4}", noun):
        return f"What is the {noun} figure for {known}{measure}?"
    if _NO_NOUN.search(noun):
        return f'What is given{measure} under "{noun}" for {known}?'
    if Names([], []).is_role(noun.lower()):
        return f"Who is the {_lower(noun)} of {known}?"
    if noun.lower().endswith("s") and not measure and not noun.lower().endswith("ss"):
        if re.fullmatch(r"[\d,.]+", cell):
            return f"How many {_lower(noun)} are given for {known}?"
        return f'What is given under "{noun}" for {known}?'
    return f"What is the {_lower(noun)} of {known}{measure}?"


def _ask_chinese(kind: str, name: str, column: str, cell: str) -> str:
    noun = re.sub(r"[（(].*[）)]", "", column)
    about = name if noun in ("数据", "数值", "内容", "说明") else f"{name}的{noun}"
    if noun.endswith("时间"):
        return f"{about}是什么时候？"
    return f"{about}是多少？" if re.match(r"\d", cell) else f"{about}是什么？"


def _lower(text: str) -> str:
    return text if text.isupper() else text[0].lower() + text[1:]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]
