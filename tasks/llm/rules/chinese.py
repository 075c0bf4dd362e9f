"""Questions about Chinese sentences: the asked word takes the place of the answer."""

from __future__ import annotations

import re

from tasks.llm.rules.facts import Fact

_BRACKETS = re.compile(r"[（(][^（）()]*[）)]")
_PRONOUN = re.compile(
    r"^(?:它|他|她|这|那|此|该|其|我|你|您|本|因此|所以|但|而|并|同时|另外|此外|然后|如果|当|由于|为了"
    r"|虽然|甚至|使|令|因|无论|不管|即|与|和|或|比如|正如|如|以|用|按|确保|假设|证明|具体|一般|通常"
    r"|同样|总之|此时|接下来|后面|现在|有时"
    r"|一些|某些|许多|很多|多个|计算|尝试|设计|选择|在|从|到|每|对|将|可以|也|又|还|不|有|没|请|让|把|被"
    r"|下面|上面|以下|以上|首先|最后|例如|注意|根据|通过)"
)
# Said before a sentence without saying anything of it.
_OPENER = re.compile(
    r"^(?:因此|所以|例如|总之|此外|另外|同时|然而|但是|不过|实际上|事实上|值得注意的是|请注意|一般来说"
    r"|总的来说|具体来说|也就是说|换句话说|换言之|如今|目前|其实|首先|其次|最后)[，,]\s*"
)
_CLAUSE = re.compile(r"[，；。！]")
_NUMBER = r"\d[\d,.]*(?:万|亿)?|[一二三四五六七八九十百千万两]+"
MEASURE = (
    "平方米|平方公里|公里|千米|厘米|毫米|米|公顷|千克|公斤|吨|克朗|元|分钟|小时|个月|个|名|位|人|盏|件|"
    "座|艘|种|次|页|杯|家|岁|度|层|辆|条|本|年|天"
)
_COUNT = re.compile(
    rf"(?P<before>.*?[^\d年月第.])(?P<number>{_NUMBER})(?P<measure>{MEASURE})(?P<after>.*)"
)
_YEAR = re.compile(r"(?P<at>于|在)?(?P<year>\d{4}年)(?:\d{1,2}月)?(?:\d{1,2}日)?")
_BY = re.compile(
    r"由(?P<who>[^，由]+?)(?:于\d{4}年)?(?P<verb>设计|创办|制造|制作|建造|管理|创立|建立|发明|撰写|负责|主持|领导|编写|开发|提出)(?P<after>的?)$"
)
_ROLE = re.compile(
    r"^(?:建筑师|植物学家|玻璃匠|工程师|作家|画家|科学家|医生|教授|船长|院长|园长|校长|诗人|数学家|物理学家|她的丈夫|他的妻子)(?=\w{2,})"
)
_NAME = r"[\w·《》]{2,12}"
# What a thing does to another, with or without 了.
_DOES = (
    "(?:使用|采用|包括|包含|返回|支持|引入|减少|增加|改变|提供|具有|需要)了?"
    "|表示(?!能力|方法|学习|形式|空间)|取决于|用于|来源于"
)
_SUBJECT = re.compile(
    r"(.{2,24}?)(?:也?(?:可以|能够|能|会|必须)?(?:" + _DOES + r")|于(?=\d)|由(?=[^来])|是(?=[^否])"
    r"|位于|坐落在|出生于|毕业于|来自|全长|共有|一共|担任|成立|连接|建于|高(?=\d)|重(?=\d)|长(?=\d)"
    r"|宽(?=\d)|有(?=[\d一二三四五六七八九十两])|写|画|拥有|位居|被称为|称为|叫作|叫做|属于|定义|产生"
    r"|(?=\d{4}年))"
)
_PLACE_VERBS = "位于|坐落在|出生于|毕业于|来自|去世于|发源于|总部设在"


def read_chinese(sentence: str) -> list[Fact]:
    """Every fact of a Chinese sentence; clauses without a subject take the first one's."""
    text = _OPENER.sub("", _BRACKETS.sub("", sentence)).rstrip("。！；").strip()
    if not text or re.search(r"[?？：:`$|“”\[\]]", text):
        return []
    clauses = [clause for clause in _CLAUSE.split(text) if clause]
    subject = _subject(clauses[0])
    if subject is None:
        return []
    facts = []
    for number, clause in enumerate(clauses):
        if number and not re.match(
            r"(?:共有|有|全长|高|重|宽|深|长|面积|由|位于|最高处|享年)", clause
        ):
            continue
        about = subject.split("的")[0] if number else subject
        facts += _read_clause(about + clause if number else clause, about)
    return facts


def _subject(clause: str) -> str | None:
    """The name or noun in front of the first verb; None if it points elsewhere."""
    if _PRONOUN.match(clause):
        return None
    match = _SUBJECT.match(clause)
    if match is None:
        return None
    subject = match[1]
    return (
        None
        if re.search(
            r"[的地得也都于了与和或中仅不就还只]$|通过|如此|逐渐|^(?:尽管|两者|所有|假设|平时|其中|一个|#)|这|那|我们|它|他|她|时候|可以",
            subject,
        )
        else subject
    )


def _read_clause(clause: str, subject: str) -> list[Fact]:
    facts: list[Fact] = []
    rest = clause[len(subject) :]
    facts += _by(rest, subject)
    facts += _where(rest, subject)
    facts += _year(rest, subject)
    facts += _is(rest, subject)
    facts += _what(rest, subject)
    if not re.search(r"\d{4}年", clause):
        count = _COUNT.fullmatch(clause)
        # 一 is as often an article as a number.
        is_article = count is not None and (
            count["number"] == "一" or count["before"][-1] in "是这那"
        )
        if count and not is_article and len(count["before"]) >= len(subject):
            question = f"{count['before']}多少{count['measure']}{count['after']}？"
            facts.append(Fact(question, count["number"] + count["measure"], subject))
    return facts


def _by(rest: str, subject: str) -> list[Fact]:
    match = _BY.match(rest) or _BY.match(re.sub(r"^(?:于)?\d{4}年", "", rest))
    if match is None:
        return []
    who = _ROLE.sub("", match["who"])
    description = f"{match['verb']}{subject}的人"
    facts = [Fact(f"{subject}由谁{match['verb']}？", who, subject, description)]
    year = _YEAR.search(rest)
    if year:
        facts.append(Fact(f"{subject}是哪一年{match['verb']}的？", year["year"], subject))
    return facts


def _where(rest: str, subject: str) -> list[Fact]:
    match = re.match(rf"(?:\d{{4}}年)?({_PLACE_VERBS})([^，]{{2,24}})$", rest)
    if match is None:
        return []
    asked = "哪所学校" if match[1] == "毕业于" else "哪里"
    facts = [Fact(f"{subject}{match[1]}{asked}？", match[2], subject)]
    year = re.match(r"\d{4}年", rest)
    if year and match[1] == "出生于":
        facts.append(Fact(f"{subject}出生于哪一年？", year[0], subject))
    return facts


def _year(rest: str, subject: str) -> list[Fact]:
    match = re.match(r"(?:建|成立)?于(\d{4}年)(?:(\d{1,2}月)(\d{1,2}日)?)?(.*)$", rest)
    if match is None or "由" in rest:
        return []
    verb = rest[: rest.index("于")]
    what = match[4].lstrip("，")
    if not verb and not what:
        return []
    question = f"{subject}{verb}于哪一年{what}？" if not verb else f"{subject}{verb}于哪一年？"
    facts = [Fact(question, match[1], subject)]
    made = re.match(r"(创办|创立|设计|发现|发明|建造|写|画)了([^，]+)$", what)
    if made:
        described = f"{made[1]}{made[2]}的人"
        facts.append(Fact(f"谁{made[1]}了{made[2]}？", subject, made[2], described))
        facts.append(Fact(f"{subject}于{match[1]}{made[1]}了什么？", made[2], subject))
    return facts


def _is(rest: str, subject: str) -> list[Fact]:
    match = re.match(r"是([^，]{2,23}[^，的])$", rest)
    if match is None or re.search(
        r"[了吗呢]$|为了|因为|不|^(?:取决|由|为|在|根据|通过|从|基于|以)", match[1]
    ):
        return []
    what = match[1]
    if re.search(r"[最唯首]", what) and "的" in what:
        if "之一" in what:
            return []
        who = "什么"
        return [Fact(f"{what}是{who}？", subject, what)]
    if re.match(r"[一这那]|\d", what) and not what.startswith("一"):
        return []
    return [Fact(f"{subject}是什么？", what, subject, rank=1)]


def _what(rest: str, subject: str) -> list[Fact]:
    match = re.match(
        r"也?((?:可以|能够|能|会|必须)?(?:被称为|称为|叫作|叫做|属于|产生了?|"
        + _DOES
        + r"))([^，、]{2,18}[^，、的])$",
        rest,
    )
    if match is None or re.search(r"^[这那它其的]|[是被会将]", match[2]):
        return []
    return [Fact(f"{subject}{match[1]}什么？", match[2], subject, rank=1)]
