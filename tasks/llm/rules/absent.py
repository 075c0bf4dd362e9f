"""Questions that fit a passage but that it does not answer."""

from __future__ import annotations

import re

from tasks.llm.rules.names import Names
from tasks.llm.rules.questions import find_facts
from tasks.passages.sentences import HAN

# What is asked, with the word that may not stand in the passage.
_OF_THINGS = (
    ("motto", "What is the motto of {x}?"),
    ("insur", "Which company insures {x}?"),
    ("cost", "How much did {x} cost?"),
    ("visitors", "How many visitors does {x} have in a year?"),
    ("owner", "Who is the owner of {x}?"),
    ("colour", "What is the colour of {x}?"),
)
_OF_PEOPLE = (
    ("languages", "Which languages does {x} speak?"),
    ("married", "Who is {x} married to?"),
    ("instrument", "Which instrument does {x} play?"),
    ("prize", "Which prize did {x} win first?"),
)
_CHINESE = (
    ("座右铭", "{x}的座右铭是什么？"),
    ("造价", "{x}的造价是多少？"),
    ("颜色", "{x}是什么颜色的？"),
    ("游客", "{x}每年有多少游客？"),
    ("邮政编码", "{x}的邮政编码是什么？"),
)
_NAMED = re.compile(r"(?:the )?[A-Z][\w’'-]*(?: [A-Z][\w’'-]*)*|[\u4e00-\u9fff·]{3,10}")


def ask_absent(passage: str, number: int) -> list[str]:
    """At most `number` questions about what the passage names, on what it has no word about."""
    questions = []
    names = Names([], [])
    for fact in find_facts(passage):
        about = fact.subject
        if fact.rank or not _NAMED.fullmatch(about) or "的" in about:
            continue
        forms = (
            _CHINESE if HAN.search(about) else _OF_PEOPLE if names.is_person(about) else _OF_THINGS
        )
        open_ = [form for word, form in forms if word not in passage.lower()]
        if open_:
            question = open_[sum(map(ord, about)) % len(open_)].format(x=about)
            if question not in questions:
                questions.append(question)
    return questions[:number]
