"""Answer metrics for Chinese: CMRC 2018's, and our own for any mix of scripts.

CMRC 2018's script splits what is not Chinese with NLTK: sentences first, then words. The word
rules are NLTK's own; the sentences, for which NLTK needs a download, are split at full stops,
question and exclamation marks before a space. Purely Chinese texts need neither.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

from clara_model.evaluation.metrics.answers import AnswerMetric, best_of_golds
from clara_model.evaluation.metrics.text import holds_run, overlap

_CMRC_SIGNS = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_CMRC_RUN = re.compile(r"[\u4e00-\u9fa5]|[^\u4e00-\u9fa5]+")
# Words without any sign: NLTK, seconds to import, would only split them at the spaces (but it
# takes apart "cannot", "gonna" and their like).
_PLAIN_WORDS = re.compile(r"[^\W_]+(?:\s+[^\W_]+)*")
_FUSED = re.compile(r"\b(?:cannot|gimme|gonna|gotta|lemme|wanna)\b")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")

# Han, kana and their extensions are written without spaces: each character is a token.
_UNSPACED = (
    "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0002fa1f\U00030000-\U000323af"
)
_OPEN_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]")
_ARTICLES = frozenset(("a", "an", "the"))


def tokenize_answer(text: str) -> list[str]:
    """Tokens by which our metrics compare answers in any language.

    Compatibility forms are unified (NFKC), case and punctuation are dropped, English articles are
    dropped unless nothing else is left, and each CJK character is one token.
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    kept = (c for c in text if not unicodedata.category(c).startswith("P"))
    tokens = _OPEN_TOKEN.findall("".join(kept))
    return [token for token in tokens if token not in _ARTICLES] or tokens


def _equal(prediction: str, gold: str) -> bool:
    return tokenize_answer(prediction) == tokenize_answer(gold)


def _f1(prediction: str, gold: str) -> float:
    said, wanted = tokenize_answer(prediction), tokenize_answer(gold)
    if not said or not wanted:
        return float(said == wanted)
    return overlap(said, wanted).f1


def _contains(prediction: str, gold: str) -> bool:
    said, wanted = tokenize_answer(prediction), tokenize_answer(gold)
    return bool(wanted) and holds_run(said, wanted)


def _cmrc_plain(text: str) -> str:
    return "".join(c for c in text.lower().strip() if c not in _CMRC_SIGNS)


def _cmrc_equal(prediction: str, gold: str) -> bool:
    return _cmrc_plain(prediction) == _cmrc_plain(gold)


def _cmrc_tokens(text: str) -> list[str]:
    """Each Chinese character, and the words of what stands between them."""
    tokens: list[str] = []
    for run in _CMRC_RUN.findall(_cmrc_plain(text)):
        if "\u4e00" <= run[0] <= "\u9fa5":
            tokens.append(run)
        elif _PLAIN_WORDS.fullmatch(run.strip()) and not _FUSED.search(run):
            tokens += run.split()
        elif run.strip():
            for sentence in _SENTENCE_END.split(run.strip()):
                tokens += _word_tokenizer().tokenize(sentence)
    return tokens


@cache
def _word_tokenizer() -> Any:
    from nltk.tokenize.destructive import NLTKWordTokenizer  # a second: only if asked for

    return NLTKWordTokenizer()


def _cmrc_f1(prediction: str, gold: str) -> float:
    said, wanted = _cmrc_tokens(prediction), _cmrc_tokens(gold)
    common = _longest_common_run(said, wanted)
    if common == 0:
        return 0.0
    precision, recall = common / len(said), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def _longest_common_run(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest stretch of neighbours that both sequences hold."""
    longest, above = 0, [0] * (len(second) + 1)
    for item in first:
        row = [0]
        for place, other in enumerate(second):
            row.append(above[place] + 1 if item == other else 0)
        longest, above = max(longest, *row), row
    return longest


CJK_METRICS: dict[str, AnswerMetric] = {
    "cmrc2018.em": best_of_golds(_cmrc_equal),
    "cmrc2018.f1": best_of_golds(_cmrc_f1),
    "open.em": best_of_golds(_equal),
    "open.f1": best_of_golds(_f1),
    "open.contains": best_of_golds(_contains),
}
