"""The names of an English passage: who is meant by "the bridge", and who is a person."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NAME = re.compile(r"[A-Z][\w’'-]*(?:(?: of(?: the)?)? [A-Z][\w’'-]*)*['’]?")
_OPENERS = frozenset(
    """the a an in on at from of to for with by each every one two both all no some many most after
    before since until when while as if because it he she they this these those there that its his
    her their our your my and but or so not nobody until only today now half about cars
    """.split()
)
_DETERMINERS = frozenset(["the", "a", "an", "each", "every", "one"])
_INSTITUTIONS = frozenset(
    """bridge company cooperative university observatory museum port shipyard yard hospital factory
    school library festival church tower lighthouse telescope theatre laboratory institute archive
    college bank society club orchestra choir gallery garden mill power plant
    """.split()
)
_COMPANY = frozenset(
    """optics power line lines works shipyard company co ltd inc corp corporation group industries
    motors airlines railways brewery foundry
    """.split()
)
_THINGS = (
    _INSTITUTIONS
    | _COMPANY
    | frozenset(
        """island islands isles river mount mountain hall office quay pier street road house town
    city village lake sea coast strait bay beacon gazette times news prize medal anchor barrel race
    night
    storm lamp lantern project party council committee union state states kingdom republic county
    mirror lens lift comet galaxy asteroid team service press station railway canal market park
    north south east west great little old new northern southern eastern western grey white black
    green red blue first royal national ministry department parliament government
    """.split()
    )
)
_PEOPLE_ROLES = frozenset(
    """president mayor head captain chief king queen chairman chairwoman chair minister student
    secretary member guide cook wife husband son daughter brother sister child children students
    workers people volunteers
    farmers monk nun bishop priest judge clerk coach pilot pilots host ceo librarian historian
    musician physician technician politician mathematician patron assistant accountant leader
    scientist chemist botanist architects
    """.split()
)
_NOT_ROLES = frozenset(
    """tower river computer water number centre center letter order summer winter paper river
    harbour power matter error motor reactor generator rotor factor sector corridor mirror door
    floor colour color border quarter chapter master-x layer corner cover member-x counter theater
    shelter newspaper boiler container printer meter ladder timber silver butter answer character
    weather parameter pointer compiler iterator operator vector error buffer identifier integer user
    """.split()
)


class Names:
    """What a passage calls by name.

    Args:
        context: Title and headings of the passage.
        sentences: Its sentences, in order.
    """

    def __init__(self, context: Iterable[str], sentences: Iterable[str]) -> None:
        self._sentences = list(sentences)
        self._text = " ".join([*context, *self._sentences])
        self._names = sorted({m for line in [*context, *self._sentences] for m in _find(line)})
        self._inner = {
            word for s in self._sentences for word in re.findall(r"(?<=[\w,] )[A-Z][\w’'-]*", s)
        }

    def resolve(self, subject: str) -> str:
        """A subject as it stands inside a question, "the bridge" by its name where it is clear."""
        first, _, rest = subject.partition(" ")
        lower = first.lower()
        if lower in _DETERMINERS:
            subject = self.resolve_inside(f"{lower} {rest}")
            return self._by_name(subject) if lower == "the" else subject
        if self._is_common(first, rest):
            return f"{first[0].lower()}{first[1:]} {rest}".strip()
        return subject

    def resolve_inside(self, phrase: str) -> str:
        """A phrase that ends in "of the bridge", with the bridge by its name where it is clear."""
        before, of, noun = phrase.rpartition(" of the ")
        return f"{before} of {self._by_name(f'the {noun}')}" if of else phrase

    def is_vague(self, about: str) -> bool:
        """Whether a phrase says nothing without the passage: "the company", "the first turbine"."""
        return re.search(r"\bof the [a-z]+$", about) is not None or not re.search(
            r"[A-Z]| of ", about
        )

    def is_thing(self, phrase: str) -> bool:
        """Whether a common noun phrase is about a place, an institution or an object."""
        return _head(phrase) in _THINGS

    def is_person(self, phrase: str) -> bool:
        """Whether a phrase looks like the name of a person."""
        words = phrase.split()
        if not 2 <= len(words) <= 4 or not all(re.fullmatch(r"[A-Z][\w.’'-]*", w) for w in words):
            return False
        return not any(
            word.lower().rstrip("s") in _THINGS or word.lower() in _THINGS for word in words
        )

    def is_role(self, phrase: str) -> bool:
        """Whether a common noun phrase names a person by what they do."""
        noun = _head(phrase)
        if noun in _PEOPLE_ROLES:
            return True
        if noun in _NOT_ROLES or noun in _THINGS:
            return False
        return noun.endswith(("er", "or", "ist", "man", "woman", "eer", "wright", "smith", "ect"))

    def _is_common(self, first: str, rest: str) -> bool:
        """Whether a capital only marks the start of the sentence."""
        if first in self._inner or rest[:1].isupper() or re.search(r"\d|[a-z][A-Z]|[’']s$", first):
            return False
        if re.search(rf"(?<![\w-]){re.escape(first.lower())}(?![\w-])", self._text):
            return True
        return bool(rest) or first.endswith(("ing", "ers", "ors", "ies", "sm"))

    def _by_name(self, subject: str) -> str:
        noun = subject[4:]
        if noun not in _INSTITUTIONS:
            return subject
        words = _COMPANY if noun == "company" else {noun}
        found = [n for n in self._names if self._is_called(n, words)]
        found = [n for n in found if not any(n != other and n in other for other in found)]
        if len(found) != 1:
            return subject
        the = f"{noun} of " in found[0].lower() or re.search(
            rf"\b[Tt]he {re.escape(found[0])}", self._text
        )
        return f"the {found[0]}" if the else found[0]

    def _is_called(self, name: str, words: Iterable[str]) -> bool:
        parts = name.lower().split()
        return len(parts) > 1 and (parts[-1] in words or (parts[0] in words and parts[1] == "of"))


def _find(line: str) -> list[str]:
    found = []
    for match in _NAME.finditer(line):
        name = match[0]
        first, _, rest = name.partition(" ")
        if first.lower() in _OPENERS:
            name = rest.removeprefix("of ")
        if name:
            found.append(name)
    return found


def _head(phrase: str) -> str:
    """The noun that a phrase is about, in small letters; empty if there is none."""
    words = re.split(r" (?:of|in|on|at|for|from|with|who|under)\b", phrase)[0].split()
    return words[-1].lower() if words else ""
