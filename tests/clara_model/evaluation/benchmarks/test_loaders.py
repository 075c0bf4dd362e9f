"""Every dialect of every benchmark, from records written by hand; broken ones set aside."""

from __future__ import annotations

import gzip
import json

import pytest

from clara_model.errors import ConfigError, DataError
from clara_model.evaluation.benchmarks import (
    SPECS,
    Document,
    answer_metrics,
    load_benchmark,
    score_answer,
)

HOTPOT = {
    "_id": "h1", "question": "Who?", "answer": "Rush", "type": "bridge", "level": "hard",
    "supporting_facts": [["B", 0], ["C", 1]],
    "context": [["A", ["a one.", " a two."]], ["B", ["b."]], ["C", ["c.", " d."]]],
}  # fmt: skip
WIKI = HOTPOT | {"evidences": [["B", "director", "D"]], "evidences_id": [], "answer_id": "Q1"}
MUSIQUE = {
    "id": "3hop1__1_2_3", "question": "Where?", "answer": "Stanley",
    "answer_aliases": ["Stanley, ND", "Stanley"], "answerable": True,
    "question_decomposition": [{"id": 1}],
    "paragraphs": [
        {"idx": 7, "title": "P", "paragraph_text": "p", "is_supporting": False},
        {"idx": 3, "title": "Q", "paragraph_text": "q", "is_supporting": True},
    ],
}  # fmt: skip
NQ = {
    "question": "who sings", "answers": ["Kidz Bop", "Sheryl Crow"],
    "ctxs": [{"title": "T", "text": "x", "isgold": False, "hasanswer": True},
             {"title": "U", "text": "y", "isgold": True, "hasanswer": True}],
}  # fmt: skip
CMRC = {
    "version": "v1",
    "data": [{"title": "范廷颂", "id": "D0", "paragraphs": [{
        "id": "D0", "context": "范廷颂于1919年出生。",
        "qas": [{"id": "Q0", "question": "范廷颂是什么时候出生的？",
                 "answers": [{"text": "1919年", "answer_start": 4}, {"text": "1919"}]}],
    }]}],
}  # fmt: skip


def write(tmp_path, content, name="file.json"):
    path = tmp_path / name
    if name.endswith("l"):
        path.write_text("".join(json.dumps(item) + "\n" for item in content), encoding="utf-8")
    else:
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return path


def load(tmp_path, content, name="file.json", **options):
    return load_benchmark(write(tmp_path, content, name), **options)


def test_hotpotqa_golds_are_the_paragraphs_of_the_facts(tmp_path):
    loaded = load(tmp_path, [HOTPOT])
    (sample,) = loaded.samples
    assert loaded.name == "hotpotqa"
    assert (sample.id, sample.golds, sample.kind) == ("h1", ("Rush",), "bridge")
    assert sample.documents[0] == Document("A", "a one. a two.")
    assert sample.documents[0].full == "A\na one. a two."
    assert sample.gold_positions == (1, 2)
    assert sample.extras["supporting_facts"] == [["B", 0], ["C", 1]]
    assert loaded.with_all_golds == 1


def test_hotpotqa_fullwiki_may_lack_golds_and_says_which(tmp_path):
    loaded = load(tmp_path, [HOTPOT | {"context": HOTPOT["context"][:2]}])
    (sample,) = loaded.samples
    assert sample.gold_positions == (1,)
    assert sample.extras["missing_golds"] == ["C"]
    assert loaded.with_all_golds == 0


def test_hotpotqa_in_the_hubs_columns_is_the_same(tmp_path):
    columns = HOTPOT | {
        "context": {"title": ["A", "B", "C"], "sentences": [c[1] for c in HOTPOT["context"]]},
        "supporting_facts": {"title": ["B", "C"], "sent_id": [0, 1]},
    }
    assert load(tmp_path, [columns]).samples == load(tmp_path, [HOTPOT]).samples


def test_2wiki_is_told_by_its_evidence(tmp_path):
    loaded = load(tmp_path, [WIKI], "file.jsonl")
    assert loaded.name == "2wikimultihopqa"
    assert loaded.samples[0].extras["evidence"] == [[["B", "director", "D"]]]


def test_2wiki_aliases_beside_the_file_become_golds(tmp_path):
    entry = {"Q_id": "Q1", "aliases": ["RUSH band"], "demonyms": []}
    other = {"Q_id": "Q9", "aliases": ["Bee"], "demonyms": []}
    write(tmp_path, [entry, other], "id_aliases.jsonl").rename(tmp_path / "id_aliases.json")
    (sample,) = load(tmp_path, [WIKI | {"evidences_id": [["Q9", "director", "Q8"]]}]).samples
    assert sample.golds == ("Rush", "RUSH band")
    assert sample.extras["evidence"] == [[["B", "director", "D"], ["Bee", "director", "D"]]]


def test_musique_keeps_aliases_hops_and_the_scripts_numbers(tmp_path):
    (sample,) = load(tmp_path, [MUSIQUE], "file.jsonl").samples
    assert sample.golds == ("Stanley", "Stanley, ND")
    assert sample.kind == "3hop1"
    assert sample.gold_positions == (1,)
    assert sample.extras["support"] == [3]


def test_musique_question_without_an_answer_is_kept_but_not_scored(tmp_path):
    full = MUSIQUE | {"id": "2hop__9", "answerable": False}
    loaded = load(tmp_path, [MUSIQUE, full], "file.jsonl")
    scored, unanswerable = loaded.samples
    assert (unanswerable.answerable, unanswerable.golds) == (False, ())
    assert score_answer(loaded, unanswerable, "x") == {}
    assert score_answer(loaded, scored, "Stanley, ND")["musique.em"] == 1.0


def test_nq_takes_marked_golds_before_passages_that_hold_the_answer(tmp_path):
    loaded = load(tmp_path, [NQ, NQ], "file.jsonl")
    assert loaded.name == "nq"
    first, second = loaded.samples
    assert first.golds == ("Kidz Bop", "Sheryl Crow")
    assert first.gold_positions == (1,)
    assert first.extras["golds_by"] == "isgold"
    assert first.id != second.id


@pytest.mark.parametrize(
    ("record", "golds", "positions"),
    [
        ({"question": "q", "answer": ["a", "b"]}, ("a", "b"), ()),
        ({"question": "q", "answer": "a"}, ("a",), ()),
        ({"question": "q", "answers": [1874]}, ("1874",), ()),
        ({"question": "q", "answers": ["a"], "ctxs": [{"text": "x", "hasanswer": True}]},
         ("a",), (0,)),
        ({"question": "q", "answers": ["a"], "positive_ctxs": [{"title": "T", "text": "x"}],
          "negative_ctxs": [{"text": "y"}], "hard_negative_ctxs": [{"text": "z"}]}, ("a",), (0,)),
    ],
    ids=["many golds", "one gold", "a number", "hasanswer", "DPR"],
)  # fmt: skip
def test_nq_dialects(tmp_path, record, golds, positions):
    loaded = load(tmp_path, [record, record | {"question": "r"}], "file.jsonl")
    assert loaded.name == "nq"
    assert (loaded.samples[0].golds, loaded.samples[0].gold_positions) == (golds, positions)


@pytest.mark.parametrize(
    ("record", "golds", "positions", "documents"),
    [
        ({"docs": ["x", "y"], "pos_index": [1], "golden_answers": ["a", "b"]}, ("a", "b"), (1,),
         (Document("", "x"), Document("", "y"))),
        ({"docs": [{"title": "T", "text": "x"}], "pos_index": 0, "answer": "a"}, ("a",), (0,),
         (Document("T", "x"),)),
        ({"docs": ["x"], "answer": ["a"]}, ("a",), (), (Document("", "x"),)),
    ],
    ids=["many golds", "titles and one position", "no positions"],
)  # fmt: skip
def test_rows_of_the_authors(tmp_path, record, golds, positions, documents):
    loaded = load(tmp_path, [{"question": "q"} | record])
    (sample,) = loaded.samples
    assert loaded.name == "clara"
    assert (sample.golds, sample.gold_positions, sample.documents) == (golds, positions, documents)


def test_own_rows_keep_id_and_main_gold_first(tmp_path):
    row = {"id": "x1", "question": "q", "docs": ["d"], "gold_answer": "b",
           "golden_answers": ["a", "b"], "pos_index": [0], "provider": "embedded"}  # fmt: skip
    loaded = load(tmp_path, [row], "oracle.jsonl")
    (sample,) = loaded.samples
    assert (loaded.name, sample.id, sample.golds) == ("own", "x1", ("b", "a"))
    assert sample.extras["provider"] == "embedded"


def test_chinese_reading_is_scored_by_its_script_and_by_character(tmp_path):
    loaded = load(tmp_path, CMRC)
    (sample,) = loaded.samples
    assert loaded.name == "cmrc2018"
    assert loaded.is_chinese
    assert (sample.golds, sample.gold_positions) == (("1919年", "1919"), (0,))
    assert sample.documents == (Document("范廷颂", "范廷颂于1919年出生。"),)
    assert answer_metrics(loaded)["cjk"] == ("open.em", "open.f1", "open.contains")
    scores = score_answer(loaded, sample, "他在1919年出生")
    assert scores["open.contains"] == 1.0
    assert scores["clara.acc"] == 0.0  # words parted by spaces: blind here


def test_first_form_of_cmrc_and_flat_rows_of_the_hub(tmp_path):
    first = [
        {
            "context_id": "T0",
            "context_text": "北京在北方。",
            "title": "北京",
            "qas": [{"query_id": "T0Q", "query_text": "北京在哪里？", "answers": ["北方"]}],
        }
    ]
    flat = [{"id": "T0Q", "context": "北京在北方。", "title": "北京", "question": "北京在哪里？",
             "answers": {"text": ["北方"], "answer_start": [3]}}]  # fmt: skip
    assert load(tmp_path, first).samples == load(tmp_path, flat).samples
    assert load(tmp_path, first).name == "cmrc2018"


def test_squad_2_question_without_an_answer_wants_silence(tmp_path):
    paragraph = {"context": "Rain fell.", "qas": [
        {"id": "1", "question": "What fell?", "answers": [{"text": "Rain"}],
         "is_impossible": False},
        {"id": "2", "question": "Who fell?", "answers": [], "is_impossible": True},
    ]}  # fmt: skip
    loaded = load(tmp_path, {"data": [{"title": "T", "paragraphs": [paragraph]}]})
    assert loaded.name == "squad2"
    _, impossible = loaded.samples
    assert score_answer(loaded, impossible, "") == {"squad2.em": 1.0, "squad2.f1": 1.0}
    assert score_answer(loaded, impossible, "Rain") == {"squad2.em": 0.0, "squad2.f1": 0.0}


def test_broken_records_are_set_aside_with_place_and_reason(tmp_path):
    path = tmp_path / "bad.jsonl"
    bad = [
        {k: v for k, v in HOTPOT.items() if k != "answer"},
        HOTPOT | {"_id": "h2", "question": " "},
        HOTPOT | {"_id": "h3", "context": [["A"]]},
        HOTPOT | {"_id": "h4", "supporting_facts": []},
        HOTPOT,
    ]
    lines = [json.dumps(HOTPOT), '{"_id": "torn', *(json.dumps(record) for record in bad), "[1]"]
    path.write_text("\n".join(lines), encoding="utf-8")
    loaded = load_benchmark(path)
    assert [sample.id for sample in loaded.samples] == ["h1"]
    reasons = {item.place: item.reason for item in loaded.set_aside}
    assert "not JSON" in reasons["line 2"]
    assert "answer is missing" in reasons["line 3"]
    assert "question is empty" in reasons["line 4"]
    assert "[title, sentences] pair" in reasons["line 5"]
    assert "supporting_facts is missing" in reasons["line 6"]
    assert "id h1 was there before" in reasons["line 7"]
    assert "not a JSON object" in reasons["line 8"]


def test_gzip_and_limit(tmp_path):
    records = [HOTPOT | {"_id": str(i)} for i in range(5)]
    path = tmp_path / "f.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, records)).encode()))
    assert [s.id for s in load_benchmark(path, limit=2).samples] == ["0", "1"]


def test_name_finds_the_one_file_of_a_folder(tmp_path):
    write(tmp_path, [HOTPOT], "a.json")
    write(tmp_path, [MUSIQUE], "b.jsonl")
    assert load_benchmark("musique", folder=tmp_path).path.name == "b.jsonl"
    write(tmp_path, [MUSIQUE], "c.jsonl")
    with pytest.raises(ConfigError, match="several files are musique"):
        load_benchmark("musique", folder=tmp_path)
    with pytest.raises(ConfigError, match="no file is nq"):
        load_benchmark("nq", folder=tmp_path)
    with pytest.raises(ConfigError, match="neither a file nor a benchmark"):
        load_benchmark("nonsense", folder=tmp_path)


@pytest.mark.parametrize("text", ["", "\n\n", "hello", "{", '{"x": 1}', "[]"])
def test_file_without_questions_is_refused(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"x\.json"):
        load_benchmark(path)


def test_key_tells_other_questions_and_other_versions(tmp_path):
    one, same = load(tmp_path, [HOTPOT]), load(tmp_path, [HOTPOT], "other.jsonl")
    assert one.key == same.key
    assert load(tmp_path, [HOTPOT | {"answer": "rush"}]).key != one.key


def test_every_benchmark_names_paper_source_fields_and_known_metrics():
    from clara_model.evaluation.metrics import METRIC_NAMES

    for spec in SPECS.values():
        assert spec.citation
        assert spec.source
        assert spec.fields
        assert spec.version >= 1
        assert set(spec.metrics + spec.fact_metrics) <= set(METRIC_NAMES)
