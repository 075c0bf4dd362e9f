"""The synthesis step against a scripted server: what is kept, mended, set aside, asked again."""

from __future__ import annotations

import json
import re

import pytest
from scripted_endpoint import refuse, say, serve

from clara_model.errors import DataError, ServiceError
from configs.schema import PipelineConfig
from tasks.llm.embedded import serve_embedded
from tasks.storage import read_records, write_jsonl
from tasks.synthesis.generate import synthesize
from tasks.workspace import Workspace

MILL = "The old mill of Kelso was built by Tom Ash in 1904."
BRIDGE = "The stone bridge of Orford was built by Ada Lark in 1911."
PAIRS = {
    MILL: [("Who built the old mill of Kelso?", "Tom Ash")],
    BRIDGE: [("Who built the stone bridge of Orford?", "Ada Lark")],
}
JOINED = {
    MILL: [("Who built the old mill of Kelso, and when?", "Tom Ash, in 1904")],
    BRIDGE: [("Who built the stone bridge of Orford, and when?", "Ada Lark, in 1911")],
}
SAID_ANEW = {
    MILL: "In 1904 Tom Ash was the builder of Kelso's old mill.",
    BRIDGE: "In 1911 Ada Lark was the builder of Orford's stone bridge.",
}


def passage(name, text, split="train"):
    return {
        "id": name, "source": f"{name}.md", "page": None, "heading": "", "text": text,
        "language": "en", "tokens": 12, "split": split,
    }  # fmt: skip


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path)
    write_jsonl(workspace.passages, [passage("mill", MILL), passage("bridge", BRIDGE, "benchmark")])
    return workspace


def run(workspace, url, **options):
    settings = {"base_url": url, "model": "m", "max_retries": 0, "concurrency": 1} | options
    config = PipelineConfig.model_validate({"synthesis": settings})
    return synthesize(config, workspace, base_url=url)


def rows(workspace):
    return {row["passage_id"]: row for row in read_records(workspace.synthesis)}


def asked(body):
    """Task and passage of a request, and whether it is a repair."""
    prompt = body["messages"][1]["content"]
    task = re.search(r"Task: (\w+)", prompt)[1]
    text = re.search(r"<passage>\n(.*)\n</passage>", prompt, re.DOTALL)[1]
    return task, text, len(body["messages"]) > 2


def reply(task, text):
    if task == "paraphrase":
        return json.dumps({"paraphrase": SAID_ANEW[text]})
    pairs = PAIRS[text] if task == "simple_qa" else JOINED[text]
    return json.dumps({"pairs": [{"question": q, "answer": a} for q, a in pairs]})


def good(body, _=0):
    task, text, _ = asked(body)
    return say(reply(task, text))


def instead(wanted, text):
    """Good replies, but for one task on the mill another text."""

    def script(body, _):
        task, about, _ = asked(body)
        return say(text) if (task, about) == (wanted, MILL) else good(body)

    return script


def test_good_replies_become_rows(workspace):
    with serve(good) as server:
        result = run(workspace, server.url)
    assert read_records(workspace.synthesis) == [
        {
            "passage_id": name, "source": f"{name}.md", "language": "en", "split": split,
            "simple": [{"question": q, "answer": a} for q, a in PAIRS[text]],
            "complex": [{"question": q, "answer": a} for q, a in JOINED[text]],
            "paraphrase": SAID_ANEW[text],
            "provider": "127.0.0.1", "model": "m", "prompt_version": 1,
            "tokens": {"prompt": 21, "completion": 9},
        }
        for name, text, split in [("mill", MILL, "train"), ("bridge", BRIDGE, "benchmark")]
    ]  # fmt: skip
    assert result.counts == {
        "passages": 2, "simple": 2, "complex": 2, "paraphrases": 2, "rejected": 0,
        "requests": 6, "cached": 0, "prompt_tokens": 42, "completion_tokens": 18,
    }  # fmt: skip
    assert result.rejects == ()
    assert not (workspace.progress / "synthesize.jsonl").exists()


def test_limits_and_temperature_go_with_every_request(workspace):
    with serve(good) as server:
        run(workspace, server.url, max_tokens=77, temperature=0.9, simple_questions=3)
    assert {(body["max_tokens"], body["temperature"]) for body in server.bodies} == {(77, 0.9)}
    numbers = {re.search(r"Number: (\d+)", p)[1] for p in server.prompts if "simple_qa" in p}
    assert numbers == {"3"}


def test_what_is_not_wanted_is_not_asked(workspace):
    with serve(good) as server:
        result = run(workspace, server.url, complex_questions=0, paraphrase=False)
    assert {asked(body)[0] for body in server.bodies} == {"simple_qa"}
    assert (result.counts["complex"], result.counts["paraphrases"]) == (0, 0)
    assert rows(workspace)["mill"]["paraphrase"] is None


def test_broken_reply_is_mended_once(workspace):
    def script(body, _):
        task, text, is_repair = asked(body)
        is_broken = (task, text) == ("simple_qa", MILL) and not is_repair
        return say("{broken}") if is_broken else good(body)

    with serve(script) as server:
        result = run(workspace, server.url)
    assert rows(workspace)["mill"]["simple"] == [
        {"question": "Who built the old mill of Kelso?", "answer": "Tom Ash"}
    ]
    assert (result.counts["requests"], result.counts["rejected"]) == (7, 0)
    (repair,) = (body["messages"] for body in server.bodies if asked(body)[2])
    assert [message["role"] for message in repair] == ["system", "user", "assistant", "user"]
    assert repair[2]["content"] == "{broken}"
    assert "the JSON is broken" in repair[3]["content"]
    assert rows(workspace)["mill"]["tokens"] == {"prompt": 28, "completion": 12}


def test_reply_that_stays_broken_is_set_aside_with_its_text(workspace):
    with serve(instead("simple_qa", "I cannot do that.")) as server:
        result = run(workspace, server.url)
    assert len(server.bodies) == 7
    assert rows(workspace)["mill"]["simple"] == []
    assert rows(workspace)["mill"]["complex"]
    (reject,) = result.rejects
    assert (reject.step, reject.item) == ("synthesize", "mill simple_qa")
    assert reject.reason == "there is no JSON object; the reply was: I cannot do that."
    assert (result.counts["rejected"], result.counts["simple"]) == (1, 1)


def test_half_a_character_in_a_reply_is_set_aside(workspace):
    with serve(instead("paraphrase", '{"paraphrase": "In 1904 \\ud83d"}')) as server:
        result = run(workspace, server.url)
    assert rows(workspace)["mill"]["paraphrase"] is None
    (reject,) = result.rejects
    assert reject.item == "mill paraphrase"


def test_pair_that_fails_a_check_is_set_aside_alone(workspace):
    pairs = [
        {"question": "Who built the old mill of Kelso?", "answer": "Tom Ash"},
        {"question": "Who paid for the old mill of Kelso?", "answer": "Mary Lark"},
        {"question": "When was the old mill of Kelso built?", "answer": "1905"},
    ]
    with serve(instead("simple_qa", json.dumps({"pairs": pairs}))) as server:
        result = run(workspace, server.url)
    assert rows(workspace)["mill"]["simple"] == pairs[:1]
    assert [reject.reason for reject in result.rejects] == [
        "the answer is not in the passage: Who paid for the old mill of Kelso? / Mary Lark",
        "the answer's number 1905 is not in the passage: "
        "When was the old mill of Kelso built? / 1905",
    ]


def test_no_more_pairs_are_kept_than_were_asked_for(workspace):
    pairs = [{"question": f"Who built mill number {n} of Kelso?", "answer": "Tom Ash"}
             for n in "abc"]  # fmt: skip
    with serve(instead("simple_qa", json.dumps({"pairs": pairs}))) as server:
        run(workspace, server.url, simple_questions=2)
    assert rows(workspace)["mill"]["simple"] == pairs[:2]


def test_bad_paraphrase_is_set_aside(workspace):
    with serve(instead("paraphrase", json.dumps({"paraphrase": MILL.upper()}))) as server:
        result = run(workspace, server.url)
    assert rows(workspace)["mill"]["paraphrase"] is None
    assert [reject.reason for reject in result.rejects] == ["the paraphrase is the passage itself"]
    assert result.counts["paraphrases"] == 1


def test_question_of_two_passages_stays_with_the_first(workspace):
    """Also when the second passage is answered first, and in another width and case."""
    write_jsonl(workspace.passages, [passage("mill", MILL), passage("again", MILL + " It rings.")])

    def script(body, _):
        task, text, _ = asked(body)
        if task == "paraphrase":
            return say(json.dumps({"paraphrase": SAID_ANEW[MILL] + " It is ringing."}))
        if task == "complex_qa":
            return say('{"pairs": []}')
        question = "Who built the old mill of Kelso?"
        if text == MILL:
            pairs = [{"question": question, "answer": "Tom Ash"}]
            return say(json.dumps({"pairs": pairs}), delay_s=0.3)
        pairs = [
            {"question": "who built the OLD mill of Kelso？", "answer": "Tom Ash"},
            {"question": "What does the old mill do?", "answer": "It rings"},
        ]
        return say(json.dumps({"pairs": pairs}))

    with serve(script) as server:
        result = run(workspace, server.url, concurrency=4)
    assert [pair["question"] for pair in rows(workspace)["mill"]["simple"]] == [
        "Who built the old mill of Kelso?"
    ]
    assert [pair["question"] for pair in rows(workspace)["again"]["simple"]] == [
        "What does the old mill do?"
    ]
    (reject,) = result.rejects
    assert (reject.item, reject.reason) == (
        "again simple_qa", "asked before: who built the OLD mill of Kelso？",
    )  # fmt: skip


def test_refused_request_is_set_aside_and_the_others_go_on(workspace):
    def script(body, _):
        task, text, _ = asked(body)
        is_refused = (task, text) == ("complex_qa", MILL)
        return refuse(400, "flagged by a filter") if is_refused else good(body)

    with serve(script) as server:
        result = run(workspace, server.url)
    assert rows(workspace)["mill"]["complex"] == []
    (reject,) = result.rejects
    assert reject.item == "mill complex_qa"
    assert "flagged by a filter" in reject.reason


def test_second_run_sends_nothing_and_writes_the_same_bytes(workspace):
    with serve(good) as server:
        run(workspace, server.url)
        first = workspace.synthesis.read_bytes()
        workspace.synthesis.unlink()
        result = run(workspace, server.url)
    assert len(server.bodies) == 6
    assert workspace.synthesis.read_bytes() == first
    assert (result.counts["requests"], result.counts["cached"]) == (0, 6)


def gone_at_the_end(body, _):
    is_last = asked(body)[:2] == ("paraphrase", BRIDGE)
    return refuse(503, "gone") if is_last else good(body)


def test_run_cut_off_continues_with_what_is_missing(workspace):
    """The last of six requests fails for good: the journal holds the first passage."""
    with serve(gone_at_the_end) as server:
        with pytest.raises(ServiceError, match="run the same command again"):
            run(workspace, server.url)
        assert len(server.bodies) == 6
        assert not workspace.synthesis.exists()
        journal = read_records(workspace.progress / "synthesize.jsonl")
        assert [entry.get("key") for entry in journal] == [None, "mill"]
        # Without its cache the finished passage is known by the journal alone.
        for path in workspace.cache.rglob("*.json"):
            path.unlink()
        server.script = good
        result = run(workspace, server.url)
    assert [asked(body)[1] for body in server.bodies[6:]] == [BRIDGE] * 3
    assert sorted(rows(workspace)) == ["bridge", "mill"]
    assert (result.counts["simple"], result.counts["complex"]) == (2, 2)
    assert result.counts["requests"] == 3
    assert result.counts["prompt_tokens"] == 42


def test_changed_passage_is_asked_anew_after_a_cut(workspace):
    with serve(gone_at_the_end) as server:
        with pytest.raises(ServiceError):
            run(workspace, server.url)
        server.script = good
        write_jsonl(workspace.passages, [passage("mill", BRIDGE)])
        run(workspace, server.url)
    assert rows(workspace)["mill"]["simple"][0]["answer"] == "Ada Lark"


def test_not_one_question_is_an_error(workspace):
    with (
        serve([say("no")]) as server,
        pytest.raises(DataError, match=r"not one question .* 2 passages"),
    ):
        run(workspace, server.url)
    assert not workspace.synthesis.exists()


def test_embedded_endpoint_makes_checked_questions_and_is_named(workspace):
    with serve_embedded() as url:
        config = PipelineConfig()
        result = synthesize(config, workspace, base_url=url)
    assert {(row["provider"], row["model"]) for row in rows(workspace).values()} == {
        ("embedded", "embedded-rules")
    }
    assert result.counts["simple"] >= 2
    for text, row in zip((MILL, BRIDGE), rows(workspace).values(), strict=True):
        assert all(pair["answer"] in text for pair in row["simple"])
