"""The words and sentences of the made-up world. What is done with them is in `world.py`.

Every word stands in one list only, so that an answer tells which fact was asked for, and is one
token of the built-in tokenizer.
"""

from __future__ import annotations


def _words(text: str) -> list[str]:
    return text.split()


GIVEN_NAMES = _words("""
Adrian Alice Amber Anton Arthur Astrid Bella Bernard Bianca Boris Bruno Carla Cedric Celia Clara
Conrad Cora Daphne Darius Delia Dennis Diana Dora Edgar Edith Elias Ellen Elsa Emil Esther Fabian
Felix Fiona Flora Frank Gemma Gerald Gina Gloria Gordon Greta Gustav Hanna Harold Hazel Hector
Helga Henry Hilda Hugo Irma Igor Ingrid Irene Ivan Jasper Joan Jonas Judith Julius Karen Kasper
Laura Leonard Lydia Magnus Marta Martin Miriam Nadia Nestor Nina Norman Olga Oscar Pamela Paul Petra
Quentin Rosa
""")

FAMILY_NAMES = _words("""
Abbott Aldous Ames Archer Arden Bagley Baxter Becker Birch Blaine Bolton Bowers Brandt Calder
Carver Chandler Colby Crane Cutler Dalton Denholm Doyle Drake Dunmore Eaton Eldridge Everett
Farrow Fenwick Fisher Foster Galloway Garner Gibbs Graves Hadley Hale Harding Hawkins Holt Hubbard
Irving Jarvis Jennings Keller Kendrick Kirby Lambert Langley Lister Lowell Mercer Merton Nash
Newell Norwood Oakley Osborne Parrish Pembroke Prescott Quimby Radcliffe Ramsey Redmond Rowley
Sawyer Selby Shepard Sinclair Stanton Talbot Thorne Tilden Upton Vance Wadsworth Walton Weaver
Yardley
""")

COMPANY_NAMES = _words("""
Acorn Alpine Anchor Apex Arrow Aspen Atlas Aurora Badger Beacon Bison Boulder Bramble Canyon
Cardinal Cascade Cedar Cobalt Comet Coral Crescent Cypress Delta Dolphin Dynamo Echo Ember Falcon
Fern Flint Gale Glacier Granite Griffin Harbor Heron Horizon Ibis Island Jaguar Juniper Kestrel
Lantern Laurel Lotus Lynx Magnet Maple Meadow Meteor Nimbus Nova Onyx Orbit Orchid Osprey Otter
Panther Pebble Phoenix Pioneer Quartz Raven Summit
""")

COMPANY_KINDS = _words("""
Associates Brothers Collective Combine Consortium Cooperative Corporation Dynamics Enterprises
Foundry Group Guild Holdings Industries Laboratories Limited Mills Partners Solutions Syndicate
Systems Trading Ventures Works
""")

CITIES = _words("""
Ardmore Belport Brockton Caldwell Corvale Dunhaven Eastmere Elmsford Fairwick Glenrock Harwick
Innsford Jesmond Kelso Kingsby Lakeview Lorne Marwood Midvale Newhaven Northam Oakport Orford
Pinecrest Portway Queensbury Ravenna Redcliff Rookhope Salford Seaton Southwold Stonebridge Tarrant
Thornbury Tidewell Umber Valemont Westerly Wyndham
""")

YEARS = [str(year) for year in range(1920, 1980)]

UNIVERSITIES = _words("""
Amberley Bridgemont Camborne Chesterfield Dorrington Ellesmere Farnham Gresham Hartwell Ironwood
Kenilworth Linwood Monkton Netherby Oldbury Penrith Ridgeway Silverdale Tavistock Underhill
Verwood Whitmore Yarrow Zealand
""")

PROFESSIONS = _words("""
baker banker barber blacksmith botanist butcher carpenter chemist composer cobbler dentist
diplomat farmer fireman geologist gardener grocer jeweller judge lawyer librarian
locksmith mechanic nurse painter pharmacist philosopher photographer physicist pilot plumber poet
potter sailor sculptor surgeon tailor translator watchmaker
""")

HOBBIES = _words("""
archery astrology badminton ballet beekeeping bowling calligraphy canoeing chess climbing cricket
cycling dancing embroidery fencing fishing golf hiking hockey juggling karate knitting origami
rowing sailing singing skating skiing snooker surfing tennis yoga
""")

PRODUCTS = _words("""
ambulances balloons barrels batteries bicycles blankets boats bricks buttons candles cameras carpets
chairs clocks computers curtains dolls elevators engines furniture gloves guitars hammers helmets
kettles ladders lamps locks mattresses microscopes mirrors motorcycles needles pencils pianos pumps
radios ropes scissors soap telescopes tents tractors trumpets umbrellas violins wheels whistles
""")

COLOURS = _words("""
azure beige black blue bronze brown crimson golden green grey indigo ivory lavender maroon orange
pink purple scarlet silver teal turquoise violet white yellow
""")

ANIMALS = _words("""
antelope beaver buffalo camel crocodile eagle elephant giraffe gorilla hedgehog kangaroo leopard
lion octopus panda parrot penguin rabbit rhinoceros salmon squirrel tiger turtle zebra
""")

# (attribute, values, two ways to state it, two ways to ask for it); {n} is the full name, {v} the
# value. The two statements of a fact are paraphrases of each other, and so are the two questions.
PERSON_FACTS = (
    (
        "birth_city",
        CITIES,
        ("{n} was born in the old city of {v}.", "The birthplace of {n} is the old city of {v}."),
        ("In which city was {n} born?", "What is the birthplace of {n}?"),
    ),
    (
        "birth_year",
        YEARS,
        (
            "{n} came into the world in the year {v}.",
            "The birth of {n} was announced in the year {v}.",
        ),
        ("In what year was {n} born?", "What is the birth year of {n}?"),
    ),
    (
        "university",
        UNIVERSITIES,
        (
            "{n} studied for some years at the University of {v}.",
            "The degree of {n} comes from the University of {v}.",
        ),
        ("At which university did {n} study?", "Which university did {n} attend?"),
    ),
    (
        "profession",
        PROFESSIONS,
        ("{n} earns a modest living as a {v}.", "The profession of {n} is that of a {v}."),
        ("What is the profession of {n}?", "What does {n} do for a living?"),
    ),
    (
        "hobby",
        HOBBIES,
        (
            "{n} likes to spend the free hours on {v}.",
            "The favourite pastime of {n} has always been {v}.",
        ),
        ("What is the favourite pastime of {n}?", "What does {n} do in free hours?"),
    ),
)

COMPANY_FACTS = (
    (
        "home_city",
        CITIES,
        ("{n} has its main office in the city of {v}.", "The seat of {n} is in the city of {v}."),
        ("In which city is the main office of {n}?", "Where is the seat of {n}?"),
    ),
    (
        "founding_year",
        YEARS,
        (
            "{n} was founded by two friends in the year {v}.",
            "The founding of {n} took place in the year {v}.",
        ),
        ("In what year was {n} founded?", "What is the founding year of {n}?"),
    ),
    (
        "product",
        PRODUCTS,
        ("{n} is known to its customers for making {v}.", "The main product of {n} is still {v}."),
        ("What does {n} make?", "What is the main product of {n}?"),
    ),
    (
        "colour",
        COLOURS,
        ("{n} chose the colour {v} for its logo.", "The logo of {n} has the colour {v}."),
        ("What colour is the logo of {n}?", "Which colour did {n} choose for its logo?"),
    ),
    (
        "animal",
        ANIMALS,
        ("{n} took the {v} as its lucky mascot.", "The lucky mascot of {n} is the {v}."),
        ("What is the mascot of {n}?", "Which animal is the mascot of {n}?"),
    ),
)

COMPLEX_QUESTIONS = ("What is known about {n}?", "Which facts are told of {n}?")

# What two hops need: a person's employer, and a company named by whom it employs.
EMPLOYER_STATEMENTS = (
    "{n} is employed by {v} in a steady position.",
    "The employer of {n} is still {v}.",
)
EMPLOYER_QUESTIONS = ("Who employs {n}?", "Which company is the employer of {n}?")
EMPLOYER_PHRASES = ("the company that employs {n}", "the employer of {n}")
HINTED_EMPLOYER_PHRASES = (
    "the company that employs {n} and {c}",
    "the company that {c} and employs {n}",
)
