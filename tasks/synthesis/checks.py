"""Which pairs and paraphrases may enter the rows, and why the others may not."""

from __future__ import annotations

import re
import unicodedata

from tasks.passages.sentences import HAN

# Questions that only make sense with the passage in hand, or that ask about files.
_ABOUT_THE_TEXT = re.compile(
    r"\b(the|this|that|these|those|both) (above |given |following |provided |two |"
    r"first |second |other |same |last |next |previous )?"
    r"(text|passage|document|paragraph|excerpt|article|figure|image|picture|diagram|chart|slide|"
    r"table|file|folder|directory|context)s?\b"
    r"|\baccording to (it|this)\b|\b(mentioned|described|shown|listed|stated) (above|below|here)\b"
    r"|(本文|文中|上文|下文|该文|这段|本段|该段|文档|文章|段落|原文|短文|材料中|资料中|图中|图片|图表"
    r"|上图|下图|该图|如图|表中|下表|上表|该表|幻灯片|文件|目录|上述)",
    re.IGNORECASE,
)
_FILE_NAME = re.compile(
    r"\b[\w-]+\.(pdf|docx?|pptx?|xlsx?|csv|html?|md|txt|png|jpe?g|gif|tiff?|webp|emf|wmf|jsonl?)"
    r"(?![a-z0-9])|(?<![\w/])(?:~|\.{1,2})?/[\w.-]+/[\w./-]*|\b[A-Za-z]:\\\w",
    re.IGNORECASE,
)
_LATIN_WORD = re.compile(r"[A-Za-z]{2,}")
_WORD = re.compile(r"[^\W_]+")
_BETWEEN_SCRIPTS = re.compile(
    r"(?<=[\u3400-\u9fff])(?=[^\W\u3400-\u9fff])|(?<=[^\W\u3400-\u9fff])(?=[\u3400-\u9fff])"
)
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


def fault_of_question(question: str) -> str | None:
    """Why a question must be set aside whatever its answer, or None if it may stay."""
    if len(normalise(question)) < 4:
        return "question or answer is empty"
    if _ABOUT_THE_TEXT.search(question):
        return "the question speaks of a text, figure or file"
    if _FILE_NAME.search(question):
        return "a file name is in it"
    return None


def fault_of_language(question: str, language: str | None) -> str | None:
    """Why a question is not in the language asked for, or None; None asks for none.

    Names from the passage may stand in another script, so some words of the language are enough.
    """
    words, han = len(_LATIN_WORD.findall(question)), HAN.search(question)
    if (language == "en" and words < 2) or (language == "zh" and han is None):
        return f"the question is not in the language asked for ({language})"
    return None


def fault_of_pair(question: str, answer: str, passage: str, *, verbatim: bool) -> str | None:
    """Why a pair must be set aside, or None if it may stay.

    Args:
        question: The question.
        answer: Its answer.
        passage: The passage it was made from.
        verbatim: Whether nearly all of the answer's words must stand in the passage (one-fact
            questions); numbers must in any case.
    """
    asked, said = _apart(normalise(question)), normalise(answer)
    if not said:
        return "question or answer is empty"
    fault = fault_of_question(question)
    if fault is not None:
        return fault
    if _FILE_NAME.search(answer):
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
    said, text = normalise(answer), _apart(normalise(passage))
    if _contains(text, said):
        return True
    if HAN.search(said):
        units, known = [c for c in said if HAN.match(c)], set(text)
    else:
        units, known = [w for w in said.split() if w not in _LITTLE_WORDS], set(text.split())
    return not units or sum(unit in known for unit in units) >= _GROUNDED_SHARE * len(units)


def _apart(text: str) -> str:
    """Text with words of other scripts set apart from the Chinese around them."""
    return _BETWEEN_SCRIPTS.sub(" ", text)


def _contains(text: str, part: str) -> bool:
    if HAN.search(part):
        return part.replace(" ", "") in text.replace(" ", "")
    return f" {part} " in f" {text} "


def _missing_numbers(text: str, where: str) -> str | None:
    """A number of the text that stands nowhere in another one."""
    known = set(_NUMBER.findall(unicodedata.normalize("NFKC", where)))
    numbers = _NUMBER.findall(unicodedata.normalize("NFKC", text))
    return next((number for number in numbers if number not in known), None)
