"""Whether an answer says that there is none: by the wordings that models use for it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from clara_model.evaluation.metrics.answers import AnswerMetric
from clara_model.evaluation.metrics.cjk import tokenize_answer
from clara_model.evaluation.metrics.text import holds_run

# Anywhere in the answer.
_PHRASES = (
    "do not say", "does not say", "don't say", "doesn't say", "not mentioned", "no mention",
    "do not mention", "does not mention", "not stated", "not specified", "not provided",
    "do not provide", "does not provide", "do not contain", "does not contain", "no information",
    "not enough information", "insufficient information", "cannot be answered", "cannot answer",
    "can't answer", "can't be answered", "cannot be determined", "cannot determine", "do not know",
    "don't know", "unanswerable", "not answerable", "no answer",
    "没有说明", "未说明", "没有提到", "没有提及", "未提及", "未提到", "没有提供", "未提供",
    "无法回答", "无法确定", "无法得知", "不得而知", "不知道", "没有相关信息", "没有答案",
)  # fmt: skip
# Only as the whole answer.
_WHOLE = ("unknown", "none", "n/a", "noanswer", "not known", "未知", "不详", "无")


def is_refusal(answer: str, known: Sequence[str] = ()) -> bool:
    """Whether an answer says that the documents hold none.

    An empty answer is no refusal: it tells nobody anything.

    Args:
        answer: The answer.
        known: More wordings, such as those that a model was trained on; each anywhere in it.
    """
    said = tokenize_answer(answer)
    if not said:
        return False
    phrases = (*_tokens(_PHRASES), *(tuple(tokenize_answer(text)) for text in known))
    return tuple(said) in _tokens(_WHOLE) or any(
        phrase and holds_run(said, list(phrase)) for phrase in phrases
    )


@cache
def _tokens(phrases: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(tokenize_answer(phrase)) for phrase in phrases)


REFUSAL_METRICS: dict[str, AnswerMetric] = {"open.refusal": is_refusal}
