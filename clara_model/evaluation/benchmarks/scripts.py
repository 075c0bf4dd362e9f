"""Which script a text is written in, as far as scoring needs to know."""

from __future__ import annotations

import regex

_HAN = regex.compile(r"\p{Han}")
_KANA = regex.compile(r"[\p{Hiragana}\p{Katakana}]")
_LETTER = regex.compile(r"\p{L}")


def is_chinese(text: str) -> bool:
    """Whether at least a third of the letters are Han, and none is Japanese."""
    letters = len(_LETTER.findall(text))
    return bool(letters) and 3 * len(_HAN.findall(text)) >= letters and not _KANA.search(text)
