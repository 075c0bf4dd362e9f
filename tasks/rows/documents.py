"""What is wrong with one document of a row, told from its text alone: empty, short, broken, cut."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Literal

from tasks.negatives.answers import plain_text
from tasks.passages.sentences import HAN, joiner, split_sentences
from tasks.storage import Record

Fault = Literal["empty", "short", "broken", "cut"]

# Below this many words (or CJK characters) a document says too little to be asked about.
SHORT_DOCUMENT = 5
# A last line of fewer words is as likely a title or a label as the torn end of a sentence.
_PROSE_WORDS, _PROSE_HAN = 8, 16

_SIGHT = 400  # characters that are enough to see that a text is not short
_ENDS = ".!?…。！？；;:："
_CLOSERS = "\"'”’)]»」』）】》*_`"
_NO_PROSE = re.compile(r"\s*(?:[#|>•·*+–—-]|\d+[.)]|```|\[)")
# No English sentence ends in one of these.
_DANGLING = re.compile(
    r"(?:,|，|、|\b(?:the|an?|of|and|or|nor|to|in|on|at|by|for|from|with|into|than|that|which|whose"
    r"|is|are|was|were|has|had|have|its|their|his|her|as|but|because|while|when))$",
    re.IGNORECASE,
)
_TORN_START = re.compile(r"[a-z]+[\s,.]|[,;.!?)\]，。；！？、）】]")
_PARALLEL = ("doc_ids", "found_by")


def digest(text: str) -> int:
    """64 bits that stand for a text, so that a check over many rows keeps no texts."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest())


def judge_document(text: str) -> Fault | None:
    """The worst fault of a document, or None.

    `empty`: without a word. `broken`: a character was cut in two at either end. `cut`: prose that
    begins or ends inside a sentence. Lists, tables and headings need no full stop.
    """
    terms = len(plain_text(text[:_SIGHT]).split())
    if terms < SHORT_DOCUMENT and len(text) > _SIGHT:
        terms = len(plain_text(text).split())
    if not terms:
        return "empty"
    if "\ufffd" in text.strip()[:1] + text.strip()[-1:]:
        return "broken"
    if is_cut(text):
        return "cut"
    return "short" if terms < SHORT_DOCUMENT else None


def is_cut(text: str) -> bool:
    """Whether a text begins or ends inside a sentence, as far as its marks tell."""
    text = text.strip()
    return _begins_torn(text) or _ends_torn(text)


def trim_to_sentences(text: str) -> str:
    """A text without the torn sentences at its ends; may be empty."""
    text = text.strip()
    while text and _begins_torn(text):
        first, _, rest = text.partition("\n")
        text = "\n".join((_joined(split_sentences(first)[1:]), rest)).strip()
    while text and _ends_torn(text):
        rest, _, last = text.rpartition("\n")
        text = "\n".join((rest, _joined(split_sentences(last)[:-1]))).strip()
    return text


def _joined(sentences: Sequence[str]) -> str:
    text = ""
    for sentence in sentences:
        text += joiner(text, sentence) + sentence
    return text


def _begins_torn(text: str) -> bool:
    return _TORN_START.match(text) is not None


def _ends_torn(text: str) -> bool:
    last = text.rsplit("\n", 1)[-1].strip()
    if not last or _NO_PROSE.match(last):
        return False
    bare = last.rstrip(_CLOSERS)
    if not bare or bare[-1] in _ENDS:
        return False
    if _DANGLING.search(bare):
        return True
    return len(bare.split()) >= _PROSE_WORDS or len(HAN.findall(bare)) >= _PROSE_HAN


def keep_documents(row: Record, kept: Sequence[int]) -> None:
    """Leave only some documents in a row, in place; positions and lists beside them follow."""
    size = len(row["docs"])
    for key in ("docs", *_PARALLEL):
        value = row.get(key)
        if isinstance(value, list) and len(value) == size:
            row[key] = [value[i] for i in kept]
    if isinstance(row.get("pos_index"), list):
        places = {old: new for new, old in enumerate(kept)}
        row["pos_index"] = [places[i] for i in row["pos_index"] if i in places]
