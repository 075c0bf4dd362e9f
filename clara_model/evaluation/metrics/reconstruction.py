"""How much of a text comes back from its memory: ROUGE, and names and numbers preserved.

ROUGE is that of the `rouge-score` package; texts of ASCII letters are cut into words exactly as it
does by default, in other scripts letters count as letters and CJK characters stand alone.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

import regex

from clara_model.evaluation.metrics.answers import AnswerMetric, best_of_golds

_CJK = r"\p{Han}\p{Hiragana}\p{Katakana}"
_WORD = regex.compile(rf"(?V1)[{_CJK}]|[[\p{{L}}\p{{N}}\p{{M}}]--[{_CJK}]]+")
_NUMBER = regex.compile(r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")
# Capitalised words in a row, also over "of" or "de", a hyphen, or the stop of an initial.
_CAPITALISED = r"(?:\p{Lu}\p{L}{0,2}\.|\p{Lu}[\p{L}\p{M}'’]*)"
_NAME = regex.compile(
    rf"{_CAPITALISED}(?:[ -](?:(?:of|the|de|la|von|van|del|al) )?{_CAPITALISED})*"
)
_SENTENCE_START = regex.compile(r"(?:^|[.!?:]\s+|\n\s*)[\"“'(]*$")
_TITLE_MARKS = regex.compile(r"[《「『]([^》」』]{1,40})[》」』]")
_CLOSED_WORDS = frozenset(
    "A An The In On At It Its He She They We I This That These Those There When While After Before "
    "As By For From If Of To With But And Or Not No Each Every Some Most Many All".split()
)


def reconstruction_scores(prediction: str, original: str) -> dict[str, float]:
    """Scores of one regenerated text; those that do not apply to the original are left out."""
    scores = {
        name.partition(".")[2]: metric(prediction, [original])
        for name, metric in RECONSTRUCTION_METRICS.items()
        if name.startswith("reconstruction.rouge")
    }
    found = {"numbers": find_numbers(original), "names": find_names(original)}
    found["entities"] = found["numbers"] | found["names"]
    for kind, items in found.items():
        if items:
            scores[kind] = RECONSTRUCTION_METRICS[f"reconstruction.{kind}"](prediction, [original])
    return scores


def find_numbers(text: str) -> set[str]:
    """Numbers as digits without thousands separators: `1,640` and `１６４０` are the same."""
    plain = unicodedata.normalize("NFKC", text)
    return {_plain_number(match) for match in _NUMBER.findall(plain)}


def find_names(text: str) -> set[str]:
    """Names by their spelling: capitalised words in a row, and titles in Chinese marks.

    A single capitalised word at the start of a sentence says nothing and is left out. Chinese
    names that no mark shows are not found: for them look at ROUGE.
    """
    names = set(_TITLE_MARKS.findall(text))
    for match in _NAME.finditer(text):
        words = match.group().rstrip(".").split()
        while words and words[0] in _CLOSED_WORDS:
            words = words[1:]
        starts = len(words) == 1 and _SENTENCE_START.search(text[: match.start()])
        if words and not starts and len(" ".join(words)) > 1:
            names.add(" ".join(words))
    return names


def rouge_tokens(text: str) -> list[str]:
    """Words in lower case; CJK characters alone."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


class _Tokens:
    """The tokenizer in the form that `rouge-score` asks for."""

    def tokenize(self, text: str) -> list[str]:
        return rouge_tokens(text)


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # imports NLTK: only if asked for

    return RougeScorer(["rouge1", "rougeL"], tokenizer=_Tokens())


def _rouge_f1(kind: str) -> AnswerMetric:
    def metric(prediction: str, golds: Sequence[str]) -> float:
        scores = (_rouge().score(gold, prediction)[kind].fmeasure for gold in golds)
        return float(max(scores, default=0.0))

    return metric


def _plain_number(text: str) -> str:
    text = text.replace(",", "")
    return (text.lstrip("0") or "0") if "." not in text else text


def _share_of_numbers(prediction: str, gold: str) -> float:
    wanted = find_numbers(gold)
    return len(wanted & find_numbers(prediction)) / len(wanted) if wanted else 1.0


def _kept_names(prediction: str, wanted: set[str]) -> int:
    said = f" {' '.join(rouge_tokens(prediction))} "
    return sum(f" {' '.join(rouge_tokens(name))} " in said for name in wanted)


def _share_of_names(prediction: str, gold: str) -> float:
    wanted = find_names(gold)
    return _kept_names(prediction, wanted) / len(wanted) if wanted else 1.0


def _share_of_entities(prediction: str, gold: str) -> float:
    names, numbers = find_names(gold), find_numbers(gold)
    kept = _kept_names(prediction, names) + len(numbers & find_numbers(prediction))
    return kept / (len(names) + len(numbers)) if names or numbers else 1.0


RECONSTRUCTION_METRICS: dict[str, AnswerMetric] = {
    "reconstruction.rouge1": _rouge_f1("rouge1"),
    "reconstruction.rougeL": _rouge_f1("rougeL"),
    "reconstruction.numbers": best_of_golds(_share_of_numbers),
    "reconstruction.names": best_of_golds(_share_of_names),
    "reconstruction.entities": best_of_golds(_share_of_entities),
}
