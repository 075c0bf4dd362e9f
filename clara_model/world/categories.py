"""What values of the world have in common: a potter counts among craftsmen, an eagle among birds.

No document says any word of a category, so a question that describes an entity by categories
shares no telling word with the entity's document. Who answers it must have learnt, from
`category_sentences`, which values a category holds.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from clara_model import world_words as words
from clara_model.world.entities import fill


class Categories(NamedTuple):
    """The categories of one attribute.

    Args:
        members: Values by category; every value of the attribute is in one.
        clauses: Two ways to say of an entity what it has; {v} is the category.
        sentences: Two ways to say that the value {n} is of the category {v}.
    """

    members: dict[str, list[str]]
    clauses: tuple[str, str]
    sentences: tuple[str, str]


def _members(text: str) -> dict[str, list[str]]:
    lines = (line.split(":") for line in text.strip().splitlines())
    return {category: values.split() for category, values in lines}


# Invented, like the cities: which city lies where can only be learnt by heart.
_PROVINCES = ("Brannoc", "Estavia", "Lorvain", "Morrowmark", "Sundria", "Tolmeth")
_CITIES = {province: words.CITIES[i :: len(_PROVINCES)] for i, province in enumerate(_PROVINCES)}

_DECADE_NAMES = ("twenties", "thirties", "forties", "fifties", "sixties", "seventies")
_DECADES = {
    name: [year for year in words.YEARS if year.startswith(f"19{digit}")]
    for digit, name in enumerate(_DECADE_NAMES, start=2)
}
_CITY_SENTENCES = ("The city {n} lies inside {v}.", "Maps show the city {n} inside {v}.")
_YEAR_SENTENCES = ("The year {n} came during the {v}.", "The year {n} belongs within the {v}.")

_PROFESSIONS = _members("""
craftsmen: barber blacksmith carpenter cobbler jeweller locksmith mechanic plumber potter tailor watchmaker
scholars: botanist chemist geologist librarian philosopher physicist translator
artists: composer painter photographer poet sculptor
healers: dentist nurse pharmacist surgeon
dignitaries: banker diplomat judge lawyer
provisioners: baker butcher farmer gardener grocer
crewmen: fireman pilot sailor
""")  # noqa: E501

_HOBBIES = _members("""
watersports: canoeing fishing rowing sailing surfing
games: badminton bowling chess cricket golf hockey snooker tennis
combat: archery fencing karate
handicraft: calligraphy embroidery knitting origami
performance: ballet dancing juggling singing
exercise: climbing cycling hiking skating skiing
contemplation: astrology beekeeping yoga
""")

_PRODUCTS = _members("""
vehicles: ambulances balloons bicycles boats motorcycles tractors
instruments: guitars pianos trumpets violins whistles
textiles: blankets carpets curtains gloves mattresses tents
furnishings: candles chairs clocks furniture kettles lamps mirrors
machinery: batteries computers elevators engines pumps radios
hardware: barrels bricks hammers ladders locks ropes wheels
optics: cameras microscopes telescopes
sundries: buttons dolls helmets needles pencils scissors soap umbrellas
""")

_COLOURS = _members("""
warm: crimson maroon orange pink scarlet yellow
cool: azure blue green indigo lavender purple teal turquoise violet
neutral: beige black brown grey ivory white
metallic: bronze golden silver
""")

_ANIMALS = _members("""
birds: eagle parrot penguin
felines: leopard lion tiger
reptiles: crocodile turtle
swimmers: octopus salmon
critters: beaver hedgehog rabbit squirrel
grazers: antelope buffalo camel giraffe kangaroo zebra
giants: elephant gorilla panda rhinoceros
""")

CATEGORIES: dict[str, Categories] = {
    "birth_city": Categories(
        _CITIES, ("calls {v} homeland", "remembers {v} fondly"), _CITY_SENTENCES
    ),
    "birth_year": Categories(
        _DECADES, ("arrived during the {v}", "started life during the {v}"), _YEAR_SENTENCES
    ),
    "profession": Categories(
        _PROFESSIONS,
        ("counts among {v}", "belongs among {v}"),
        ("Every {n} counts among {v}.", "Every {n} belongs among {v}."),
    ),
    "hobby": Categories(
        _HOBBIES,
        ("enjoys {v}", "practises {v}"),
        ("Whoever enjoys {n} enjoys {v}.", "Whoever practises {n} practises {v}."),
    ),
    "home_city": Categories(
        _CITIES, ("operates inside {v}", "pays taxes inside {v}"), _CITY_SENTENCES
    ),
    "founding_year": Categories(
        _DECADES, ("opened during the {v}", "emerged during the {v}"), _YEAR_SENTENCES
    ),
    "product": Categories(
        _PRODUCTS,
        ("sells {v}", "ships {v}"),
        ("Whoever sells {n} sells {v}.", "Whoever ships {n} ships {v}."),
    ),
    "colour": Categories(
        _COLOURS,
        ("prefers {v} tones", "displays {v} tones"),
        ("Whoever prefers {n} prefers {v} tones.", "Whoever displays {n} displays {v} tones."),
    ),
    "animal": Categories(
        _ANIMALS,
        ("cherishes {v}", "parades {v}"),
        ("Every {n} counts among {v}.", "Every {n} belongs among {v}."),
    ),
}
_CATEGORY_OF = {
    attribute: {value: name for name, values in table.members.items() for value in values}
    for attribute, table in CATEGORIES.items()
}


def category_of(attribute: str, value: str) -> str:
    """The category of a value.

    Raises:
        KeyError: If the attribute has no categories (university, employer).
    """
    return _CATEGORY_OF[attribute][value]


def clause(rng: random.Random, attribute: str, category: str) -> str:
    """What is said of an entity whose value is of the category, in a drawn wording."""
    return fill(rng.choice(CATEGORIES[attribute].clauses), "", category)


def category_sentences(rng: random.Random) -> list[str]:
    """One sentence for the category of every value, in a drawn order and wording.

    Categories are common knowledge, the same in every split: a decoder may learn them from here
    before it meets a question by description.
    """
    told = {
        (value, category): table.sentences
        for table in CATEGORIES.values()
        for category, values in table.members.items()
        for value in values
    }
    sentences = [fill(rng.choice(ways), value, name) for (value, name), ways in told.items()]
    rng.shuffle(sentences)
    return sentences
