"""The synthesis step against a scripted server: what is kept, mended, set aside, asked again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from scripted_author import About, Author
from scripted_endpoint import Act, refuse, say, serve

from clara_model.errors import DataError, ServiceError
from configs.schema import PipelineConfig
from tasks.llm import client as client_module
from tasks.llm.embedded import serve_embedded
from tasks.storage import read_records, write_jsonl
from tasks.synthesis.generate import synthesize
from tasks.workspace import Workspace

ROOT = Path(__file__).resolve().parents[3]
MILL = "The old mill of Kelso was built by Tom Ash in 1904."
BRIDGE = "The stone bridge of Orford was built by Ada Lark in 1911."
KEYS = {"mill": MILL, "bridge": BRIDGE}
KNOWN = {
    MILL: About(
        facts=[
            ("Tom Ash built the old mill of Kelso.", "Who built the old mill of Kelso?", "Tom Ash"),
            ("The mill was built in 1904.", "When was the old mill of Kelso built?", "1904"),
        ],
        joined=[("Who built the old mill of Kelso, and when?", "Tom Ash, in 1904")],
        paraphrase="In 1904 Tom Ash was the builder of Kelso's old mill.",
    ),
    BRIDGE: About(
        facts=[
            ("Ada Lark built it.", "Who built the stone bridge of Orford?", "Ada Lark"),
            ("It was built in 1911.", "When was the stone bridge of Orford built?", "1911"),
        ],
        joined=[("Who built the stone bridge of Orford, and when?", "Ada Lark, in 1911")],
        paraphrase="In 1911 Ada Lark was the builder of Orford's stone bridge.",
    ),
}
# Of each passage: facts, questions, answers, verdicts, coverage; the joined ones in three; two for
# the paraphrase.
REQUESTS = 10


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(client_module, "FIRST_WAIT_S", 0.005)


def passage(name, text, split="train", language="en"):
    return {
        "id": name, "source": f"{name}.md", "page": None, "heading": "", "text": text,
        "language": language, "tokens": 12, "split": split,
    }  # fmt: skip


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path)
    write_jsonl(workspace.passages, [passage("mill", MILL), passage("bridge", BRIDGE, "benchmark")])
    return workspace


def run(workspace, url, **options):
    settings = {
        "base_url": url, "model": "m", "max_retries": 0, "concurrency": 1, "joint_share": 0.0,
        "cross_lingual_share": 0.0, "unanswerable_share": 0.0,
    } | options  # fmt: skip
    config = PipelineConfig.model_validate({"synthesis": settings})
    return synthesize(config, workspace, base_url=url)


def rows(workspace):
    return {row["passage_id"]: row for row in read_records(workspace.synthesis)}


def questions(row, kind="simple"):
    return [pair["question"] for pair in row[kind]]


def on_mill(task, reply):
    """The true replies, but for one task on the mill another one, after repair too."""

    def change(asked, _):
        return reply if (asked.task, asked.text) == (task, MILL) else None

    return Author(KNOWN, change=change)


def test_good_replies_become_rows(workspace):
    author = Author(KNOWN)
    with serve(author) as server:
        result = run(workspace, server.url)
    found = rows(workspace)
    assert list(found) == ["mill", "bridge"]
    for name, text, split in [("mill", MILL, "train"), ("bridge", BRIDGE, "benchmark")]:
        row = found[name]
        pairs = [(pair["question"], pair["answer"]) for pair in row["simple"]]
        assert pairs == [(q, a) for _, q, a in KNOWN[text].facts]
        pairs = [(pair["question"], pair["answer"]) for pair in row["complex"]]
        assert pairs == KNOWN[text].joined
        assert {pair["language"] for pair in row["simple"] + row["complex"]} == {"en"}
        assert row["paraphrase"] == KNOWN[text].paraphrase
        assert row["coverage"] == {"facts": 2, "covered": 2}
        rest = {key: row[key] for key in (
            "source", "language", "split", "joint", "cross_lingual", "unanswerable", "rounds",
            "provider", "model", "verification_model", "prompt_version", "tokens",
        )}  # fmt: skip
        assert rest == {
            "source": f"{name}.md", "language": "en", "split": split,
            "joint": [], "cross_lingual": [], "unanswerable": [], "rounds": 1,
            "provider": "127.0.0.1", "model": "m", "verification_model": "m", "prompt_version": 2,
            "tokens": {"prompt": 7 * REQUESTS, "completion": 3 * REQUESTS},
        }  # fmt: skip
    counts = {
        "passages": 2, "simple": 4, "complex": 2, "joint": 0, "cross_lingual": 0,
        "unanswerable": 0, "paraphrases": 2, "facts": 4, "facts_covered": 4, "rejected": 0,
        "requests": 2 * REQUESTS, "cached": 0, "prompt_tokens": 140, "completion_tokens": 60,
    }  # fmt: skip
    assert counts.items() <= result.counts.items()
    assert result.rejects == ()
    assert read_records(workspace.root / "rejected_replies.jsonl") == []
    assert not (workspace.progress / "synthesize.jsonl").exists()


def test_every_pair_leads_back_to_its_three_requests(workspace):
    with serve(Author(KNOWN)) as server:
        run(workspace, server.url)
    purposes = {
        path.stem[:16]: json.loads(path.read_text(encoding="utf-8"))["purpose"]
        for path in workspace.cache.rglob("*.json")
        if "purpose" in path.read_text(encoding="utf-8")
    }
    row = rows(workspace)["mill"]
    for kind, first in [("simple", "simple_qa"), ("complex", "complex_qa")]:
        for pair in row[kind]:
            assert [purposes[r] for r in pair["requests"]] == [first, "answer", "verify"]
    made = [purposes[request] for request in row["paraphrase_requests"]]
    assert made == ["paraphrase", "verify_paraphrase"]


def test_roles_have_models_of_their_own(workspace):
    author = Author(KNOWN)
    with serve(author) as server:
        run(workspace, server.url, models={"verification": "strict", "questions": "bright"})
    models = {(asked.task, asked.model) for asked in author.seen}
    assert models == {
        ("facts", "bright"), ("simple_qa", "bright"), ("complex_qa", "bright"),
        ("answer", "bright"), ("paraphrase", "bright"), ("verify", "strict"),
        ("coverage", "strict"), ("verify_paraphrase", "strict"),
    }  # fmt: skip
    row = rows(workspace)["mill"]
    assert (row["model"], row["verification_model"]) == ("bright", "strict")


def test_limits_and_temperature_go_with_every_request(workspace):
    with serve(Author(KNOWN)) as server:
        run(workspace, server.url, max_tokens=77, temperature=0.9)
    assert {(body["max_tokens"], body["temperature"]) for body in server.bodies} == {(77, 0.9)}


def test_replies_are_held_to_a_schema_where_the_provider_can(workspace):
    with serve(Author(KNOWN)) as server:
        run(workspace, server.url, structured_output="json_schema")
    forms = {body["response_format"]["json_schema"]["name"] for body in server.bodies}
    assert forms == {"Facts", "Questions", "Answers", "Verdicts", "Coverage", "Paraphrase",
                     "Agreement"}  # fmt: skip


def test_what_is_not_wanted_is_not_asked(workspace):
    author = Author(KNOWN)
    with serve(author) as server:
        result = run(workspace, server.url, complex_questions=0, paraphrase=False)
    assert {asked.task for asked in author.seen} == {
        "facts", "simple_qa", "answer", "verify", "coverage",
    }  # fmt: skip
    assert (result.counts["complex"], result.counts["paraphrases"]) == (0, 0)
    assert rows(workspace)["mill"]["paraphrase"] is None


def test_broken_reply_is_mended_once(workspace):
    def change(asked, _):
        is_broken = (asked.task, asked.text) == ("facts", MILL) and not asked.is_repair
        return "{broken}" if is_broken else None

    with serve(Author(KNOWN, change=change)) as server:
        result = run(workspace, server.url)
    assert len(rows(workspace)["mill"]["simple"]) == 2
    assert (result.counts["requests"], result.counts["rejected"]) == (2 * REQUESTS + 1, 0)
    (repair,) = (body["messages"] for body in server.bodies if len(body["messages"]) > 2)
    assert [message["role"] for message in repair] == ["system", "user", "assistant", "user"]
    assert repair[2]["content"] == "{broken}"
    assert "the JSON is broken" in repair[3]["content"]


def test_reply_that_stays_broken_is_set_aside_with_its_whole_text(workspace):
    rambling = "I cannot do that. " * 40
    with serve(on_mill("complex_qa", rambling)) as server:
        result = run(workspace, server.url)
    assert rows(workspace)["mill"]["complex"] == []
    assert len(rows(workspace)["mill"]["simple"]) == 2
    (reject,) = result.rejects
    assert (reject.step, reject.item) == ("synthesize", "mill complex_qa")
    assert reject.reason == f"there is no JSON object; the reply was: {rambling[:300]}"
    (kept,) = read_records(workspace.root / "rejected_replies.jsonl")
    assert kept["reply"] == rambling
    assert (kept["item"], kept["task"]) == ("mill", "complex_qa")
    assert len(kept["request"]) == 16


def test_half_a_character_in_a_reply_is_set_aside(workspace):
    with serve(on_mill("paraphrase", '{"paraphrase": "In 1904 \\ud83d"}')) as server:
        result = run(workspace, server.url)
    assert rows(workspace)["mill"]["paraphrase"] is None
    (reject,) = result.rejects
    assert reject.item == "mill paraphrase"


def test_question_of_two_passages_stays_with_the_first(workspace):
    """Also when the second passage is answered first, and in another width and case."""
    again = MILL + " It rings."
    facts = [
        ("Tom Ash built it.", "who built the OLD mill of Kelso？", "Tom Ash"),
        ("It rings.", "What does the old mill of Kelso do?", "It rings"),
    ]
    known = KNOWN | {again: About(facts, paraphrase=KNOWN[MILL].paraphrase + " It is ringing.")}
    write_jsonl(workspace.passages, [passage("mill", MILL), passage("again", again)])

    def change(asked, reply):
        return say(json.dumps(reply), delay_s=0.05) if asked.text == MILL else None

    with serve(Author(known, change=change)) as server:
        result = run(workspace, server.url, concurrency=4)
    assert questions(rows(workspace)["mill"])[0] == "Who built the old mill of Kelso?"
    assert questions(rows(workspace)["again"]) == ["What does the old mill of Kelso do?"]
    (reject,) = result.rejects
    assert (reject.item, reject.reason) == (
        "again simple", "asked before: who built the OLD mill of Kelso？",
    )  # fmt: skip


def test_refused_request_is_set_aside_and_the_others_go_on(workspace):
    with serve(on_mill("complex_qa", refuse(400, "flagged by a filter"))) as server:
        result = run(workspace, server.url)
    assert rows(workspace)["mill"]["complex"] == []
    (reject,) = result.rejects
    assert reject.item == "mill complex_qa"
    assert "flagged by a filter" in reject.reason


@pytest.mark.parametrize("failure", [Act(500, "oops"), Act(body=" " * 99, cut=True)])
def test_request_that_is_never_answered_stops_no_other(workspace, failure):
    """A passage that the server cannot digest is set aside; a dead server is another matter."""
    with serve(on_mill("verify", failure)) as server:
        result = run(workspace, server.url, max_retries=1)
    assert rows(workspace)["mill"]["simple"] == rows(workspace)["mill"]["complex"] == []
    assert len(rows(workspace)["bridge"]["simple"]) == 2
    first = result.rejects[0]
    assert first.item == "mill verify"
    assert first.reason.startswith("others are answered, but this is not: ")
    assert "no answer after 2 attempts" in first.reason


def test_passage_of_which_nothing_holds_stays_out_with_a_reason(workspace):
    def change(asked, _):
        return {"facts": []} if (asked.task, asked.text) == ("facts", MILL) else None

    with serve(Author(KNOWN, change=change)) as server:
        result = run(workspace, server.url, paraphrase=False)
    assert list(rows(workspace)) == ["bridge"]
    assert [(r.item, r.reason) for r in result.rejects] == [
        ("mill facts", "no fact was found"),
        ("mill", "nothing held: no fact was found"),
    ]


def test_second_run_sends_nothing_and_writes_the_same_bytes(workspace):
    with serve(Author(KNOWN)) as server:
        run(workspace, server.url)
        first = workspace.synthesis.read_bytes()
        workspace.synthesis.unlink()
        result = run(workspace, server.url)
    assert len(server.bodies) == 2 * REQUESTS
    assert workspace.synthesis.read_bytes() == first
    assert (result.counts["requests"], result.counts["cached"]) == (0, 2 * REQUESTS)


def gone_at_the_end(journal=None):
    """The server dies at the last request, when the first passage is in the journal, if named."""
    seen = []

    def change(asked, _):
        seen.append((asked.task, asked.text))
        if ("verify_paraphrase", BRIDGE) not in seen or (journal and asked.text == MILL):
            return None
        deadline = time.monotonic() + 10
        while journal and "mill" not in journal.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        return refuse(503, "gone")

    return change


def test_run_cut_off_continues_with_what_is_missing(workspace):
    """The last request fails for good: the journal holds the first passage."""
    finished = workspace.progress / "synthesize.jsonl"
    author = Author(KNOWN, change=gone_at_the_end(finished))
    with serve(author) as server:
        with pytest.raises(ServiceError, match="run the same command again"):
            run(workspace, server.url, concurrency=2)
        asked_before = len(author.seen)
        assert not workspace.synthesis.exists()
        assert [entry.get("key") for entry in read_records(finished)] == [None, "mill"]
        # Without its cache the finished passage is known by the journal alone.
        for path in workspace.cache.rglob("*.json"):
            path.unlink()
        author.change = None
        result = run(workspace, server.url)
    assert {asked.text for asked in author.seen[asked_before:]} == {BRIDGE}
    assert sorted(rows(workspace)) == ["bridge", "mill"]
    assert (result.counts["simple"], result.counts["complex"]) == (4, 2)
    assert result.counts["requests"] == REQUESTS
    assert result.counts["prompt_tokens"] == 140


def test_other_limits_and_rates_keep_what_is_finished(workspace):
    author = Author(KNOWN, change=gone_at_the_end())
    with serve(author) as server:
        with pytest.raises(ServiceError):
            run(workspace, server.url)
        for path in workspace.cache.rglob("*.json"):
            path.unlink()
        journal = read_records(workspace.progress / "synthesize.jsonl")
        # Which passages were finished by then depends on how busy the machine is.
        finished = {KEYS[entry["key"]] for entry in journal if entry.get("key")}
        author.change = None
        asked_before = len(author.seen)
        run(workspace, server.url, concurrency=3, max_requests=500, timeout_s=9.0)
    assert {asked.text for asked in author.seen[asked_before:]} == set(KEYS.values()) - finished


def test_changed_passage_is_asked_anew_after_a_cut(workspace):
    author = Author(KNOWN, change=gone_at_the_end())
    with serve(author) as server:
        with pytest.raises(ServiceError):
            run(workspace, server.url)
        author.change = None
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


def test_embedded_endpoint_makes_verified_questions_and_is_named(workspace):
    with serve_embedded() as url:
        result = synthesize(PipelineConfig(), workspace, base_url=url)
    assert {(row["provider"], row["model"]) for row in rows(workspace).values()} == {
        ("embedded", "embedded-rules")
    }
    assert result.counts["simple"] >= 2
    for text, row in zip((MILL, BRIDGE), rows(workspace).values(), strict=True):
        assert all(pair["answer"] in text for pair in row["simple"])
        assert row["coverage"]["facts"] == row["coverage"]["covered"] > 0


# A town of many mills, for runs long enough to be disturbed.
NAMES = "Ash Birch Cedar Elm Fir Hazel Larch Oak".split()
TOWN = {
    f"The {name} mill was built by Tom {name[::-1].title()} in {1900 + n}.": About(
        facts=[
            ("a", f"Who built the {name} mill?", f"Tom {name[::-1].title()}"),
            ("b", f"When was the {name} mill built?", str(1900 + n)),
        ],
        paraphrase=f"In {1900 + n} Tom {name[::-1].title()} was the builder of the {name} mill.",
    )
    for n, name in enumerate(NAMES)
}


def town(folder):
    workspace = Workspace(folder)
    write_jsonl(workspace.passages, [passage(f"p{n}", text) for n, text in enumerate(TOWN)])
    return workspace


def misbehaving(seed):
    """Every third request or so goes wrong in one of the ways servers do; repeated ones recover."""
    moods = random.Random(seed)

    def change(asked, reply):
        text = json.dumps(reply)
        choices = [
            Act(body=text), Act(body=say(text).body, cut=True), Act(body="<html>"),
            refuse(429, "slow", Retry_After="0"), refuse(500, "oops"), refuse(503, "gone"),
            say(text[: len(text) // 2]), say("Sure! " + text), say("[]"), say(None),
        ]  # fmt: skip
        return moods.choice(choices) if moods.random() < 0.3 else None

    return change


@pytest.mark.parametrize("seed", range(2))
def test_under_a_misbehaving_endpoint_every_passage_ends_once(tmp_path, seed):
    workspace = town(tmp_path)
    with serve(Author(TOWN, change=misbehaving(seed))) as server:
        result = run(workspace, server.url, max_retries=30, concurrency=6)
    ids = [row["passage_id"] for row in read_records(workspace.synthesis)]
    out = [reject.item for reject in result.rejects if " " not in reject.item]
    assert sorted(ids + out) == sorted(f"p{n}" for n in range(len(TOWN)))
    truth = {q: a for about in TOWN.values() for _, q, a in about.facts}
    for row in read_records(workspace.synthesis):
        assert all(truth[pair["question"]] == pair["answer"] for pair in row["simple"])
        assert row["paraphrase"] in (None, *(about.paraphrase for about in TOWN.values()))
    set_aside = {reject.item.partition(" ")[0] for reject in result.rejects}
    for row in read_records(workspace.synthesis):
        is_whole = len(row["simple"]) == 2 and row["paraphrase"]
        assert is_whole or row["passage_id"] in set_aside


def test_endpoint_that_dies_and_returns_gives_the_rows_of_an_undisturbed_run(tmp_path):
    undisturbed, disturbed = town(tmp_path / "a"), town(tmp_path / "b")
    lives = random.Random(7)
    author = Author(TOWN)
    with serve(author) as server:
        for _ in range(3):
            dies_at = len(author.seen) + lives.randrange(1, 14)
            author.change = lambda *_, at=dies_at: (
                refuse(503, "dead") if len(author.seen) >= at else None
            )
            with pytest.raises(ServiceError):
                run(disturbed, server.url, concurrency=3)
        author.change = None
        run(disturbed, server.url, concurrency=3)
        run(undisturbed, server.url)
    assert disturbed.synthesis.read_bytes() == undisturbed.synthesis.read_bytes()


@pytest.mark.parametrize(("top_k", "is_asked"), [(1, False), (2, True)])
def test_joint_questions_are_asked_only_where_a_row_can_show_both(
    tmp_path, caplog, top_k, is_asked
):
    workspace = Workspace(tmp_path)
    write_jsonl(workspace.passages, [passage("mill", MILL), passage("twin", f"{MILL} It is wet.")])
    known = KNOWN | {f"{MILL} It is wet.": KNOWN[MILL]}
    author = Author(known, joint=[("Who built both mills?", "Tom Ash")])
    with serve(author) as server:
        settings = {"base_url": server.url, "model": "m", "max_retries": 0, "joint_share": 1.0,
                    "cross_lingual_share": 0.0, "unanswerable_share": 0.0}  # fmt: skip
        config = PipelineConfig.model_validate(
            {"synthesis": settings, "model": {"generation_top_k": top_k}}
        )
        with caplog.at_level("INFO", logger="tasks.synthesis.generate"):
            synthesize(config, workspace, base_url=server.url)
    assert ("joint_qa" in {asked.task for asked in author.seen}) == is_asked
    assert caplog.text.count("no joint questions") == (not is_asked)


_KILLED = """
import sys
from pathlib import Path
from configs.schema import PipelineConfig
from tasks.synthesis.generate import synthesize
from tasks.workspace import Workspace
url, folder = sys.argv[1:]
settings = {"base_url": url, "model": "m", "max_retries": 0, "concurrency": 2, "joint_share": 0.0,
            "cross_lingual_share": 0.0, "unanswerable_share": 0.0}
config = PipelineConfig.model_validate({"synthesis": settings})
synthesize(config, Workspace(Path(folder)), base_url=url)
"""


@pytest.mark.slow
def test_killed_run_goes_on_and_gives_the_same_rows(tmp_path):
    undisturbed, killed = town(tmp_path / "a"), town(tmp_path / "b")
    author = Author(TOWN, change=lambda _, reply: say(json.dumps(reply), delay_s=0.01))
    with serve(author) as server:
        command = [sys.executable, "-c", _KILLED, server.url, str(killed.root)]
        process = subprocess.Popen(command, cwd=ROOT, start_new_session=True,
                                   env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
        while len(author.seen) < 25:
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not killed.synthesis.exists()
        time.sleep(0.1)  # what is still being answered
        asked = len(author.seen)
        run(killed, server.url)
        # At most what was under way is asked again.
        whole = 8 * len(TOWN)
        assert len(author.seen) - asked <= whole - asked + 4
        run(undisturbed, server.url)
    assert killed.synthesis.read_bytes() == undisturbed.synthesis.read_bytes()
