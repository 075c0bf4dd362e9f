"""Sentences with a gap, for passages of which nothing else can be asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tasks.llm.rules.chinese import MEASURE
from tasks.llm.rules.facts import Fact
from tasks.llm.rules.prose import PART
from tasks.passages.sentences import detect_language

# A number or a name that stands inside a sentence, not at its beginning.
_GAP = re.compile(r"(?<=\w )(?:\d[\d.,]*\d|\d|[A-Z]\w+(?: (?:of )?[A-Z]\w+)*)(?= [a-z]|\.$|, )")
# The last words of a sentence, after a little one.
_END = re.compile(
    r"(?<= the )(?:[a-z][a-z-]+ ){0,2}[a-z-]{4,}(?=\.$)|(?<= (?:of|to|in|an) )(?:[a-z][a-z-]+ )"
    r"{0,2}[a-z-]{4,}(?=\.$)|(?<= (?:with|from|into) )(?:[a-z][a-z-]+ ){0,2}[a-z-]{4,}(?=\.$)"
)
_LITTLE = re.compile(
    r"\b(?:in|on|at|of|to|by|with|from|for|than|that|and|or|as|be|is|are"
    r"|not|up|out|between|do|does|has|have|will|can|just)\b"
)
_NUMBERED = re.compile(
    r"\b(?:Chapter|Listing|Figure|Table|Section|Step|Appendix|See"
    r"|(?!The |An? |About )[A-Z]\w*)(?: of)? $"
)
_NO_NAME = re.compile(r"Tables?|Figures?|Sections?|Chapters?|Listings?|Appendix|I")
_LEANING = re.compile(
    r"(?:It|He|She|They|This|That|These|Those|Here|There|We|You|I|If|Let|Then|So|But|And|Now"
    r"|In other|As|For example|However|Because|Next|Note|Remember|Keep)\b"
)
# Words by which a sentence leans on others, or speaks to its reader.
_POINTING = re.compile(
    r"\b(?:this|these|those|it|its|they|them|their|he|she|his|her|we|us|our|you|your|my|above"
    r"|let|below|picture|chart|table|listing|figure|chapter|section|here|following|previous|other|another|same|such)\b",
    re.IGNORECASE,
)
_WHOLE = re.compile(r"[A-Z][^:;|_`<>{}]+[a-z\d]\.")
_CHINESE_GAP = re.compile(
    rf"(?<=[\u4e00-\u9fff])(?:\d[\d.]*(?:{MEASURE}|年|月|日|%)?|[A-Za-z][A-Za-z-]{{2,}})"
    r"(?=[\u4e00-\u9fff。])"
)
_CHINESE_END = re.compile(
    r"(?<=[\u4e00-\u9fffA-Za-z]{7}[的是])(?![\u4e00-\u9fff]*(?:[的了着过而却更在进也就将被都由之]|相同|不同|时候|需要))"
    r"[\u4e00-\u9fff]{2,8}(?=。)"
)
_CHINESE_WHOLE = re.compile(r"[\u4e00-\u9fffA-Za-z][^：；|_`<>{}$:\\（）()\[\]“”*]{13,60}。")
_CHINESE_LEANING = re.compile(
    r"它|他|她|这|那|此|该|其|我们|你|您|本节|本章|上[图文述面]|下[图文面]|如图|如下|因此|所以"
    r"|^(?:而|但|并|也|则|然后|同时|例如|比如|以|使|让|或|和|与|即|由|因为|当|将|从|否则|换|来|会|可以|再|成为|描述|识别"
    r"|尝试|确保|取决|通过|在|现在|请|接下来|具体|经过|甚至|到|后|仅|只|其实|不|要|能|用|用于|方便|得到|表示)"
)


def ask_gaps(context: Iterable[str], sentences: Iterable[str], passage: str) -> Iterator[Fact]:
    """Sentences with their last number, name or words left out; what is clearest comes first.

    Args:
        context: Headings; a name that stands there would be guessed.
        sentences: Of the passage.
        passage: The whole of it: what is left out stands nowhere else.
    """
    headings = " ".join(context)
    later = []
    for number, sentence in enumerate(sentences):
        is_chinese = detect_language(sentence) == "zh"
        for gap, rank in (_chinese if is_chinese else _english)(sentence):
            words = gap[0]
            if passage.count(words) > 1 or words in headings:
                continue
            text = f"{sentence[: gap.start()]}___{sentence[gap.end() :]}"
            opening = "请补全句子：" if is_chinese else "Complete the sentence: "
            fact = Fact(opening + text, words, sentence=number, rank=rank)
            if rank == 2:
                yield fact
            else:
                later.append(fact)
            break
    yield from later


def _english(sentence: str) -> Iterator[tuple[re.Match[str], int]]:
    is_whole = 6 <= len(sentence.split()) <= 25 and _WHOLE.fullmatch(sentence) is not None
    if not is_whole or _LEANING.match(sentence) or PART.search(sentence):
        return
    gaps = [
        m
        for m in _GAP.finditer(sentence)
        if not _NUMBERED.search(sentence[: m.start()]) and not _NO_NAME.fullmatch(m[0])
    ]
    yield from ((gap, 2) for gap in reversed(gaps))
    end = _END.search(sentence)
    if end and not _LITTLE.search(end[0]) and not _POINTING.search(sentence):
        yield end, 3


def _chinese(sentence: str) -> Iterator[tuple[re.Match[str], int]]:
    if not _CHINESE_WHOLE.fullmatch(sentence) or _CHINESE_LEANING.search(sentence):
        return
    yield from ((gap, 2) for gap in reversed(list(_CHINESE_GAP.finditer(sentence))))
    end = _CHINESE_END.search(sentence)
    if end:
        yield end, 3
