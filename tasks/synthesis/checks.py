"""Which pairs and paraphrases may enter the rows, and why the others may not."""

from __future__ import annotations

import re
import unicodedata

from tasks.passages.sentences import HAN

# Questions that only make sense with the passage in hand, or that ask about files.
_ABOUT_THE_TEXT = re.compile(
    r"\b(the|this|that) (above |given |following )?(text|passage|document|paragraph|excerpt|"
    r"article|figure|image|picture|table|file|folder|context)\b|\baccording to (it|this)\b|"
    r"(本文|文中|上文|下文|该文|这段|文档|段落|图中|上图|下图|表中|文件)",
    re.IGNORECASE,
)
_FILE_NAME = re.compile(
    r"\b[\w-]+\.(pdf|docx?|pptx?|xlsx?|html?|md|txt|png|jpe?g|tiff?|webp|jsonl?)(?![a-z0-9])",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_LITTLE_WORD_LIST = """
    a an and are as at by for from in is it its of on or that the their they to was were with yes no
"""
_LITTLE_WORDS = frozenset(_LITTLE_WORD_LIST.split())
# Share of an answer's content words that must stand in the passage.
_GROUNDED_SHARE = 0.8


def normalise(text: str) -> str:
    """Text for comparing: one width, lower case, letters and digits only."""
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).lower()))


def fault_of_pair(question: str, answer: str, passage: str, *, verbatim: bool) -> str | None:
    """Why a pair must be set aside, or None if it may stay.

    Args:
        question: The question.
        answer: Its answer.
        passage: The passage it was made from.
        verbatim: Whether nearly all of the answer's words must stand in the passage (one-fact
            questions); numbers must in any case.
    """
    asked, said = normalise(question), normalise(answer)
    if len(asked) < 4 or not said:
        return "question or answer is empty"
    if _ABOUT_THE_TEXT.search(question):
        return "the question speaks of a text, figure or file"
    if _FILE_NAME.search(question) or _FILE_NAME.search(answer):
        return "a file name is in it"
    # A name has two characters in Chinese; two Latin letters stand anywhere.
    if len(said) > (1 if HAN.search(said) else 2) and _contains(asked, said):
        return "the question holds its answer"
    missing = _missing_numbers(answer, passage)
    if missing:
        return f"the answer's number {missing} is not in the passage"
    if verbatim and not is_grounded(answer, passage):
        return "the answer is not in the passage"
    return None


def fault_of_paraphrase(paraphrase: str, passage: str) -> str | None:
    """Why a paraphrase must be set aside, or None if it may stay."""
    if normalise(paraphrase) == normalise(passage):
        return "the paraphrase is the passage itself"
    missing = _missing_numbers(passage, paraphrase)
    if missing:
        return f"the paraphrase lost the number {missing}"
    added = _missing_numbers(paraphrase, passage)
    if added:
        return f"the paraphrase invented the number {added}"
    if len(normalise(paraphrase)) < 0.4 * len(normalise(passage)):
        return "the paraphrase lost more than half of the text"
    return None


def is_grounded(answer: str, passage: str) -> bool:
    """Whether the answer's content words (characters, in Chinese) stand in the passage."""
    said, text = normalise(answer), normalise(passage)
    if _contains(text, said):
        return True
    if HAN.search(said):
        units, known = [c for c in said if HAN.match(c)], set(text)
    else:
        units, known = [w for w in said.split() if w not in _LITTLE_WORDS], set(text.split())
    return not units or sum(unit in known for unit in units) >= _GROUNDED_SHARE * len(units)


def _contains(text: str, part: str) -> bool:
    if HAN.search(part):
        return part.replace(" ", "") in text.replace(" ", "")
    return f" {part} " in f" {text} "


def _missing_numbers(text: str, where: str) -> str | None:
    """A number of the text that stands nowhere in another one."""
    known = set(_NUMBER.findall(unicodedata.normalize("NFKC", where)))
    numbers = _NUMBER.findall(unicodedata.normalize("NFKC", text))
    return next((number for number in numbers if number not in known), None)
