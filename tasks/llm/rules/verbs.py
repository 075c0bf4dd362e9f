"""English verb forms: a table of common verbs, so that a question can be asked with "did"."""

from __future__ import annotations

_REGULAR = """
accept achieve add adopt allow announce appoint approve arrive attract award belong bake brew call
carry cast celebrate change charge clean climb close collect compose connect conquer
contain cook count cover create cross cultivate damage decide deliver describe design destroy
develop die direct discover divide donate double earn edit elect employ end enter establish exceed
expand expect explain explore export fail fill finish fish form gather govern guide harvest help
heat host house import improve include increase inhabit inherit inspect inspire install introduce
invent join kill land last launch learn lift link list live maintain manage manufacture mark marry
measure melt move name need number observe occupy offer open operate order organize organise own
paint pass perform plan plant play polish pour prepare present press print produce promise
propose protect prove publish pull pump purchase raise reach rebuild-x receive record reduce refuse
release remain remove rent repair replace repel represent require rescue restore retire return
reveal row rule sail save score serve share sign sketch stage start stay stop store
stretch study supply support survive test thank trade train translate transport travel treat try
turn use visit vote wait walk want warm wash watch weigh welcome weld witness work
calculate compile complete conduct consume convert decorate deposit display document drain employ
equip finance fund guard honour honor illuminate invest investigate isolate issue lack lease license
light mine monitor photograph patent power process promote provide rank reform regulate report
resign restrict sculpt settle ship specialise specialize sponsor succeed suffer surround tie tour
unite unveil value
assign assist attach avoid combine compare compute consider consist contribute correspond
customize declare define delete denote depend detect determine differ dominate eliminate enable
encode ensure evaluate examine execute exert extract formulate generate govern identify ignore
illustrate implement indicate initialize interpret involve minimize modify obtain occur outperform
prevent refer reflect rely replicate resemble resolve retain satisfy separate simplify solve specify
stabilize suffer sustain transform utilize validate vary yield
""".split()
_DOUBLED = {
    "plan",
    "repel",
    "refer",
    "stop",
    "ship",
    "equip",
    "permit",
    "control",
    "patrol",
    "rob",
    "log",
}
_IRREGULAR = """
become/became/become begin/began/begun bring/brought/brought build/built/built buy/bought/bought
catch/caught/caught choose/chose/chosen come/came/come cost/cost/cost cut/cut/cut dig/dug/dug
draw/drew/drawn drive/drove/driven eat/ate/eaten fall/fell/fallen feed/fed/fed find/found/found
fly/flew/flown found/founded/founded get/got/got give/gave/given go/went/gone grind/ground/ground
grow/grew/grown have/had/had hold/held/held keep/kept/kept lay/laid/laid lead/led/led
leave/left/left lend/lent/lent lie/lay/lain lose/lost/lost make/made/made mean/meant/meant
meet/met/met overtake/overtook/overtaken pay/paid/paid read/read/read rebuild/rebuilt/rebuilt
ride/rode/ridden ring/rang/rung rise/rose/risen run/ran/run see/saw/seen sell/sold/sold
send/sent/sent set/set/set shine/shone/shone show/showed/shown sing/sang/sung sink/sank/sunk
sit/sat/sat speak/spoke/spoken spend/spent/spent spin/spun/spun stand/stood/stood
swim/swam/swum take/took/taken teach/taught/taught tell/told/told wear/wore/worn weave/wove/woven
win/won/won write/wrote/written forge/forged/forged rear/reared/reared breed/bred/bred
light/lit/lit seat/seated/seated tow/towed/towed
""".split()

AUXILIARIES = frozenset("is are was were has have had will can must may could should would".split())


def _past(base: str) -> str:
    if base in _DOUBLED:
        return base + base[-1] + "ed"
    if base.endswith("e"):
        return base + "d"
    if base.endswith("y") and base[-2] not in "aeiou":
        return base[:-1] + "ied"
    return base + "ed"


def _third(base: str) -> str:
    if base in ("have", "go"):
        return {"have": "has", "go": "goes"}[base]
    if base.endswith(("s", "sh", "ch", "x", "z")):
        return base + "es"
    if base.endswith("y") and base[-2] not in "aeiou":
        return base[:-1] + "ies"
    return base + "s"


_FORMS = {base: (_past(base), _past(base)) for base in _REGULAR} | {
    base: (past, done) for base, past, done in (entry.split("/") for entry in _IRREGULAR)
}
# "found" is the past of find and the base of "to found"; as a finite form it is the former.
PAST = {past: base for base, (past, _) in _FORMS.items()}
PARTICIPLE = {done: base for base, (_, done) in _FORMS.items()}
THIRD = {_third(base): base for base in _FORMS}
BASES = frozenset(_FORMS)


def past_of(base: str) -> str:
    """The simple past of a verb of the table."""
    return _FORMS[base][0]


def third_of(base: str) -> str:
    """The third person singular of a verb."""
    return _third(base)


def participle_of(base: str) -> str:
    """The past participle of a verb of the table."""
    return _FORMS[base][1]
