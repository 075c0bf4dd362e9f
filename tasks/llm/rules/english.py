"""Questions about English sentences: one pattern, one kind of question."""

from __future__ import annotations

import re

from tasks.llm.rules.active import DEPENDENT, NUMBER, read_active, when_where
from tasks.llm.rules.clauses import Clause, find_title, find_verb, read_clauses
from tasks.llm.rules.facts import Fact
from tasks.llm.rules.names import Names
from tasks.llm.rules.prose import EMPTY, PART, read_there, simplify
from tasks.llm.rules.verbs import past_of, third_of

_DIMENSION = re.compile(rf"({NUMBER} [\w ]+?) (long|wide|high|tall|deep|thick|old)(?: and .*)?")
_ROLE = re.compile(r"(?:the|an?) ([a-z][a-z ]*?) ([A-Z][\w.'’-]*(?: [A-Z][\w.'’-]*)*)")
_PREPOSITION = re.compile(
    r" (?:in|on|at|from|to|with|against|under|by|during|beside|into|after|before|through|across"
    r"|over|since|until|as|behind|without|near|along|every|within)\b"
)
_POINTS_AT_PAGE = re.compile(
    r"(?:the|each|an?) (?:[a-z]+ )?(?:picture|chart|table|figure|listing|example|text|passage|page"
    r"|chapter|section|diagram|image|booklet|handbook|leaflet|book|line|code|output|message)s?\b"
    r"|(?:[Ll]isting|[Tt]able|[Ff]igure|[Cc]hapter|[Ss]ection)\b"
    r"|(?:[Tt]wo|[Tt]hree|[Ff]our|[Ff]ive|[Ss]everal|[Mm]any|[Bb]oth)\b"
)
_ACTOR = re.compile(
    r"(?:the )?[A-Z][\w.&’'-]*(?: (?:of |of the |and |and the |& )?[A-Z][\w.&’'-]*)*"
)
_ASIDE = re.compile(r" \([^()]*\)")
_DEFINITION = re.compile(
    r"(?=[A-Z])((?:The |An? )?[\w’'-]+(?: [\w’'-]+){0,3}) (is|are) "
    r"((?:an? |the (?:process|act|ability|set|part|number|study|practice) )[^,;:()]+)"
)
_CUT_DEFINITION = re.compile(
    r" (?:that|which|who|where|when|because|so|if|and|but|used|called|rather|as)\b.*"
)


def read_english(sentence: str, names: Names) -> list[Fact]:
    """Every fact of an English sentence, the clearest first."""
    sentence = simplify(_ASIDE.sub("", sentence))
    facts = read_there(sentence)
    title = find_title(sentence)
    if title:
        role = names.resolve(title[0])
        facts.append(Fact(f"Who is {role}?", title[1], role, role))
    for clause in read_clauses(sentence):
        facts += _read_clause(clause, names)
    return facts or _read_definition(sentence, names)


def _read_definition(sentence: str, names: Names) -> list[Fact]:
    """What a thing is, of a sentence that is not plain but begins with a definition."""
    match = _DEFINITION.match(sentence)
    # "a known, fixed size" would be cut in its middle.
    if match is None or re.match(r", (?!which|that|who)", sentence[match.end() :]):
        return []
    if re.search(r"[`<>{}]", match[0]) or not sentence.endswith("."):
        return []
    words = match[1].split()
    is_plain = find_verb([*words, match[2], "so"]) == len(words)
    if not is_plain or (words[0] == "The" and words[-1].islower()):
        return []
    about = names.resolve(match[1])
    kind = _CUT_DEFINITION.sub("", match[3].rstrip(". "))
    if DEPENDENT.search(f"{about} {kind}") or _POINTS_AT_PAGE.match(about):
        return []
    if (
        len(kind.split()) < 3
        or EMPTY.fullmatch(kind)
        or re.search(r" (?:of|in|to|for|with|the|an?|by|from)$", kind)
    ):
        return []
    asker = "Who" if names.is_person(about) and names.is_role(kind) else "What"
    return [Fact(f"{asker} {match[2]} {about}?", kind, about, rank=1)]


def _read_clause(clause: Clause, names: Names) -> list[Fact]:
    about = names.resolve(clause.subject)
    if DEPENDENT.search(about) or _POINTS_AT_PAGE.match(about) or PART.search(clause.subject):
        return []
    if clause.aux in ("is", "are", "was", "were"):
        return _read_be(clause, about, names)
    return read_active(clause, about, names)


def _read_be(clause: Clause, about: str, names: Names) -> list[Fact]:
    if clause.verb == "bear":
        return when_where(clause, about, f"{clause.aux} {about} born")
    if clause.verb == "base":
        return _located(clause, about)
    if clause.verb:
        return _read_passive(clause, about, names)
    size = _DIMENSION.fullmatch(clause.rest)
    if size:
        return [Fact(f"How {size[2]} {clause.aux} {about}?", size[1], about)]
    return _read_copula(clause, about, names)


def _located(clause: Clause, about: str) -> list[Fact]:
    match = re.match(r"(in|at|on|near|between|outside|beside) (.+)", clause.rest)
    if match is None or DEPENDENT.search(clause.rest):
        return []
    where = match[2] if match[1] in ("in", "at") else clause.rest
    return [Fact(f"Where {clause.aux} {about} {clause.form}?", where, about)]


def _read_copula(clause: Clause, about: str, names: Names) -> list[Fact]:
    said = " ".join(filter(None, [names.resolve_inside(clause.rest), clause.place, clause.time]))
    if DEPENDENT.search(said) or re.search(r"\b(?:not|no|never|same|one of)\b", said):
        return []
    is_description = about.startswith("the ") and " of " in about and len(about.split()) <= 9
    if is_description and names.is_person(said):
        return [Fact(f"Who {clause.aux} {about}?", said, about, about)]
    if is_description and re.fullmatch(rf"(?:always )?{NUMBER} [\w ]+", said):
        return [Fact(f"What {clause.aux} {about}?", said.removeprefix("always "), about)]
    if is_description and re.match(r"[A-Z]", said) and not names.is_role(about):
        return [Fact(f"What {clause.aux} {about}?", said, about, about)]
    is_named = re.search(r"[A-Z]", about) is not None and about[-1] not in ","
    if not is_named or clause.subject.startswith(("A ", "An ", "Each ")):
        return []
    if re.match(r"the .+ (?:of|in|on|at) ", said) and _resolved(clause, about):
        if names.is_person(about) and not names.is_thing(said):
            return [Fact(f"Who {clause.aux} {said}?", clause.subject, about, said)]
        if not names.is_role(said):
            return [Fact(f"What {clause.aux} {said}?", clause.subject, about, said)]
        return []
    if re.match(r"an? [a-z]", said) and not clause.time and not EMPTY.fullmatch(said):
        asker = "Who" if names.is_person(about) else "What"
        return [Fact(f"{asker} {clause.aux} {about}?", said, about, rank=1)]
    return []


def _resolved(clause: Clause, about: str) -> bool:
    """Whether the sentence itself names its subject."""
    return clause.subject[1:] == about[1:]


def _read_passive(clause: Clause, about: str, names: Names) -> list[Fact]:
    aux, form, rest = clause.aux, clause.form, clause.rest
    if DEPENDENT.search(rest):
        return []
    before, _, agent = f" {rest}".partition(" by ")
    before = before.strip()
    facts = _named(clause, about, before, names)
    if facts or form in ("called", "named"):
        return facts
    if before.split(" ")[-1] in ("for", "to", "with", "at", "on"):
        return []
    if agent:
        facts += _agent(clause, about, agent, names)
    plain = re.fullmatch(r"(of|from|into|with) ((?:the |an? )?[\w’'-]+(?: [\w’'-]+){0,3})", before)
    if plain and not _PREPOSITION.search(f" {plain[2]}"):
        facts.append(Fact(f"What {aux} {about} {form} {plain[1]}?", plain[2], about))
    elif before and not re.fullmatch(r"(?:in|on|at|for|to|as|of|from|into|with) .*", before):
        return facts if agent else when_where(clause, about, f"{aux} {about} {form} {before}")
    placed = re.fullmatch(
        r"(in|at|near) (?!Table|Figure|Section|Listing)((?:the )?[A-Z][\w ’'-]*)", before
    )
    if placed and not clause.place:
        facts += [Fact(f"Where {aux} {about} {form}?", placed[2], about)]
        before = ""
    tail = "" if plain and agent else before
    return facts + when_where(clause, about, f"{aux} {about} {form} {tail}".rstrip())


def _named(clause: Clause, about: str, before: str, names: Names) -> list[Fact]:
    if clause.form not in ("called", "named"):
        return []
    if before.startswith("after "):
        after = before[6:]
        if names.is_person(after) or names.is_role(after.removeprefix("the ")):
            return [Fact(f"Who {clause.aux} {about} named after?", after, about)]
        return []
    if re.fullmatch(r"(?:the )?[A-Z][\w’'-]*(?: [A-Z][\w’'-]*)*", before):
        return [Fact(f"What {clause.aux} {about} {clause.form}?", before, about, about)]
    return []


def _agent(clause: Clause, about: str, agent: str, names: Names) -> list[Fact]:
    if re.match(r"\d|\w+ing\b", agent) or len(agent.split()) > 7:
        return []
    verb = past_of(clause.verb) if clause.aux in ("was", "were") else third_of(clause.verb)
    role = _ROLE.fullmatch(agent)
    description = f"the person who {verb} {about}"
    if role:
        what = role[1]
        question = f"Which {what} {verb} {about}?"
        return [Fact(question, role[2], about, description if names.is_role(what) else "")]
    if names.is_person(agent):
        return [Fact(f"Who {verb} {about}?", agent, about, description)]
    if names.is_role(agent) or _ACTOR.fullmatch(agent):
        return [Fact(f"Who {verb} {about}?", agent, about)]
    return []
