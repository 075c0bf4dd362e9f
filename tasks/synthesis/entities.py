"""Names that two passages share, found without a model: who can be asked about together."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tasks.storage import Record

_NAME = re.compile(r"[A-Z][\w’'-]*(?:(?: of(?: the)?| de| van| von)? [A-Z][\w’'-]*)+")
_INNER_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z’'-]{3,}(?![\w’'-]| [A-Z])")
_OPENERS = re.compile(r"(?:The|An?|In|On|At|For|From|By|Since|After|Before|When|This|That)\s")
_TITLE = re.compile(r"[《“「]([^《》“”「」]{2,20})[》”」]")
# What stands between names in Chinese: marks, digits, and words that names do not hold.
_BETWEEN = re.compile(
    r"[^\u4e00-\u9fff]+|位于|坐落|出生|毕业|成立|创办|创立|设计|建造|建成|建于|来自|担任|因为|所以|可以"
    r"|以及|或者|没有|就是|也是|每年|目前|[的了是在和与及由于为以从到被把将有对这那其之等也都又还就并而或]"
)
# A name that so many passages share tells little about any two of them.
_MOST_PASSAGES = 40
_MONTHS_AND_DAYS = re.compile(
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)$"
)


@dataclass(frozen=True, slots=True)
class Link:
    """Another passage, and the name that both hold."""

    passage: Record
    name: str


def choose(ids: Iterable[str], share: float, salt: str) -> set[str]:
    """A share of the ids, drawn by their hash: the same ones in every run, in any order."""
    ranked = sorted(ids, key=lambda name: hashlib.sha256(f"{salt}:{name}".encode()).digest())
    return set(ranked[: round(share * len(ranked))])


def find_links(passages: list[Record], wanted: set[str]) -> dict[str, list[Link]]:
    """For each wanted passage the others that share a name with it, rarest name first.

    Passages of the same split only; of two that share equally rare names, one of another document
    comes first. A name in more than 40 passages links none.
    """
    names = {p["id"]: set(find_names(p["text"])) for p in passages if p["id"] in wanted}
    looked_for = set().union(*names.values()) if names else set()
    holders: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for passage in passages:
        for name in looked_for.intersection(find_names(passage["text"])):
            holders[passage["split"], name].append(passage)
    links = {}
    for passage in passages:
        found: dict[str, tuple[tuple[int, bool, str], Link]] = {}
        for name in names.get(passage["id"], ()):
            group = holders[passage["split"], name]
            if not 2 <= len(group) <= _MOST_PASSAGES:
                continue
            for other in group:
                if other["id"] == passage["id"] or other["text"] == passage["text"]:
                    continue
                rank = (len(group), other["source"] == passage["source"], name)
                if other["id"] not in found or rank < found[other["id"]][0]:
                    found[other["id"]] = (rank, Link(other, name))
        ranked = sorted(found.items(), key=lambda entry: (entry[1][0], entry[0]))
        links[passage["id"]] = [link for _, (_, link) in ranked]
    return {key: links[key] for key in names}


def choose_partners(links: dict[str, list[Link]]) -> list[tuple[str, Link]]:
    """Pairs to ask about together: for each passage its best partner, no two passages twice."""
    chosen, used = [], set()
    for name, candidates in links.items():
        for link in candidates:
            pair = frozenset((name, link.passage["id"]))
            if pair not in used:
                used.add(pair)
                chosen.append((name, link))
                break
    return chosen


def find_names(text: str) -> Iterator[str]:
    """What looks like a name: capitalised words, quoted titles, Chinese between common words."""
    for match in _NAME.finditer(text):
        name = _OPENERS.sub("", match[0])
        if " " in name:
            yield name
    for match in _INNER_NAME.finditer(text):
        if not _MONTHS_AND_DAYS.match(match[0]):
            yield match[0]
    for match in _TITLE.finditer(text):
        yield match[1]
    for piece in _BETWEEN.split(text):
        if 3 <= len(piece) <= 10:
            yield piece
