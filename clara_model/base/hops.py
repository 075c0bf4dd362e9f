"""Lessons that lead on to two hops: a person's document names the employer, the employer's answers.

First bare links of names and values, one after the other and then both at once, next the same in
sentences, next in whole documents, among questions over one document all the time.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from clara_model import world
from clara_model.base.lessons import LISTED, VALUES, Form, Lessons
from clara_model.base.reading import ANSWER_WEIGHT, CODE_SHARE, Text
from clara_model.world.two_hops import (
    EmployedCrowd,
    draw_employed_crowd,
    one_hop_questions,
    two_hop_questions,
)

# Of the texts about persons and employers: questions over two documents, and of these in a whole
# prompt those that also tell something of the company.
_TWO_HOP_SHARE, _HINT_SHARE = 0.6, 0.5
_SIZES = (4, 5)  # documents of such a text


class TwoHopLessons(Lessons):
    """Draws texts as `Lessons` does, with questions over two documents among them."""

    def _curriculum(self) -> list[list[Form]]:
        links, chains = self._links(4, both=False), self._links(4, both=True)
        bare = self._employed((4,), 0, 1, full=False)
        partial = self._employed(_SIZES, 1, 3, full=False)
        return [
            [self._pairs],
            [links],
            [links, self._links(2, both=True), chains],
            [chains, self._pairs, self._records(4, 1), self._asked(4, 1)],
            [chains, self._records(4, 1), self._asked(4, 1), self._asked(5, 1)],
            [chains, self._asked(4, 1), bare, bare],
            [self._records(3, 3), self._asked(3, 3), partial, partial],
            [self._records(3, 5), self._asked(3, 5), self._crowd(listed=True)],
        ]

    def _crowd(self, *, listed: bool) -> Form:
        """Persons and companies as in the lessons for one hop, or persons and their employers."""
        strangers = super()._crowd(listed=listed)
        employed = self._employed(_SIZES, 5, 5, listed=listed)
        return lambda rng: (employed if rng.random() < 0.5 else strangers)(rng)

    def _links(self, most: int, *, both: bool) -> Form:
        """Persons with companies and companies with values; asked is one link, or both at once."""

        def form(rng: random.Random) -> Text:
            count = rng.randint(2, most)
            persons = [e.name for e in world.draw_grid(rng, "person", "train", count)]
            companies = [e.name for e in world.draw_grid(rng, "company", "train", count)]
            values = rng.sample(VALUES, count)
            first = list(zip(persons, companies, strict=True))
            second = list(zip(companies, values, strict=True))
            links = rng.sample(first + second, 2 * count)
            asked = [(f" the employer of {p}", v) for p, v in zip(persons, values, strict=True)]
            if not both:
                asked = [(f" {name}", value) for name, value in links]
            text = Text()
            text.add(self._encode("<s>" + "".join(f" {a} {b}" for a, b in links)), 0.0)
            text.add(self._encode("<|assistant|>"), 0.0)
            for question, answer in rng.sample(asked, count):
                text.add(self._encode(question), 0.0)
                text.add(self._encode(f" {answer}"), ANSWER_WEIGHT)
            return text

        return form

    def _employed(
        self,
        sizes: Sequence[int],
        person_facts: int,
        company_facts: int,
        *,
        listed: bool = True,
        full: bool = True,
    ) -> Form:
        """Documents of persons and employers that keep some facts; questions over one and two."""

        def form(rng: random.Random) -> Text:
            crowd = draw_employed_crowd(rng, "train", rng.choice(sizes))
            crowd = _shortened(rng, crowd, person_facts, company_facts)
            documents = "\n\n".join(entity.document(rng) for entity in crowd.entities)
            code_share, hint_share = (CODE_SHARE, _HINT_SHARE) if full else (0.0, 0.0)
            one = one_hop_questions(rng, crowd, code_share)
            two = two_hop_questions(rng, crowd, code_share, hint_share)
            most = LISTED if listed else 1
            wanted = sum(rng.random() < _TWO_HOP_SHARE for _ in range(most))
            drawn = rng.sample(two, min(wanted, len(two)))
            drawn += rng.sample(one, min(most - wanted, len(one)))
            pairs = [(question, answer) for _, question, answer in rng.sample(drawn, len(drawn))]
            return self._ask(documents, pairs, most, full=full)

        return form


def _shortened(
    rng: random.Random, crowd: EmployedCrowd, person_facts: int, company_facts: int
) -> EmployedCrowd:
    """The same crowd with so many facts of each kind; every person keeps the employer, the last."""
    kinds: tuple[world.Kind, world.Kind] = ("person", "company")
    kept: dict[world.Kind, list[int]] = {}
    for kind, count in zip(kinds, (person_facts, company_facts), strict=True):
        known = next(len(e.facts) for e in crowd.entities if e.kind == kind)
        employer = [known - 1] if kind == "person" else []
        kept[kind] = sorted(rng.sample(range(known - len(employer)), count)) + employer
    entities = [replace(e, facts=tuple(e.facts[i] for i in kept[e.kind])) for e in crowd.entities]
    return crowd._replace(entities=entities)
