"""Simple English clauses: subject, verb, rest and time of those sentences that are plain enough."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace

from tasks.llm.rules.verbs import AUXILIARIES, BASES, PARTICIPLE, PAST, THIRD

_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_DATE = rf"(?:\d{{1,2}} )?(?:(?:{_MONTHS})(?: \d{{1,2}},)? )?\d{{4}}|\d{{1,2}} (?:{_MONTHS})"
TIME = re.compile(rf"(?:in|on|since|until|by) (?:the year )?(?:{_DATE})|from \d{{4}} to \d{{4}}")
_LAST_TIME = re.compile(rf"(?:^|\s)({TIME.pattern})$")
_FIRST_TIME = re.compile(rf"((?:In|On|Since) (?:the year )?(?:{_DATE})),? (?=[A-Z]|the |an? )")
_NAME = r"[A-Z][\w'’.&-]*(?:,? (?:of|the|de|van|von)(?= [A-Z])| [A-Z][\w'’.&-]*| \d+)*"
_LAST_PLACE = re.compile(rf"(?:^|\s)((?:in|at|near|on) (?:the )?({_NAME}))$")
_NOT_PLACES = re.compile(
    rf"(?:{_MONTHS}|Tables?|Figures?|Sections?|Chapter|Listing|Appendix|Eq|\w+day|English|French"
    r"|German|Latin|Spanish|Greek|Chinese|Japanese|Rust|Python)\b"
)
_TAIL = re.compile(
    r",? (?:because|so that|so|although|though|whereas|while|after|before|when)\b.*$"
    r"|, (?:which|who|whose|where|but|and then|more than|less than)\b.*$"
)
_PRONOUNS = frozenset(
    "it he she they we you i this these those that there here what who when where why how if as "
    "nobody someone everybody everyone something nothing both some many most all such one another "
    "others each its his her their our your my let while although because after before unless "
    "but and or everything anything anyone not never then so thus also however only even now today "
    "half".split()
)
_BREAKERS = frozenset(
    "how whether that which who whose whom because when where if than and or but".split()
)
_LINKS = frozenset("of on in at from for with to by under near behind between the a an and".split())
_PLURAL_BASES = frozenset(
    "have need use carry keep produce make run cross live work visit sell buy bring hold lie stand "
    "cost contain cover include offer serve own employ grow begin end open connect".split()
)
_ADVERBS = frozenset("also now still first usually often therefore later earlier soon".split())
_NO_ADVERBS = frozenset("family supply assembly anomaly reply ally fly monopoly".split())
_MAX_SUBJECT = 9


@dataclass(frozen=True, slots=True)
class Clause:
    """A finite clause cut into parts.

    Args:
        subject: As the sentence writes it.
        aux: The auxiliary or form of be in front, or empty.
        verb: Base form of the full verb; empty after a plain form of be.
        form: The full verb as written; empty after a plain form of be.
        rest: What follows the verb, without time and place.
        time: As written with its preposition, or empty.
        place: As written with its preposition, or empty; only a named one at the end.
    """

    subject: str
    aux: str
    verb: str
    form: str
    rest: str
    time: str = ""
    place: str = ""


def read_clauses(sentence: str) -> list[Clause]:
    """The simple clauses of a sentence; none if it is not plain enough to be sure of."""
    text = sentence.strip()
    if not re.fullmatch(r"[A-Z][^?!:;\"“”()*_`\[\]{}<>=\\]*\.", text):
        return []
    text = text[:-1].rstrip()
    time = ""
    lead = _FIRST_TIME.match(text)
    if lead:
        time = lead[1][0].lower() + lead[1][1:]
        text = text[lead.end() :]
        text = text[0].upper() + text[1:]
    clauses: list[Clause] = []
    for part in re.split(r", and (?=[A-Z]|the |its |an? )", text):
        for clause in _read_part(part):
            clauses.append(replace(clause, time=clause.time or time))
    return clauses


def find_title(sentence: str) -> tuple[str, str] | None:
    """Role and name of "The architect of the bridge, Ivo Tarn, was born ..."; None without."""
    match = re.match(
        r"(The [a-z][\w' -]*? (?:of|for) [\w' -]+?), ([A-Z][\w.-]+(?: [A-Z][\w.-]+)+), ", sentence
    )
    return (match[1], match[2]) if match else None


def _read_part(part: str) -> list[Clause]:
    title = find_title(part)
    if title:
        part = f"{title[1]} {part[len(title[0]) + len(title[1]) + 4 :]}"
    text = _TAIL.sub("", part)
    first = _read_one(text)
    if first is not None:
        return [first]
    # Two predicates of one subject: "was born in Osterly and worked for a bank".
    for match in re.finditer(r" and (?=(\w+)\b)", text):
        head = _read_one(text[: match.start()])
        if head is None or not _is_predicate(match[1], head):
            continue
        second = _read_one(f"{head.subject} {text[match.end() :]}")
        return [head] if second is None else [head, second]
    return []


def _is_predicate(word: str, head: Clause) -> bool:
    """Whether a word after "and" begins a second predicate rather than a second participle."""
    if head.aux in ("is", "are", "was", "were"):
        if word in PARTICIPLE and head.verb != "bear":
            return False
        if not head.verb and re.match(r"\d", head.rest) and word[0].isdigit():
            return False
    return word in AUXILIARIES or word in PAST or word in THIRD


def _read_one(text: str) -> Clause | None:
    words = text.split()
    at = find_verb(words)
    if at is None or "," in re.sub(r"(?<=\d),(?=\d)", "", text):
        return None
    subject = " ".join(word for word in words[:at] if word == "first" or word not in _ADVERBS)
    rest = words[at + 1 :]
    aux, verb, form = "", "", words[at]
    if form in AUXILIARIES:
        aux, form = form, ""
        rest, verb, form = _full_verb(aux, rest)
        if verb == "" and aux not in ("is", "are", "was", "were", "have", "has", "had"):
            return None
        if verb == "" and aux in ("have", "has", "had"):
            aux, verb, form = "", "have", aux
    else:
        verb = PAST.get(form) or THIRD.get(form) or form
    if not rest or {w.lower() for w in rest} & (_BREAKERS - {"and"}):
        return None
    if _has_second_verb(rest):
        return None
    clause = Clause(subject, aux, verb, form, " ".join(rest))
    return _strip_adjuncts(clause)


def find_verb(words: list[str]) -> int | None:
    """Where the first finite verb stands, if what is before it can be a subject."""
    if not words or re.split("[’']", words[0].lower())[0] in _PRONOUNS:
        return None
    for i, word in enumerate(words[: _MAX_SUBJECT + 1]):
        lower = word.lower()
        if i and (lower in _BREAKERS - {"and"} or word.endswith(",")):
            return None
        if not i or word[0].isupper() or not word.isalpha():
            continue
        if words[i - 1].lower() in _LINKS:
            continue
        plural = words[i - 1].endswith("s") and not words[i - 1].endswith("ss")
        if not (
            word in AUXILIARIES
            or word in PAST
            or word in THIRD
            or (plural and word in _PLURAL_BASES)
        ):
            continue
        following = words[i + 1] if i + 1 < len(words) else ""
        if word not in AUXILIARIES and (following in AUXILIARIES or following in PAST):
            continue  # "The price rises were ...": a noun
        if word in THIRD and following in BASES and word.endswith("s"):
            continue  # "The static checks protect ...": a noun
        if following.endswith("ly") and i + 2 < len(words) and words[i + 2] in BASES:
            continue  # "Power plants currently operate ..."
        return i if _is_subject(words[:i]) else None
    return None


def _is_subject(words: list[str]) -> bool:
    text = " ".join(words)
    if " and " in text and not re.fullmatch(rf"{_NAME} and {_NAME}", text):
        return False
    last = words[-1]
    if last.islower() and last.endswith("ly") and last not in _NO_ADVERBS:
        return False  # "Open locally installed ..."
    if {"do", "does", "did"} & set(words) or last in ("including", "excluding", "using"):
        return False
    if words[0].lower() in ("in", "on", "at", "from", "for", "with", "by", "to", "of", "about"):
        return False
    return not any(w in ("not", "no") or w.lower().endswith("self") for w in words)


def _full_verb(aux: str, rest: list[str]) -> tuple[list[str], str, str]:
    """The rest, base and form of the full verb after an auxiliary; empty if there is none."""
    if rest and rest[0] in _ADVERBS:
        rest = rest[1:]
    if not rest:
        return rest, "", ""
    word = rest[0]
    if aux in ("will", "can", "must", "may", "could", "should", "would"):
        return (rest[1:], word, word) if word in BASES | {"be"} else (rest, "", "")
    if word == "born":
        return rest[1:], "bear", "born"
    if word in ("located", "based", "situated"):
        return rest[1:], "base", word
    # "is open to", "has set rules": only what can be nothing but a participle here.
    if word in PARTICIPLE and word not in ("open", "set", "led-by"):
        return rest[1:], PARTICIPLE[word], word
    return rest, "", ""


def _has_second_verb(rest: list[str]) -> bool:
    """Whether another predicate follows, as after "and"."""
    for before, word in itertools.pairwise(rest):
        if word in AUXILIARIES and word != "will":
            return True
        if before == "and" and (word in PAST or word in THIRD or word in AUXILIARIES):
            return True
    return False


def _strip_adjuncts(clause: Clause) -> Clause:
    rest, time, place = clause.rest, "", ""
    for _ in range(2):
        found = _LAST_TIME.search(rest)
        if found and not time:
            rest, time = rest[: found.start()].rstrip(), found[1]
        named = _LAST_PLACE.search(rest)
        if named and not place and not _NOT_PLACES.match(named[2]) and clause.verb != "base":
            head = rest[: named.start()].rstrip()
            if not head.endswith((" of", " the")):
                rest, place = head, named[1]
    return replace(clause, rest=rest, time=time, place=place)
