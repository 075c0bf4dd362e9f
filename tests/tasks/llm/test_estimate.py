"""Estimates: the protocol's calls, counted by hand, for texts that are small enough for that."""

from __future__ import annotations

import json

import pytest

from configs.schema import PipelineConfig
from flows.estimate import show_estimate
from tasks.llm.estimate import (
    count_images,
    estimate_captions,
    estimate_synthesis,
    find_texts,
)
from tasks.llm.estimate_mining import (
    estimate_duplicates,
    estimate_mining,
    estimate_remining,
    find_questions,
)
from tasks.workspace import Workspace

PLAIN = {
    "provider": "custom", "base_url": "http://127.0.0.1:1/v1", "model": "writer",
    "models": {"verification": "judge"}, "complex_questions": 0, "paraphrase": False,
    "joint_share": 0, "cross_lingual_share": 0, "unanswerable_share": 0,
}  # fmt: skip

TWO_FACTS = "The bridge was opened in the year 1987. It was painted red by its founder. Red."


def config(tmp_path, **synthesis):
    return PipelineConfig.model_validate(
        {"workspace": tmp_path, "extraction": {"input": tmp_path}, "synthesis": PLAIN | synthesis}
    )


def write_passages(tmp_path, *texts):
    lines = (json.dumps({"id": str(i), "text": text}) for i, text in enumerate(texts))
    (tmp_path / "passages.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def estimate(settings):
    lines = estimate_synthesis(settings, find_texts(settings, Workspace(settings.workspace)))
    return {(line.step, line.model): line for line in lines}


def mining(settings, find=estimate_mining):
    workspace = Workspace(settings.workspace)
    questions = find_questions(settings, find_texts(settings, workspace), workspace)
    return {line.model: line for line in find(settings, questions)}


def test_simple_questions_of_ten_passages(tmp_path):
    """Facts once; questions, answers, check and coverage one and a quarter times each."""
    write_passages(tmp_path, *[TWO_FACTS] * 10)
    lines = estimate(config(tmp_path))
    assert lines["synthesize", "writer"].calls == 10 * 1 + 12.5 + 12.5
    assert lines["synthesize", "judge"].calls == 12.5 + 12.5


def test_paraphrase_and_complex_questions_add_their_calls(tmp_path):
    write_passages(tmp_path, *[TWO_FACTS] * 20)
    lines = estimate(config(tmp_path, paraphrase=True, complex_questions=2))
    assert lines["synthesize", "writer"].calls == 20 * 1 + 25 + 25 + 25 + 2 * 25
    assert lines["synthesize", "judge"].calls == 25 + 25 + 25 + 25


def test_teacher_is_asked_about_training_rows_only(tmp_path):
    """Two one-fact questions a passage, a fifth of the sources held out."""
    write_passages(tmp_path, *[TWO_FACTS] * 10)
    lines = mining(config(tmp_path, teacher=True, benchmark_share=0.2))
    assert lines["writer"].calls == 10 * 2 * 0.8


def with_negatives(settings, **negatives):
    values = settings.model_dump(mode="json")
    return PipelineConfig.model_validate(values | {"negatives": {"num_candidates": 5, **negatives}})


def test_judge_looks_once_at_every_question_and_again_at_what_was_replaced(tmp_path):
    """Twenty questions, a quarter of them with a second look at a single passage."""
    write_passages(tmp_path, *[TWO_FACTS] * 10)
    judge = {"base_url": "http://127.0.0.1:1/v1", "model": "referee",
             "prices": {"referee": {"prompt": 1e6, "completion": 0.0}}}  # fmt: skip
    settings = with_negatives(config(tmp_path, benchmark_share=0.2), llm_check=True, judge=judge)
    line = mining(settings)["referee"]
    assert line.calls == 20 + 5
    # A passage is 80 signs, so 20 tokens; four of them in a look, one in a second one.
    passages = 20 * 4 * 20 + 5 * 20
    assert passages < line.prompt_tokens < passages + 25 * 120
    assert line.cost_usd == pytest.approx(line.prompt_tokens)
    # With memories the training questions are looked at once more: four fifths.
    assert mining(settings, estimate_remining)["referee"].calls == 20
    without = with_negatives(config(tmp_path))
    assert mining(without) == mining(without, estimate_remining) == {}


def test_few_passages_leave_few_to_look_at(tmp_path):
    write_passages(tmp_path, *[TWO_FACTS] * 2)
    few = with_negatives(config(tmp_path), llm_check=True)
    # One negative each, in the first look as in the second.
    assert mining(few)["judge"].calls == 4 + 1


def test_embeddings_are_of_each_passage_and_question_once(tmp_path):
    """200 passages and 400 questions, 64 a request; repeats are looked for among questions."""
    write_passages(tmp_path, *[TWO_FACTS] * 200)
    vectors = {"base_url": "http://127.0.0.1:1/v1", "model": "vectors",
               "prices": {"vectors": {"prompt": 1e6, "completion": 0.0}}}  # fmt: skip
    both = with_negatives(
        config(tmp_path, embedding=vectors), dense=vectors, strategies={"dense": 1.0}
    )
    line = mining(both)["vectors"]
    assert line.calls == 7 + 4
    assert line.completion_tokens == 0
    assert line.cost_usd == line.prompt_tokens
    (repeats,) = mining(both, estimate_duplicates).values()
    assert (repeats.step, repeats.calls) == ("synthesize", 7)
    assert line.prompt_tokens - repeats.prompt_tokens == 200 * 20
    here = with_negatives(
        config(tmp_path), dense={"local_model": "folder"}, strategies={"dense": 1.0}
    )
    assert mining(here) == {}  # nothing is sent


def test_written_questions_are_better_than_assumed_ones(tmp_path):
    """Three of them were written, where twenty are assumed."""
    write_passages(tmp_path, *[TWO_FACTS] * 10)
    row = {"passage_id": "0", "simple": [{}, {}], "unanswerable": [{}], "paraphrase": "x"}
    (tmp_path / "synthesis.jsonl").write_text(json.dumps(row) + "\n")
    settings = with_negatives(config(tmp_path), llm_check=True)
    assert mining(settings)["judge"].calls == round(3 * 1.25)


def test_joint_questions_cost_nothing_where_a_row_shows_one_document(tmp_path):
    write_passages(tmp_path, *[TWO_FACTS] * 10)
    settings = config(tmp_path, joint_share=1.0)
    two = estimate(settings.model_copy(update={"model": _with_top_k(settings, 2)}))
    one = estimate(settings.model_copy(update={"model": _with_top_k(settings, 1)}))
    assert one == estimate(config(tmp_path))
    assert two["synthesize", "writer"].calls == one["synthesize", "writer"].calls + 20


def _with_top_k(settings, top_k):
    return settings.model.model_copy(update={"generation_top_k": top_k})


def test_cost_is_tokens_times_price_and_unknown_without_one(tmp_path):
    write_passages(tmp_path, TWO_FACTS)
    lines = estimate(config(tmp_path, prices={"writer": {"prompt": 1e6, "completion": 2e6}}))
    writer = lines["synthesize", "writer"]
    assert writer.cost_usd == pytest.approx(
        writer.prompt_tokens + 2 * writer.completion_tokens, abs=3
    )
    assert lines["synthesize", "judge"].cost_usd is None


def test_many_passages_are_sampled_and_scaled(tmp_path):
    write_passages(tmp_path, *["The bridge was opened in the year 1987."] * 1000)
    settings = config(tmp_path)
    source = find_texts(settings, Workspace(tmp_path))
    assert (source.number, len(source.texts)) == (1000, 334)
    assert estimate(settings)["synthesize", "writer"].calls == 3500


def test_longer_passages_cost_more(tmp_path):
    write_passages(tmp_path, "The bridge was opened in the year 1987. " * 2)
    short = estimate(config(tmp_path))["synthesize", "writer"]
    write_passages(tmp_path, "The bridge was opened in the year 1987. " * 12)
    long = estimate(config(tmp_path))["synthesize", "writer"]
    assert long.calls == short.calls
    assert long.prompt_tokens > short.prompt_tokens
    assert long.completion_tokens > 5 * short.completion_tokens


def test_before_extraction_sizes_of_files_are_all_there_is(tmp_path):
    # 102,400 characters; passages of 256 tokens hold about 205 of them, 819 characters.
    (tmp_path / "notes.txt").write_text("x" * 102_400)
    (tmp_path / "chart.png").write_bytes(b"not looked into")
    settings = config(tmp_path)
    source = find_texts(settings, Workspace(tmp_path))
    assert source.number == 125
    assert "rough" in source.origin
    assert count_images(settings, Workspace(tmp_path))[0] == 1


def test_extracted_texts_are_better_than_sizes(tmp_path):
    row = {"content": "word " * 819, "extracted_images": ["a.png", "b.png"]}
    (tmp_path / "raw_knowledge.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps(row)}\n")
    settings = config(tmp_path)
    assert find_texts(settings, Workspace(tmp_path)).number == 10  # 1024 tokens each: 5 passages
    assert count_images(settings, Workspace(tmp_path))[0] == 2


def test_captions_are_priced_by_picture(tmp_path):
    settings = PipelineConfig.model_validate(
        {"captioning": {"provider": "openai", "models": {"vision": "gpt-4o"}}}
    ).captioning
    (line,) = estimate_captions(settings, 1000)
    assert (line.model, line.calls) == ("gpt-4o", 1000)
    assert 1_100_000 < line.prompt_tokens < 1_800_000
    assert line.cost_usd == pytest.approx(
        (line.prompt_tokens * 2.5 + line.completion_tokens * 10) / 1e6
    )


def test_shown_as_json_and_as_a_table_without_a_request(tmp_path, capsys):
    write_passages(tmp_path, *[TWO_FACTS] * 10)
    (tmp_path / "c.yaml").write_text(
        f"workspace: {tmp_path}\nextraction: {{input: {tmp_path}}}\n"
        "synthesis: {provider: openai, api_key: '${NOT_SET}', models: {teacher: other}}\n"
    )
    show_estimate(("caption", "synthesize"), tmp_path / "c.yaml", (), as_json=True)
    record = json.loads(capsys.readouterr().out)
    assert record["unknown_prices"] == []
    assert record["cost_usd"] > 0
    assert {line["model"] for line in record["lines"]} == {"gpt-4.1-mini"}
    overrides = ["synthesis.teacher=true"]
    show_estimate(("synthesize", "mine", "remine"), tmp_path / "c.yaml", overrides, as_json=False)
    page = capsys.readouterr().out
    assert "unknown" in page
    assert "without other, whose price is not known" in page
    assert "10 passages, from passages.jsonl" in page
