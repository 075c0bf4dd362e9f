"""Lessons that lead a small decoder to name binding: to tell which document a question is about.

Reading one document needs no names, so a decoder that only ever reads one learns to guess among
several. Here the same attribute is asked of several entities, first in bare pairs of name and
value, then in sentences, then in whole documents. A lesson ends when it is mastered.

Answers alone count, for what documents and questions say cannot be foreseen. Names are drawn as
those of the stages are: now and then two of them share a word.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from clara_model import prompts, world, world_words
from clara_model.base.reading import (
    ANSWER_WEIGHT,
    CODE_SHARE,
    QUESTION_WEIGHT,
    Encode,
    Text,
)

LISTED = 10  # questions of a list, at most
# Once the lessons are done: of the steps, and of the texts about several documents.
_OLDER_SHARE, _LISTED_SHARE = 0.3, 0.67

Form = Callable[[random.Random], Text]


@dataclass
class Progress:
    """How far the lessons have come; part of a checkpoint.

    Args:
        lesson: The current one; the number of lessons when all are done.
        steps: Steps spent on it.
        mastery: Moving average of its share of right answers.
    """

    lesson: int = 0
    steps: int = 0
    mastery: float = 0.0


class Lessons:
    """Draws the texts of lessons; a draw depends on the seed, the step and the lesson alone.

    Args:
        encode: Text to token ids.
        seed: Names the draws.
        tokens: About how many tokens a batch has.
        goal: Share of right answers with which a lesson ends.
        most_steps: Steps after which it ends all the same.
    """

    def __init__(
        self, encode: Encode, *, seed: int, tokens: int, goal: float, most_steps: int
    ) -> None:
        self._encode, self._seed, self._tokens = encode, seed, tokens
        self._goal, self._most_steps = goal, most_steps
        self._lessons = self._curriculum()

    def __len__(self) -> int:
        return len(self._lessons)

    def batch(self, step: int, progress: Progress) -> tuple[list[Text], bool]:
        """Texts of one step, and whether they are of the current lesson (else: of an older)."""
        rng = random.Random(f"lessons/{self._seed}/{step}/{progress.lesson}")
        current = progress.steps < 3 or rng.random() < 0.75
        lesson = progress.lesson if current else rng.randrange(progress.lesson + 1)
        form = rng.choice(self._lessons[lesson])
        return self._fill(form, rng), lesson == progress.lesson

    def several_documents(self, step: int) -> list[Text]:
        """Texts of a step after the lessons: documents in the stages' prompts, or an old lesson."""
        rng = random.Random(f"several/{self._seed}/{step}")
        if rng.random() < _OLDER_SHARE:
            return self._fill(rng.choice(rng.choice(self._lessons)), rng)
        return self._fill(self._crowd(listed=rng.random() < _LISTED_SHARE), rng)

    def mark(self, progress: Progress, right: float) -> bool:
        """Count a step of the current lesson; true where the next one begins."""
        progress.steps += 1
        progress.mastery += 0.15 * (right - progress.mastery)
        is_mastered = progress.steps > 8 and progress.mastery >= self._goal
        if not is_mastered and progress.steps < self._most_steps:
            return False
        progress.lesson, progress.steps, progress.mastery = progress.lesson + 1, 0, 0.0
        return True

    def _curriculum(self) -> list[list[Form]]:
        """The forms of every lesson; one is drawn for each step."""
        return [
            [self._pairs],
            [self._pairs, self._records(4, 1), self._asked(4, 1)],
            [self._records(4, 1), self._asked(4, 1), self._asked(5, 1)],
            [self._records(3, 3), *[self._asked(3, 3)] * 2],
            [self._records(3, 5), self._asked(3, 5), self._crowd(listed=True)],
        ]

    def _fill(self, form: Form, rng: random.Random) -> list[Text]:
        texts = [form(rng)]
        while sum(len(t.ids) for t in texts) + len(texts[0].ids) < self._tokens:
            texts.append(form(rng))
        return texts

    def _pairs(self, rng: random.Random) -> Text:
        """Names with values, and the same again in another order: the value is to be found."""
        names = [entity.name for entity in _same_kind(rng, rng.randint(3, 8), 1)]
        pairs = list(zip(names, rng.sample(VALUES, len(names)), strict=True))
        text = Text()
        text.add(self._encode("<s>" + "".join(f" {n} {v}" for n, v in pairs)), 0.0)
        text.add(self._encode("<|assistant|>"), 0.0)
        for name, value in rng.sample(pairs, len(pairs)):
            text.add(self._encode(f" {name}"), 0.0)
            text.add(self._encode(f" {value}"), ANSWER_WEIGHT)
        return text

    def _records(self, entities: int, facts: int) -> Form:
        """Documents, and then every name with all its values in fixed order."""

        def form(rng: random.Random) -> Text:
            crowd = _same_kind(rng, entities, facts)
            text = Text()
            documents = "\n\n".join(entity.document(rng) for entity in crowd)
            text.add(self._encode(f"<s>{documents}<|assistant|>"), 0.0)
            for entity in rng.sample(crowd, len(crowd)):
                text.add(self._encode(f" {entity.name}"), 0.0)
                values = " ".join(fact.value for fact in entity.facts)
                text.add(self._encode(f" {values}"), ANSWER_WEIGHT)
            return text

        return form

    def _asked(self, entities: int, facts: int) -> Form:
        """Documents and a list of questions, without a system's turn."""

        def form(rng: random.Random) -> Text:
            return self._questions(rng, _same_kind(rng, entities, facts), LISTED, full=False)

        return form

    def _crowd(self, *, listed: bool) -> Form:
        """Some documents of persons and companies, and one question or a list of them."""

        def form(rng: random.Random) -> Text:
            crowd = world.draw_crowd(rng, "train", rng.choice((2, 3, 5, 5)))
            return self._questions(rng, crowd, LISTED if listed else 1, full=True)

        return form

    def _questions(
        self, rng: random.Random, crowd: list[world.Entity], most: int, *, full: bool
    ) -> Text:
        """Questions about some documents; with `full`, in the whole prompt and partly by code."""
        documents = "\n\n".join(entity.document(rng) for entity in crowd)
        share = CODE_SHARE if full else 0.0
        pairs = [pair for entity in crowd for pair in entity.questions(rng, code_share=share)]
        return self._ask(documents, rng.sample(pairs, min(most, len(pairs))), most, full=full)

    def _ask(self, documents: str, pairs: list[tuple[str, str]], most: int, *, full: bool) -> Text:
        """The prompt of one question (`most` 1) or of a list, with the answers."""
        text = Text()
        if most == 1:
            ((question, answer),) = pairs
            turn = prompts.answer_turn(documents, question)
        else:
            turn = prompts.list_qa_turn(documents)
        text.add(self._encode(f"<s><|system|>{turn.system}" if full else "<s>"), 0.0)
        text.add(self._encode(f"<|user|>{turn.user}"), 0.0)
        text.add(self._encode("<|assistant|>"), 0.0)
        if most == 1:
            text.add(self._encode(f" {answer}"), ANSWER_WEIGHT)
        else:
            for i, (question, answer) in enumerate(pairs):
                line = prompts.question_line(question)
                text.add(self._encode(f"\n{line}" if i else f" {line}"), 0.0)
                text.add(self._encode(f" {answer}"), ANSWER_WEIGHT)
        text.add(self._encode("</s>"), QUESTION_WEIGHT)
        return text


def _same_kind(rng: random.Random, count: int, facts: int) -> list[world.Entity]:
    """Entities of one kind with the same attributes."""
    kind: world.Kind = rng.choice(("person", "company"))
    crowd = world.draw_grid(rng, kind, "train", count)
    kept = sorted(rng.sample(range(len(crowd[0].facts)), facts))
    return [replace(e, facts=tuple(e.facts[i] for i in kept)) for e in crowd]


VALUES = [
    value
    for table in (world_words.PERSON_FACTS, world_words.COMPANY_FACTS)
    for _, values, *_ in table
    for value in values
]
