"""What the rules find in a passage: a question, its answer, and how they may be joined."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

MAX_ANSWER_WORDS = 8
MAX_ANSWER_CHARS_ZH = 24


@dataclass(frozen=True, slots=True)
class Fact:
    """One question with its answer.

    Args:
        question: Ends in a question mark.
        answer: A span of the passage.
        subject: What the question is about, as the question writes it.
        description: Words that can stand for the answer in another question, or empty.
        sentence: Which sentence says it; table rows count as sentences.
        rank: 0 for a question that is clear alone; more for one that leans on the passage.
        parts: Questions of the facts that were joined to this one.
    """

    question: str
    answer: str
    subject: str = ""
    description: str = ""
    sentence: int = 0
    rank: int = 0
    parts: tuple[str, ...] = ()

    @property
    def statement(self) -> str:
        """The fact in a list of facts: its question with its answer."""
        return f"{self.question.rstrip('?？')}: {self.answer}"

    def at(self, sentence: int) -> Fact:
        """The same fact, placed."""
        return replace(self, sentence=sentence)


def is_sound(fact: Fact, passage: str) -> bool:
    """Whether an answer is a short span of the passage that its question does not give away."""
    answer, question = fact.answer.strip(), fact.question
    if not answer or not question or answer not in " ".join(passage.split()):
        return False
    if _length(answer) > 1 or mentions(question, answer):
        return False
    return not any(mark in question + answer for mark in ("|", "`", "$", "[", "http"))


def mentions(text: str, words: str) -> bool:
    """Whether a text has these words, as words."""
    pattern = re.escape(words)
    if words[0].isascii() and words[0].isalnum():
        pattern = r"(?<![A-Za-z0-9])" + pattern
    if words[-1].isascii() and words[-1].isalnum():
        pattern = pattern + r"(?![A-Za-z0-9])"
    return re.search(pattern, text, re.IGNORECASE) is not None


def _length(answer: str) -> float:
    """How long an answer is, where 1 is the most allowed."""
    wide = len(re.findall(r"[\u4e00-\u9fff]", answer))
    return max(wide / MAX_ANSWER_CHARS_ZH, len(answer.split()) / MAX_ANSWER_WORDS)
