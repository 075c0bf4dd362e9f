"""Sentences of a paragraph, in English and Chinese, and which language a text is in."""

from __future__ import annotations

import re
from itertools import pairwise

# Words that end with a period inside a sentence. Those that end one too (etc., Inc.) are left out.
_ABBREVIATION_LIST = """
    mr mrs ms dr prof st mt jr sr vs eg ie e.g i.e cf al fig figs eq sec ch chap no nos vol
    pp p ed eds rev gen col lt sgt capt gov rep sen hon approx ca dept est tel ext jan feb
    mar apr jun jul aug sep sept oct nov dec u.s u.k
"""
_ABBREVIATIONS = frozenset(_ABBREVIATION_LIST.split())
_CLOSERS = "\"'”’)]»」』）】》*_"
_ENGLISH_END = re.compile(rf"[.!?…]+[{re.escape(_CLOSERS)}]*(?=\s)")
_CHINESE_END = re.compile(rf"(?:[。！？；!?]+|……)[{re.escape(_CLOSERS)}]*")
_LAST_WORD = re.compile(r"([\w.]+)$")
_INITIALS = re.compile(r"(?:[A-Z]\.)+[A-Z]")
_WIDE_MARKS = "。！？；，、：（）【】《》「」『』"
# Marks that English and Chinese share: what stands before them tells the language.
_SHARED_MARKS = "”’…\"')]!?,;:."

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_HANGUL = re.compile(r"[\uac00-\ud7af]")
_LATIN = re.compile(r"[A-Za-zÀ-ɏ]")


def detect_language(text: str) -> str:
    """Language by script: "zh", "ja", "ko", "en", or "other" where another script prevails.

    Any text in Latin letters counts as "en". One Han character says about as much as three letters.
    """
    han, kana, hangul = (len(p.findall(text)) for p in (HAN, _KANA, _HANGUL))
    latin = len(_LATIN.findall(text))
    letters = sum(map(str.isalpha, text))
    if kana > 0.1 * letters:
        return "ja"
    if hangul > 0.2 * letters:
        return "ko"
    if 3 * han > latin and han > 0.2 * letters:
        return "zh"
    return "en" if 2 * latin >= letters else "other"


def split_sentences(paragraph: str) -> list[str]:
    """Cut a paragraph into sentences that keep their marks; joined they give every word back."""
    text = " ".join(paragraph.split())
    ends = {m.end() for m in _CHINESE_END.finditer(text) if _ends_chinese(text, m)}
    ends |= {m.end() for m in _ENGLISH_END.finditer(text) if _ends_english(text, m)}
    return _cut(text, ends)


def split_clauses(sentence: str) -> list[str]:
    """Cut a sentence after commas, semicolons and colons, for when it is too long to keep whole."""
    ends = {m.end() for m in re.finditer(r"[,;:](?=\s)|[，、；：,;]", sentence)}
    return _cut(sentence, {e for e in ends if not _between_digits(sentence, e)})


def joiner(before: str, after: str) -> str:
    """What stands between two sentences: nothing after Chinese marks, else a space."""
    if not before or not after:
        return ""
    core = before.rstrip(_SHARED_MARKS)
    if core and core[-1] in _WIDE_MARKS:
        return ""
    has_mark = core != before
    return "" if core and has_mark and _is_wide(core[-1]) and _is_wide(after[0]) else " "


def _cut(text: str, ends: set[int]) -> list[str]:
    bounds = [0, *sorted(ends), len(text)]
    pieces = (text[a:b].strip() for a, b in pairwise(bounds))
    return [piece for piece in pieces if piece]


def _ends_chinese(text: str, match: re.Match[str]) -> bool:
    # A half-width mark ends a sentence only after Chinese; elsewhere the English rule decides.
    if match[0][0] in "!?":
        return match.start() > 0 and HAN.match(text[match.start() - 1]) is not None
    return True


def _ends_english(text: str, match: re.Match[str]) -> bool:
    """Whether a mark followed by a space ends a sentence: not after initials or abbreviations."""
    following = text[match.end() :].lstrip()
    if following[:1].islower():
        return False
    if not match[0].startswith(".") or match[0].startswith(".."):
        return True
    word = _LAST_WORD.search(text[: match.start()])
    if word is None:
        return True
    last = word[1]
    if len(last) == 1 and last.isalpha() and last.isupper():
        return last == "I"
    if _INITIALS.fullmatch(last):
        return False
    if last.lower() in _ABBREVIATIONS:
        # "no. 5" and "vol. 2", but "The answer was no. Nobody spoke."
        return last.lower() in {"no", "p"} and not following[:1].isdigit()
    # A number before it is the mark of a list ("1. First"), if nothing else stands before it.
    return not (last.isdigit() and word.start() == 0)


def _between_digits(text: str, end: int) -> bool:
    return text[end - 2 : end - 1].isdigit() and text[end : end + 1].isdigit()


def _is_wide(char: str) -> bool:
    return HAN.match(char) is not None or char in _WIDE_MARKS
