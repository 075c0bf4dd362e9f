"""Rounds, coverage and verification for one passage, and what goes beyond a single passage."""

from __future__ import annotations

import asyncio

import pytest
from scripted_author import About, Author
from scripted_endpoint import serve

from configs.synthesis import SynthesisSettings
from tasks.llm.client import ChatClient
from tasks.synthesis.ask import Conversation
from tasks.synthesis.beyond import ask_cross_lingual, ask_joint, ask_unanswerable
from tasks.synthesis.entities import Link
from tasks.synthesis.protocol import Simple, ask_complex, ask_paraphrase, ask_simple

MILL = "The old mill of Kelso was built by Tom Ash in 1904. It has 12 sails. It grinds rye."
ASH = "Tom Ash was born in Orford. Tom Ash had 3 sons."
STONE = "青川市的石桥由林海设计，建于1911年。"
FACTS = [
    ("Tom Ash built the mill.", "Who built the old mill of Kelso?", "Tom Ash"),
    ("It was built in 1904.", "When was the old mill of Kelso built?", "1904"),
    ("It has 12 sails.", "How many sails does the old mill of Kelso have?", "12"),
    ("It grinds rye.", "What does the old mill of Kelso grind?", "rye"),
]
KNOWN = {
    MILL: About(
        facts=FACTS,
        joined=[
            ("Who built the old mill of Kelso, and when?", "Tom Ash, in 1904"),
            ("How many sails turn to grind what at Kelso?", "12 sails grind rye"),
        ],
        paraphrase="Tom Ash built Kelso's old mill in 1904; with 12 sails it turns rye to flour.",
        foreign=[("谁建造了Kelso的磨坊？", "Tom Ash")],
        absent=["What did the old mill of Kelso cost?"],
    ),
    ASH: About(facts=[("Tom Ash was born in Orford.", "Where was Tom Ash born?", "Orford")]),
    STONE: About(facts=[], foreign=[("Who designed 石桥?", "林海")], absent=["石桥有多重？"]),
}
JOINT = [("Where was the builder of the old mill of Kelso born?", "Orford")]


def passage(name, text, language="en"):
    return {"id": name, "source": f"{name}.md", "text": text, "language": language,
            "split": "train"}  # fmt: skip


def talk_with(author, folder, ask, **options):
    """The result of `ask(conversation)` and the conversation."""

    async def run(url):
        settings = SynthesisSettings.model_validate(
            {"base_url": url, "model": "m", "max_retries": 0} | options
        )
        async with ChatClient(settings, url, folder) as client:
            talk = Conversation("mill", client, settings)
            return await ask(talk), talk

    with serve(author) as server:
        return asyncio.run(run(server.url))


def author(change=None):
    return Author(KNOWN, JOINT, change)


def only(number):
    """Whatever is asked for, only so many questions are offered at once."""

    def change(asked, reply):
        if asked.task == "simple_qa":
            return {"questions": reply["questions"][:number]}
        return None

    return change


def test_questions_are_asked_until_every_fact_is_covered(tmp_path):
    writer = author(only(1))
    result, talk = talk_with(writer, tmp_path, lambda talk: ask_simple(talk, MILL))
    assert [(pair.question, pair.answer) for pair in result.pairs] == [(q, a) for _, q, a in FACTS]
    assert (result.rounds, len(result.covered)) == (4, 4)
    assert talk.rejects == []
    # Each round names what is still missing, and what was asked.
    asked = writer.asked("simple_qa")
    assert [asking.lists["facts"] for asking in asked] == [
        [fact for fact, _, _ in FACTS[n:]] for n in range(4)
    ]
    assert asked[2].lists["asked"] == [FACTS[0][1], FACTS[1][1]]
    assert [asking.headers["Number"] for asking in asked] == ["4", "3", "2", "1"]


def test_answers_are_made_without_sight_of_facts(tmp_path):
    writer = author()
    talk_with(writer, tmp_path, lambda talk: ask_simple(talk, MILL))
    (answering,) = writer.asked("answer")
    assert answering.lists == {"questions": [q for _, q, _ in FACTS]}
    assert answering.texts == (MILL,)
    (verifying,) = writer.asked("verify")
    assert verifying.lists == {"pairs": [f"{q} / {a}" for _, q, a in FACTS]}


def test_fact_that_nobody_listed_is_found_and_asked_for(tmp_path):
    def change(asked, reply):
        if asked.task == "facts":
            return {"facts": reply["facts"][:2]}
        if asked.task == "coverage" and len(asked.lists["pairs"]) == 2:
            return reply | {"missing": [FACTS[2][0], FACTS[0][0].upper()]}
        return None

    result, _ = talk_with(author(change), tmp_path, lambda talk: ask_simple(talk, MILL))
    assert [pair.answer for pair in result.pairs] == ["Tom Ash", "1904", "12"]
    assert result.facts == [fact for fact, _, _ in FACTS[:3]]
    assert (result.rounds, result.covered) == (2, {0, 1, 2})


def test_rounds_end_at_their_limit(tmp_path):
    result, _ = talk_with(
        author(only(1)), tmp_path, lambda talk: ask_simple(talk, MILL), max_rounds=3
    )
    assert (len(result.pairs), result.rounds, len(result.facts)) == (3, 3, 4)


def test_no_more_one_fact_questions_are_kept_than_wanted(tmp_path):
    result, _ = talk_with(
        author(), tmp_path, lambda talk: ask_simple(talk, MILL), simple_questions=2
    )
    assert [pair.answer for pair in result.pairs] == ["Tom Ash", "1904"]


def test_set_that_covers_too_little_is_dropped_whole(tmp_path):
    result, talk = talk_with(
        author(only(1)), tmp_path, lambda talk: ask_simple(talk, MILL),
        max_rounds=1, min_coverage=0.5,
    )  # fmt: skip
    assert result.pairs == []
    assert talk.rejects == [
        ["mill simple_qa", "1 of 4 facts covered after 1 rounds, less than min_coverage 0.5: "
         "1 pairs dropped"]
    ]  # fmt: skip


def test_pair_that_is_not_verified_is_asked_for_anew(tmp_path):
    """The verifier finds the first answer incomplete once; the reason goes with the next round."""
    doubted = []

    def change(asked, reply):
        if asked.task == "verify" and not doubted:
            doubted.append(True)
            reply["verdicts"][0] = {"number": 1, "correct": False, "reason": "vague"}
            return reply
        if asked.task == "simple_qa" and doubted:
            return {"questions": [{"question": "Which builder raised Kelso's mill?", "facts": [1]}]}
        if asked.task == "answer" and doubted:
            return {"answers": [{"number": 1, "answer": "Tom Ash"}]}
        if asked.task in ("verify", "coverage") and len(doubted) and len(asked.lists["pairs"]) == 1:
            return {"verdicts": [{"number": 1, "correct": True, "reason": ""}]}
        if asked.task == "coverage" and len(asked.lists["facts"]) == 1:
            return {"covered": [1], "missing": []}
        return None

    writer = author(change)
    result, talk = talk_with(writer, tmp_path, lambda talk: ask_simple(talk, MILL))
    assert talk.rejects == [
        ["mill simple_qa", "not verified (vague): Who built the old mill of Kelso? / Tom Ash"]
    ]
    again = writer.asked("simple_qa")[1]
    assert again.lists["set_aside"] == ["Who built the old mill of Kelso? (not verified (vague))"]
    assert [pair.question for pair in result.pairs][-1] == "Which builder raised Kelso's mill?"
    assert len(result.covered) == 4


@pytest.mark.parametrize(
    ("task", "reply", "reason"),
    [
        ("answer", {"answers": []}, "the passage does not answer it"),
        ("answer", {"answers": [{"number": 1, "answer": ""}]}, "the passage does not answer it"),
        ("answer", {"answers": [{"number": 1, "answer": "Mary"}]}, "the answer is not in the"),
        ("answer", {"answers": [{"number": 1, "answer": "1905"}]}, "the answer's number 1905 is"),
        ("answer", "nothing", "it got no answer"),
        ("verify", {"verdicts": []}, "not verified (no verdict on it)"),
        ("verify", {"verdicts": [{"number": 1, "correct": False}]}, "not verified (no reason giv"),
        ("verify", "nothing", "it was not verified"),
        ("simple_qa", {"questions": [{"question": "Who is in the text?"}]}, "the question speaks"),
    ],
)
def test_pair_without_answer_or_verdict_is_set_aside(tmp_path, task, reply, reason):
    def change(asked, _):
        return reply if asked.task == task else None

    known = {MILL: About(facts=FACTS[:1])}
    result, talk = talk_with(
        Author(known, change=change), tmp_path, lambda talk: ask_simple(talk, MILL), max_rounds=1
    )
    assert result.pairs == []
    reasons = [why for item, why in talk.rejects if item == "mill simple_qa"]
    assert len(reasons) == 1
    assert reasons[0].startswith(reason)


def test_without_a_reply_on_coverage_the_questions_own_word_is_taken(tmp_path):
    def change(asked, _):
        return "nothing" if asked.task == "coverage" else None

    result, _ = talk_with(author(change), tmp_path, lambda talk: ask_simple(talk, MILL))
    assert (len(result.pairs), len(result.covered)) == (4, 4)


def complex_of(writer, folder, **options):
    simple = Simple(facts=[fact for fact, _, _ in FACTS])
    return talk_with(writer, folder, lambda talk: ask_complex(talk, MILL, simple), **options)


def test_complex_questions_name_the_facts_they_join(tmp_path):
    writer = author()
    pairs, _ = complex_of(writer, tmp_path)
    assert [(pair.question, pair.answer) for pair in pairs] == KNOWN[MILL].joined
    assert writer.asked("complex_qa")[0].lists["facts"] == [fact for fact, _, _ in FACTS]
    assert writer.asked("verify")[0].headers["Kind"] == "complex"


def test_complex_question_of_a_single_fact_is_replaced(tmp_path):
    def change(asked, reply):
        if asked.task == "complex_qa" and "set_aside" not in asked.lists:
            reply["questions"][0]["facts"] = [2, 2]
            return reply
        if asked.task == "complex_qa":
            return {"questions": [{"question": "Who built what has 12 sails?", "facts": [1, 3]}]}
        return None

    writer = author(change)
    KNOWN[MILL].joined.append(("Who built what has 12 sails?", "Tom Ash built the mill"))
    pairs, talk = complex_of(writer, tmp_path, complex_questions=2)
    KNOWN[MILL].joined.pop()
    assert [pair.question for pair in pairs] == [
        "How many sails turn to grind what at Kelso?", "Who built what has 12 sails?",
    ]  # fmt: skip
    assert talk.rejects == [
        ["mill complex_qa",
         "it names fewer than 2 facts to join: Who built the old mill of Kelso, and when?"]
    ]  # fmt: skip


def test_one_fact_is_nothing_to_join(tmp_path):
    writer = author()
    ask = lambda talk: ask_complex(talk, MILL, Simple(facts=["one"]))  # noqa: E731
    assert talk_with(writer, tmp_path, ask)[0] == []
    assert writer.seen == []


def paraphrase_of(writer, folder, **options):
    facts = [fact for fact, _, _ in FACTS]
    return talk_with(writer, folder, lambda talk: ask_paraphrase(talk, MILL, facts), **options)


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        ({"agrees": False, "reason": "it adds flour"}, "the paraphrase disagrees (it adds flour)"),
        ({"agrees": True, "missing": [3, 99]}, "the paraphrase leaves out: It has 12 sails."),
    ],
)
def test_paraphrase_is_made_anew_until_it_agrees_and_covers(tmp_path, verdict, reason):
    better = "In 1904 Tom Ash built the old mill of Kelso; 12 sails drive it and rye is ground."

    def change(asked, _):
        if asked.task == "paraphrase" and "set_aside" in asked.lists:
            return {"paraphrase": better}
        if asked.task == "verify_paraphrase":
            is_better = asked.lists["paraphrase"] == [better]
            return {"agrees": True, "missing": []} if is_better else verdict
        return None

    writer = author(change)
    (paraphrase, requests), talk = paraphrase_of(writer, tmp_path)
    assert paraphrase == better
    assert len(set(requests)) == 2
    assert talk.rejects == [["mill paraphrase", reason]]
    assert reason in writer.asked("paraphrase")[1].lists["set_aside"][0]
    assert writer.asked("verify_paraphrase")[0].lists["facts"] == [fact for fact, _, _ in FACTS]


def test_paraphrase_that_repeats_itself_is_given_up(tmp_path):
    writer = author(lambda asked, _: {"paraphrase": MILL} if asked.task == "paraphrase" else None)
    found, talk = paraphrase_of(writer, tmp_path)
    assert found is None
    assert [task.task for task in writer.seen] == ["paraphrase", "paraphrase"]
    assert talk.rejects == [["mill paraphrase", "the paraphrase is the passage itself"]]


def test_joint_pair_needs_both_passages_and_names_them(tmp_path):
    link = Link(passage("ash", ASH), "Tom Ash")
    writer = author()
    (pair,), _ = talk_with(
        writer, tmp_path, lambda talk: ask_joint(talk, passage("mill", MILL), link)
    )
    assert (pair["question"], pair["answer"]) == JOINT[0]
    assert pair["passage_ids"] == ["mill", "ash"]
    assert {asked.texts for asked in writer.seen} == {(MILL, ASH)}
    assert writer.asked("joint_qa")[0].lists == {"shared": ["Tom Ash"]}
    verifying = writer.asked("verify")[0]
    assert verifying.headers["Kind"] == "joint"


def test_joint_pair_that_one_passage_answers_is_set_aside(tmp_path):
    def change(asked, _):
        verdict = {"number": 1, "correct": False, "reason": "one is enough"}
        return {"verdicts": [verdict]} if asked.task == "verify" else None

    link = Link(passage("ash", ASH), "Tom Ash")
    pairs, talk = talk_with(
        author(change), tmp_path, lambda talk: ask_joint(talk, passage("mill", MILL), link)
    )
    assert pairs == []
    assert talk.rejects[0][1].startswith("not verified (one is enough)")


@pytest.mark.parametrize(
    ("text", "language", "other", "name"),
    [(MILL, "en", "zh", "Chinese"), (STONE, "zh", "en", "English")],
)
def test_cross_lingual_pair_is_asked_in_the_other_language(tmp_path, text, language, other, name):
    writer = author()
    (pair,), _ = talk_with(
        writer, tmp_path, lambda talk: ask_cross_lingual(talk, passage("mill", text, language))
    )
    assert (pair["question"], pair["answer"]) == KNOWN[text].foreign[0]
    assert pair["language"] == other
    assert {asked.headers["Language"] for asked in writer.seen} == {name}


def test_question_in_the_passages_own_language_is_not_cross_lingual(tmp_path):
    def change(asked, _):
        question = {"question": "Who built the mill of Kelso?", "facts": []}
        return {"questions": [question]} if asked.task == "cross_lingual" else None

    pairs, talk = talk_with(
        author(change), tmp_path, lambda talk: ask_cross_lingual(talk, passage("mill", MILL))
    )
    assert pairs == []
    assert "the question is not in the language asked for (zh)" in talk.rejects[0][1]


@pytest.mark.parametrize(
    ("text", "language", "options", "answer"),
    [
        (MILL, "en", {}, "The documents do not say."),
        (MILL, "en", {"refusals": {"en": "I cannot tell."}}, "I cannot tell."),
        (STONE, "zh", {"refusals": {"en": "I cannot tell."}}, "文档中没有说明。"),
        (MILL, "fr", {}, "The documents do not say."),
    ],
)
def test_unanswerable_question_is_answered_with_a_refusal(
    tmp_path, text, language, options, answer
):
    writer = author()
    (pair,), _ = talk_with(
        writer, tmp_path,
        lambda talk: ask_unanswerable(talk, passage("mill", text, language), []), **options,
    )  # fmt: skip
    assert (pair["question"], pair["answer"]) == (KNOWN[text].absent[0], answer)
    assert len(pair["requests"]) == 2


@pytest.mark.parametrize("answering", [MILL, ASH])
def test_question_that_the_passage_or_a_relative_answers_is_not_unanswerable(tmp_path, answering):
    def change(asked, _):
        said = {"answers": [{"number": 1, "answer": "9 pounds"}]}
        return said if (asked.task, asked.text) == ("answer", answering) else None

    relatives = [Link(passage("ash", ASH), "Tom Ash")]
    pairs, talk = talk_with(
        author(change), tmp_path,
        lambda talk: ask_unanswerable(talk, passage("mill", MILL), relatives),
    )  # fmt: skip
    assert pairs == []
    reason = "a passage answers it (9 pounds): What did the old mill of Kelso cost?"
    assert talk.rejects == [["mill unanswerable", reason]]


def test_relatives_named_in_the_question_are_asked_first(tmp_path):
    names = ["Orford", "Tom Ash", "the river", "the old mill"]
    relatives = [Link(passage(name, f"{ASH} {name}"), name) for name in names]
    known = KNOWN | {link.passage["text"]: KNOWN[ASH] for link in relatives}
    writer = Author(known, JOINT)
    talk_with(
        writer, tmp_path, lambda talk: ask_unanswerable(talk, passage("mill", MILL), relatives)
    )
    assert [asked.text for asked in writer.asked("answer")] == [
        MILL, f"{ASH} the old mill", f"{ASH} Orford",
    ]  # fmt: skip
