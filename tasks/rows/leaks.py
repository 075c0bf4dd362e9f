"""Whether training rows give away what benchmark rows ask: by passage, question, answer sentence.

Keys are collected from the benchmark, which is small, and training rows stream past them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tasks.negatives.answers import is_closed, is_short, plain_answer, plain_text
from tasks.passages.sentences import HAN, split_sentences
from tasks.rows.documents import digest
from tasks.storage import Record

# A shorter sentence ("It rained.") stands in unrelated documents by chance.
_SENTENCE_TERMS, _SENTENCE_SIGNS = 6, 12  # words; CJK signs


@dataclass(frozen=True, slots=True)
class Leak:
    """A benchmark row and the training row that gives it away."""

    line: int
    train_line: int
    by: str  # "passage", "question" or "answer sentence"
    words: str = ""


@dataclass
class BenchmarkKeys:
    """What must not be met in training: 64-bit keys, each with the benchmark's lines."""

    passages: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    ids: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    questions: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    sentences: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, number: int, row: Record, stage: str) -> None:
        """Take up one benchmark row. Golds count, not all candidates: it may show others."""
        golds = [0] if stage == "stage1" else row["pos_index"]
        for gold in golds:
            self.passages[digest(plain_text(row["docs"][gold]))].append(number)
        for identity in passage_ids(row):
            self.ids[identity].append(number)
        for question in questions_of(row):
            self.questions[digest(plain_text(question))].append(number)
        for answer in _answers(row):
            for sentence in answer_sentences((row["docs"][gold] for gold in golds), answer):
                self.sentences[digest(sentence)].append(number)


def find_leaks(keys: BenchmarkKeys, train: Iterable[tuple[int, Record]]) -> Iterator[Leak]:
    """Every benchmark row that training gives away, with the first training row that does.

    A row is told once for each of its questions, and once for its passage or, where that stands
    nowhere, for its answer sentence.

    Args:
        keys: Of the whole benchmark.
        train: Line numbers and rows of training, in our own format.
    """
    by_text: dict[int, Leak] = {}
    seen: set[int] = set()
    asked: set[tuple[int, int]] = set()
    for number, row in train:
        for identity in passage_ids(row):
            _note(by_text, keys.ids.get(identity, ()), number, "passage")
        for text in row["docs"]:
            if (key := digest(text)) not in seen:
                seen.add(key)
                _note_text(by_text, keys, text, number)
        for text in _answers(row):
            _note_sentences(by_text, keys, text, number)
        for question in questions_of(row):
            key = digest(plain_text(question))
            for line in keys.questions.get(key, ()):
                if (line, key) not in asked:
                    asked.add((line, key))
                    yield Leak(line, number, "question", question)
    yield from by_text.values()


def questions_of(row: Record) -> list[str]:
    """The questions that a row asks, without empty ones."""
    asked = row["question"] if isinstance(row["question"], list) else [row["question"]]
    return [question for question in asked if question.strip()]


def passage_ids(row: Record) -> list[str]:
    """Ids of the passages that a row is about, as far as it names them."""
    named = [row.get("passage_id"), *(row.get("passage_ids") or ())]
    return list(dict.fromkeys(str(name) for name in named if name))


def answer_sentences(documents: Iterable[str], answer: str) -> Iterator[str]:
    """Plain texts of the sentences that hold an answer; none for answers that stand anywhere."""
    if is_closed(answer) or is_short(answer):
        return
    wanted = plain_answer(answer)
    for sentence in _sentences(documents):
        if wanted in sentence:
            yield sentence


def _sentences(texts: Iterable[str]) -> Iterator[str]:
    """Plain sentences of texts, of those long enough to be told apart."""
    for text in texts:
        for line in text.splitlines():
            for sentence in split_sentences(line):
                plain = plain_text.__wrapped__(sentence)  # sentences would flood its cache
                if plain.count(" ") > (_SENTENCE_SIGNS if HAN.search(plain) else _SENTENCE_TERMS):
                    yield plain


def _note_text(found: dict[int, Leak], keys: BenchmarkKeys, text: str, number: int) -> None:
    _note(found, keys.passages.get(digest(plain_text(text)), ()), number, "passage")
    _note_sentences(found, keys, text, number)


def _note_sentences(found: dict[int, Leak], keys: BenchmarkKeys, text: str, number: int) -> None:
    if not keys.sentences:
        return
    for sentence in _sentences((text,)):
        lines = keys.sentences.get(digest(sentence), ())
        _note(found, lines, number, "answer sentence", sentence.strip())


def _note(
    found: dict[int, Leak], lines: Iterable[int], number: int, by: str, words: str = ""
) -> None:
    """Keep the first finding of each line; a whole passage says more than a sentence of it."""
    for line in lines:
        if line not in found or (by == "passage" and found[line].by != "passage"):
            found[line] = Leak(line, number, by, words)


def _answers(row: Record) -> list[str]:
    """Every text that a row teaches as an answer."""
    many = row.get("answers")
    said = [*(many if isinstance(many, list) else ()), row.get("gold_answer"), row.get("answer")]
    return list(dict.fromkeys(text for text in said if isinstance(text, str) and text.strip()))
