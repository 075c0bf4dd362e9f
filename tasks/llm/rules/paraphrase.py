"""Rewording by rule: names and numbers stay, every sentence stays, the wording moves."""

from __future__ import annotations

import re

from tasks.llm.rules.clauses import read_clauses
from tasks.llm.rules.verbs import PAST, participle_of, past_of
from tasks.passages.sentences import detect_language, joiner, split_sentences

# Pairs that fit the same places of a sentence, so that grammar survives.
_ENGLISH = {
    "founded": "established",
    "is located in": "is situated in",
    "is based in": "has its seat in",
    "more than": "over",
    "almost": "nearly",
    "every year": "each year",
    "largest": "biggest",
    "often": "frequently",
    "repaired": "mended",
    "about ten": "roughly ten",
    "needs": "requires",
    "need": "require",
    "shows": "displays",
    "built": "constructed",
    "because": "since",
    "began": "started",
    "started": "began",
    "begins": "starts",
    "makes": "produces",
    "produced": "turned out",
    "helps": "assists",
    "however": "nevertheless",
    "therefore": "for this reason",
    "several": "a number of",
    "many": "a large number of",
    "only": "just",
    "big": "large",
    "buy": "purchase",
    "buys": "purchases",
    "bought": "purchased",
    "for example": "for instance",
    "in order to": "so as to",
    "allows": "permits",
    "whole": "entire",
    "create": "produce",
    "because of": "owing to",
    "is because": "is because",
    "need to": "have to",
    "needs to": "has to",
    "begin": "start",
    "usually": "normally",
    "currently": "at present",
    "moreover": "furthermore",
    "in addition": "besides",
    "as a result": "consequently",
    "instead of": "rather than",
    "such as": "like",
    "various": "diverse",
    "quickly": "rapidly",
    "requires": "needs",
    "require": "need",
    "provides": "offers",
    "provide": "offer",
    "contains": "holds",
    "similar to": "much like",
    "nearly": "almost",
    "difficult": "hard",
    "necessary": "needed",
    "belongs to": "is owned by",
    "every day": "each day",
    "every week": "each week",
    "every month": "each month",
    "explains": "describes",
    "describes": "sets out",
    "connects": "links",
    "famous": "well known",
    "is called": "is known as",
    "known as": "called",
    "during": "in the course of",
    "at least": "at a minimum",
}
_CHINESE = {
    "位于": "坐落于",
    "创办": "创立",
    "成立于": "创建于",
    "因为": "由于",
    "所以": "因此",
    "但是": "不过",
    "全长": "总长",
    "使用": "采用",
    "许多": "很多",
    "可以": "能够",
    "例如": "比如",
    "如果": "倘若",
    "最后": "最终",
    "目前": "现在",
    "制作": "制造",
    "以及": "和",
    "由于": "因为",
    "通常": "一般",
    "每年": "年年",
    "一共": "总共",
    "去世": "逝世",
    "非常": "十分",
    "因此": "所以",
    "此外": "另外",
    "然而": "但是",
    "获得": "得到",
    "用来": "用于",
    "用于": "用来",
    "之后": "以后",
    "之前": "以前",
    "如何": "怎样",
    "经常": "常常",
    "看作": "视为",
    "包括": "包含",
    "提供": "给出",
}
_LIST_OR_TABLE = re.compile(r"^\s*(?:\||#|[-*+•] |\d{1,2}[.)、]|```|!\[|\[IMAGE)")
_FIRST_WORDS = re.compile(r"(?:The|A|An|Each|Every|One)\b")
_LEANING = re.compile(r"(?:It|They|He|She|This|That|These|Those)\b")
_PRONOUNS = re.compile(rf"(?:We|You|There)\b|{_LEANING.pattern}")
_LINKED = re.compile(
    r"(?:However|So|But|And|Or|Then|Thus|Therefore|For example|Here|Both|Another)\b"
    r"|(?:他|她|它|这|那|此|该|因此|所以|但|而|然后|同时|例如)"
)
_CONDITION = re.compile(
    r"(When|If|Because|Although|Though|While|After|Before|Once|Unless|Until) ([^,]+), ([^,]+)\."
)


def paraphrase(passage: str) -> str:
    """Reword a passage; names, numbers and the number of sentences stay as they are.

    Code and headings are kept, and so are tables beside sentences that change. Where no sentence
    can change, table rows become lines of words, or the order of sentences changes; a text that
    offers none of this comes back as it is.
    """
    pieces = re.split(r"(```.*?(?:```|\Z))", passage, flags=re.DOTALL)
    reworded = "".join(p if p.startswith("```") else _reword_text(p) for p in pieces)
    for text in (reworded, _spell_tables(passage), _reorder(passage)):
        if " ".join(text.split()) != " ".join(passage.split()):
            return text
    return passage


def _reword_text(text: str) -> str:
    blocks = re.split(r"(\n+)", text)
    return "".join(b if not b.strip() else _reword_block(b) for b in blocks)


def _reword_block(block: str) -> str:
    if _LIST_OR_TABLE.match(block) and not re.match(r"\s*[-*+•] ", block):
        return block
    mark = re.match(r"\s*(?:[-*+•] )?", block)
    start = mark[0] if mark else ""
    lines = block[len(start) :]
    text = ""
    for sentence in split_sentences(lines):
        new = _reword_sentence(sentence) if sentence[-1] in ".。!！?？" else sentence
        text += joiner(text, new) + new
    same = " ".join(text.split()) == " ".join(lines.split())
    return block if same else start + text


def _reword_sentence(sentence: str) -> str:
    if re.search(r"[`\"“”$*_\[\]<>{}]", sentence):
        return sentence
    if detect_language(sentence) == "zh":
        return _replace(_front_chinese(sentence), _CHINESE)
    turned = _turn_passive(sentence) or _turn_active(sentence) or _front_time(sentence)
    turned = turned or _swap_sides(sentence) or _move_condition(sentence)
    return turned or _replace_words(sentence)


def _turn_passive(sentence: str) -> str:
    """Turn "Y founded X in 1987." round: "X was founded by Y in 1987."; empty where not safe."""
    clauses = read_clauses(sentence)
    if len(clauses) != 1:
        return ""
    clause = clauses[0]
    said = [clause.subject, clause.form, clause.rest, clause.place, clause.time]
    is_whole = sentence == " ".join(filter(None, said)) + "."
    if not is_whole or clause.aux or clause.form not in PAST or clause.verb not in _PASSIVE:
        return ""
    thing = re.fullmatch(r"(?:the |an? )?[A-Za-z][\w’' -]*?(?: of [\w’' -]+)?", clause.rest)
    if thing is None or re.search(_INNER, clause.rest):
        return ""
    noun = re.split(r" of ", clause.rest)[0]
    is_plural = noun.endswith("s") and noun.split()[-1].islower()
    if not re.match(r"(?:the |an? |[A-Z])", clause.rest) or is_plural or noun.endswith("ly"):
        return ""
    agent = clause.subject
    if _FIRST_WORDS.match(agent):
        agent = agent[0].lower() + agent[1:]
    elif not re.search(r" [A-Z]", agent):
        return ""
    subject = clause.rest[0].upper() + clause.rest[1:]
    done = f"{subject} was {participle_of(clause.verb)} by {agent}"
    return " ".join(filter(None, [done, clause.place, clause.time])) + "."


def _turn_active(sentence: str) -> str:
    """Turn "X was designed by Y." round: "Y designed X."; empty where not safe."""
    clauses = read_clauses(sentence)
    if len(clauses) != 1:
        return ""
    clause = clauses[0]
    said = [clause.subject, clause.aux, clause.form, clause.rest, clause.place, clause.time]
    is_whole = sentence == " ".join(filter(None, said)) + "."
    agent = re.fullmatch(r"by ((?:the |an? )?[A-Za-z][\w’' -]*)", clause.rest)
    if not is_whole or agent is None or clause.aux != "was" or clause.verb not in _PASSIVE:
        return ""
    if not re.search(r"[A-Z]", agent[1]) or re.search(_INNER, agent[1]):
        return ""
    thing = clause.subject
    if _FIRST_WORDS.match(thing):
        thing = thing[0].lower() + thing[1:]
    elif not re.search(r" [A-Z]", thing):
        return ""
    done = f"{agent[1][0].upper()}{agent[1][1:]} {past_of(clause.verb)} {thing}"
    return " ".join(filter(None, [done, clause.place, clause.time])) + "."


def _swap_sides(sentence: str) -> str:
    """Turn "The captain of the Grey Heron is Jorun Aske." round; empty where not so plain."""
    match = re.fullmatch(
        r"The ((?:[\w’'-]+ ){1,5}of (?:the )?[\w’' -]+?) (is|was) "
        r"([A-Z][\w’-]+(?: [A-Z][\w’-]+)+)\.",
        sentence,
    )
    if match is None or re.search(r"\b(?:is|was|are|were|that|which|who|and)\b", match[1]):
        return ""
    return f"{match[3]} {match[2]} the {match[1]}."


def _move_condition(sentence: str) -> str:
    """Turn "When it rains, the hall is full." round; empty where it has other parts."""
    match = _CONDITION.fullmatch(sentence)
    if match is not None and not re.match(r"(?:then|but|and|how|what|who|why)\b", match[3]):
        return f"{match[3][0].upper()}{match[3][1:]} {match[1].lower()} {match[2]}."
    parts = re.fullmatch(r"([^,]+[a-z]) because ([^,]+)\.", sentence)
    if parts is None or re.search(r"\b(?:is|are|was|were|just|only|not|partly)$", parts[1]):
        return ""
    main = parts[1]
    if _FIRST_WORDS.match(main) or _PRONOUNS.match(main):
        main = main[0].lower() + main[1:]
    elif not re.match(r"[A-Z][\w’'-]* [A-Z]", main):
        return ""
    return f"Because {parts[2]}, {main}."


def _front_time(sentence: str) -> str:
    """Put "In 1987, ..." where the sentence ends with its time; empty where it does not."""
    clauses = read_clauses(sentence)
    if len(clauses) != 1 or re.search(r"[,;:]", sentence):
        return ""
    time = clauses[0].time
    if not time.startswith(("in ", "on ")) or not sentence.endswith(f" {time}."):
        return ""
    body = sentence[: -len(time) - 2]
    if _FIRST_WORDS.match(body):
        body = body[0].lower() + body[1:]
    elif not re.match(r"[A-Z][\w’'-]* (?:[A-Z]|of )", body):
        return ""
    return f"{time[0].upper()}{time[1:]}, {body}."


def _front_chinese(sentence: str) -> str:
    """Put "于1987年" in front, as 1987年 and a comma."""
    match = re.fullmatch(
        r"([^，。；：]{2,30}?)于(\d{4}年(?:\d{1,2}月)?(?:\d{1,2}日)?)([^，。；：年]{4,})。",
        sentence,
    )
    if match is None or match[1].endswith(("由", "位", "生", "立")) or match[3][0] in "的到至在":
        return sentence
    return f"{match[2]}，{match[1]}{match[3]}。"


def _replace_words(sentence: str) -> str:
    pattern = "|".join(sorted(map(re.escape, _ENGLISH), key=len, reverse=True))
    return re.sub(rf"(?<![\w’'-])(?:{pattern})(?![\w’'-])", lambda m: _ENGLISH[m[0]], sentence)


def reword_words(text: str) -> str:
    """Words of a phrase as a paraphrase would have them."""
    if detect_language(text) == "zh":
        return _replace(text, _CHINESE)
    return _replace_words(text)


def _replace(sentence: str, words: dict[str, str]) -> str:
    pattern = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    return re.sub(pattern, lambda m: words[m[0]], sentence)


def _spell_tables(passage: str) -> str:
    """Table rows as lines: "Grey Heron: Captain Jorun Aske; Seats 180"."""
    lines: list[str] = []
    head: list[str] = []
    for line in passage.split("\n"):
        if not line.startswith("|"):
            head = []
            lines.append(line)
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not head:
            head = cells
        elif not re.fullmatch(r"[\s|:-]+", line):
            pairs = zip(head[1:], cells[1:], strict=False)
            said = [f"{name} {cell}" for name, cell in pairs if cell]
            lines.append(f"{head[0]} {cells[0]}: {'; '.join(said)}")
    return "\n".join(lines)


def _reorder(passage: str) -> str:
    """The last sentence of the last paragraph first, if all are whole and it leans on none."""
    head, _, last = passage.rpartition("\n")
    sentences = split_sentences(last)
    if len(sentences) < 2 or _LIST_OR_TABLE.match(last) or not all(map(_is_whole, sentences)):
        return passage
    text = sentences[-1]
    if _LEANING.match(text) or _LINKED.match(text):
        return passage
    for sentence in sentences[:-1]:
        text += joiner(text, sentence) + sentence
    return f"{head}\n{text}" if head else text


def _is_whole(sentence: str) -> bool:
    return (
        sentence[-1] in ".。!！?？"
        and re.match(r"[\u4e00-\u9fff\"“]|[^\W_a-z]", sentence) is not None
    )


_PASSIVE = frozenset(
    "found design build discover invent write compose establish paint install publish".split()
)
_INNER = r"\b(?:in|on|at|from|to|with|against|under|by|for|about|between|and|that|his|her|its)\b"
