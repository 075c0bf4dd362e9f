"""The text of a file's bytes: which encoding they are in, told from the bytes alone."""

from __future__ import annotations

from clara_model.errors import DataError

# So many broken signs may stand beside each whole one in a file that is UTF-8 otherwise.
_BROKEN = 0.25
_CHINESE = ("gb18030", "big5")
_COMMON = frozenset("的一是不了人在有我他这這中大来來上国國，。、")


def decode_text(data: bytes) -> str:
    """Text of a file in UTF-8, UTF-16 with a mark, GB 18030, Big5 or Windows-1252.

    Single broken bytes in UTF-8 become U+FFFD; text that no encoding makes plausible is refused
    rather than garbled.

    Raises:
        DataError: If it is none of these.
    """
    text = _decode(data)
    if text is None:
        raise DataError("text in an unknown encoding: save it as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")


def _decode(data: bytes) -> str | None:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _try(data, "utf-16")
    text = _try(data, "utf-8-sig")
    if text is not None:
        return text
    mended = data.decode("utf-8-sig", "replace")
    broken = mended.count("\ufffd")
    if broken <= _BROKEN * (sum(c > "\x7f" for c in mended) - broken):
        return mended
    for encoding in _CHINESE:
        text = _try(data, encoding)
        if text is not None and _is_chinese(text):
            return text
    text = _try(data, "cp1252")
    return text if text is not None and _is_western(text) else None


def _try(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _is_chinese(text: str) -> bool:
    """Whether what is not ASCII is Chinese: Western texts decode as Chinese by chance, too."""
    foreign = [c for c in text if ord(c) > 127]
    chinese = sum("\u4e00" <= c <= "\u9fff" or "\u3000" <= c <= "\u303f" for c in foreign)
    common = sum(c in _COMMON for c in foreign)
    return chinese > 0.8 * len(foreign) and common > 0.02 * len(foreign)


def _is_western(text: str) -> bool:
    """Whether the letters are mostly plain ones: any other script decodes as accents in rows."""
    letters = [c for c in text if c.isalpha()]
    return sum(c.isascii() for c in letters) >= 0.6 * len(letters)
