"""Questions about English clauses in the active voice, and about when and where."""

from __future__ import annotations

import re

from tasks.llm.rules.clauses import Clause
from tasks.llm.rules.facts import Fact
from tasks.llm.rules.names import Names
from tasks.llm.rules.prose import EMPTY
from tasks.llm.rules.verbs import PAST, third_of

_WORDS = (
    "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen"
    "|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
)
NUMBER = r"\d[\d,.]*(?: (?:million|billion|thousand))?"
_LESS = r"(?:more than |about |over |almost |nearly |only |up to )?"
_COUNT = re.compile(
    rf"({_LESS}(?:{NUMBER}|{_WORDS})) "
    r"((?:[a-z][\w-]* ){0,3}?[a-z][\w-]*s|people|men|women|children)"
    r"((?: of [a-z][\w-]*(?: [a-z]+)?)?)(?=$| (?:in|on|for|from|to|at|with|by|a|an|per|every|during"
    r"|since|between|against|under|near|through|over|each|daily|after|before|without)\b)(.*)"
)
_AMOUNT = re.compile(rf"({_LESS}(?:{NUMBER}|{_WORDS}|a|an) [a-z]+)(.*)")
_LONG = re.compile(
    rf"({_LESS}(?:{NUMBER}|{_WORDS}|a|an|one|half an) (?:seconds?|minutes?|hours?|days?|weeks?"
    r"|months?|years?))( to [a-z].*)?"
)
_PREPOSITION = re.compile(
    r" (?:in|on|at|from|to|with|against|under|by|during|beside|into|after|before|through|across"
    r"|over|since|until|as|behind|without|near|along|every|within|twice|once|per|several)\b"
)
DEPENDENT = re.compile(
    r"\b(?:its|his|her|their|our|your|my|it|he|she|they|we|you|them|him|itself|himself|herself"
    r"|themselves|this|these|that|here|there|same|such)\b",
    re.IGNORECASE,
)
# Done once: who did it needs no date.
_ONCE = frozenset("found design build discover invent write compose establish create".split())
_HUMAN = _ONCE | frozenset(
    """win paint train lead direct teach study learn inherit rescue inspect plant translate edit
    coach manage measure calculate develop wear photograph donate play read sing speak polish
    make produce install publish own buy sell organise organize
    """.split()
)
_EVENTS = frozenset(
    """open begin start end close retire die arrive finish stop sink burn fall return happen land
    leave marry resign settle move live grow stay run work study
    """.split()
)
_PLACED = frozenset(
    "lie stand sit live work stay grow settle meet die study teach end land".split()
)
_OBJECT_VERBS = frozenset(
    """found design build discover invent write compose make produce win receive open install
    develop establish publish connect introduce own buy sell study teach learn lead direct
    destroy inherit measure calculate paint restore rescue protect polish organise organize repel
    plant print repair replace manage maintain inspect collect store hold keep bring bake carry
    brew transport deliver supply host wear edit weave breed explain describe create contain
    purchase donate fund finance explore conquer translate visit close close finish
    need require use serve offer join cross grow show charge
    represent provide include generate indicate display define denote determine enable ensure
    prevent improve reduce increase compute evaluate solve support receive retain extract compare
    separate identify detect exert involve illustrate resemble yield obtain protect declare convert
    transform produce allow retain avoid ignore replace adopt achieve express own import export
    """.split()
)
# Verbs with the word that leads to what they are about.
_LEADS = {"consist": "of", "depend": "on", "rely": "on", "refer": "to", "belong": "to",
          "correspond": "to", "result": "in", "contribute": "to", "differ": "from"}  # fmt: skip
_LONGEST_TAIL = 8  # words after what is asked for


def read_active(clause: Clause, about: str, names: Names) -> list[Fact]:
    """The facts of a clause such as "Mara Velin founded Tidewater Optics in 1987"."""
    rest = clause.rest
    if DEPENDENT.search(rest) or rest.startswith(("not ", "to ", "no ")):
        return []
    if clause.verb == "become":
        return _became(clause, about, names)
    if clause.verb in ("cost", "weigh") and _AMOUNT.fullmatch(rest):
        return _amount(clause, about)
    if clause.verb in ("last", "take") and _LONG.fullmatch(rest):
        match = _LONG.fullmatch(rest)
        assert match is not None
        question = ask("How long", clause, about, (match[2] or "").strip())
        return [Fact(question, match[1], about)]
    if clause.verb in ("lie", "stand", "sit") and re.match(r"(?:on|between|near|under)\b", rest):
        return [Fact(ask("Where", clause, about, ""), _joined(clause, rest), about)]
    if rest.startswith("from ") and clause.verb == "come" and not _PREPOSITION.search(rest):
        return [Fact(ask("Where", clause, about, "from"), rest[5:], about)]
    lead = _LEADS.get(clause.verb, "")
    if lead and rest.startswith(f"{lead} "):
        return _led(clause, about, lead)
    if not rest:
        return _event(clause, about)
    count = _COUNT.fullmatch(rest)
    if count:
        return _count(clause, about, count)
    return _transitive(clause, about, names)


def when_where(clause: Clause, about: str, core: str) -> list[Fact]:
    """When and where something was so; the core begins with its auxiliary."""
    facts = []
    if clause.place:
        facts.append(Fact(f"Where {core}?", re.sub(r"^(?:in|at) ", "", clause.place), about))
    preposition, _, when = clause.time.partition(" ")
    when = when.removeprefix("the year ")
    if preposition in ("in", "on"):
        facts.append(Fact(f"When {core}?", when, about))
    elif preposition in ("since", "until"):
        facts.append(Fact(f"{preposition.capitalize()} when {core}?", when, about))
    return facts


def ask(asker: str, clause: Clause, about: str, tail: str, *, with_time: bool = True) -> str:
    """A question about anything but the subject: "When did Mara Velin found Tidewater Optics?"."""
    words = [asker, core_of(clause, about, tail)]
    if with_time:
        words += [clause.place, clause.time]
    return " ".join(filter(None, words)) + "?"


def core_of(clause: Clause, about: str, tail: str) -> str:
    """Auxiliary, subject, verb and tail: "did Mara Velin found Tidewater Optics"."""
    form = clause.verb
    aux = clause.aux
    if aux in ("has", "have", "had"):
        form = clause.form
    elif not aux:
        is_plural = about.endswith("s") and not about.endswith("ss") and about.startswith("the ")
        if clause.form in PAST and not (clause.form == clause.verb and is_plural):
            aux = "did"
        else:
            aux = "do" if clause.form == clause.verb else "does"
    return " ".join(filter(None, [aux, about, form, tail]))


def _joined(clause: Clause, rest: str) -> str:
    return " ".join(filter(None, [rest, clause.place]))


def _became(clause: Clause, about: str, names: Names) -> list[Fact]:
    role = clause.rest
    facts = []
    if re.search(r" of |[A-Z]", _joined(clause, role)) and names.is_person(about):
        what = " ".join(filter(None, [clause.form, role, clause.place, clause.time]))
        description = role if role.startswith("the ") else f"the {role}"
        facts.append(Fact(f"Who {what}?", clause.subject, about, description))
    core = core_of(clause, about, _joined(clause, role))
    timed = Clause(clause.subject, "", clause.verb, clause.form, role, clause.time)
    return facts + when_where(timed, about, core)


def _amount(clause: Clause, about: str) -> list[Fact]:
    match = _AMOUNT.fullmatch(clause.rest)
    assert match is not None
    if " and " in match[2]:
        return []
    return [Fact(ask("How much", clause, about, match[2].strip()), match[1], about)]


def _led(clause: Clause, about: str, lead: str) -> list[Fact]:
    what = clause.rest.removeprefix(f"{lead} ")
    if _PREPOSITION.search(f" {what}") or " and " in what:
        return []
    return [Fact(ask("What", clause, about, lead), what, about)]


def _event(clause: Clause, about: str) -> list[Fact]:
    if clause.verb in _PLACED:
        return when_where(clause, about, core_of(clause, about, ""))
    if clause.verb in _EVENTS:
        return when_where(clause, about, core_of(clause, about, ""))
    return []


def _count(clause: Clause, about: str, count: re.Match[str]) -> list[Fact]:
    number, noun, of, tail = count[1], count[2], count[3], count[4].strip()
    if " and " in tail + noun or re.search(rf"\b(?:{NUMBER}|{_WORDS})\b", tail):
        return []
    number = re.sub(rf"^{_LESS}(?=\w)", "", number) if number.startswith("only ") else number
    return [Fact(ask(f"How many {noun}{of}", clause, about, tail), number, about)]


def _transitive(clause: Clause, about: str, names: Names) -> list[Fact]:
    found = _PREPOSITION.search(f" {clause.rest}")
    end = found.start() if found else len(clause.rest) + 1
    thing, tail = clause.rest[: max(end - 1, 0)].strip(), clause.rest[max(end - 1, 0) :].strip()
    is_thing = (
        re.match(r"(?:the |an? )?[\w’']", thing) is not None
        and not re.match(rf"{_LESS}(?:\d|(?:{_WORDS})\b)", thing)
        and clause.verb in _OBJECT_VERBS
        and not thing.endswith("ly")
        and thing not in ("up", "down", "out", "off", "away", "back", "over", "on")
        and len(tail.split()) <= _LONGEST_TAIL
        and not EMPTY.fullmatch(thing)
    )
    if not is_thing:
        return []
    facts = _asked_subject(clause, about, names)
    wanted = "What"
    if not names.is_person(thing):
        facts.append(Fact(ask(wanted, clause, about, tail), thing, about))
    core = core_of(clause, about, clause.rest)
    facts += when_where(clause, about, core)
    return facts


def _asked_subject(clause: Clause, about: str, names: Names) -> list[Fact]:
    """Who did it, where the subject can be asked for."""
    subject = clause.subject
    if subject[1:] != about[1:] or (re.search(r"\b(?:and|each|every)\b", about) and clause.aux):
        return []
    form = clause.form
    if not clause.aux and form == clause.verb and form not in PAST:
        form = third_of(form)
    said = [clause.aux, form, clause.rest]
    if clause.verb not in _ONCE:
        said += [clause.place, clause.time]
    predicate = " ".join(filter(None, said))
    role = re.fullmatch(r"[Tt]he ([a-z][a-z ]*?) ([A-Z][\w.’'-]*(?: [A-Z][\w.’'-]*)*)", subject)
    if role and not re.search(r" (?:of|in|on|at|for|from|and|with)$", role[1]):
        description = f"the {role[1]} who {predicate}" if names.is_role(role[1]) else ""
        return [Fact(f"Which {role[1]} {predicate}?", role[2], about, description)]
    if names.is_person(about):
        return [Fact(f"Who {predicate}?", subject, about, f"the person who {predicate}")]
    if re.fullmatch(rf"{_PERSON} and {_PERSON}", about):
        return [Fact(f"Who {predicate}?", subject, about)]
    if clause.verb in _HUMAN and re.search(r"[A-Z]", about):
        return [Fact(f"Who {predicate}?", subject, about)]
    return []


_PERSON = r"[A-Z][\w.’'-]+ [A-Z][\w.’'-]+"
