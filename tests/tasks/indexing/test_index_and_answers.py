from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny_workspace import tiny_config, tiny_workspace

from clara_model.answering import answer
from clara_model.errors import CheckpointError, DataError
from tasks.indexing.build import build_index, load_model, open_answering
from tasks.storage import StepResult, write_jsonl
from tasks.workspace import Workspace

PASSAGES = [
    {"id": "p1", "source": "a.pdf", "page": 3, "heading": "Harbour", "text": "Osterly has a port."},
    {"id": "p2", "source": "b.md", "page": None, "heading": "", "text": "茶园在云台山。"},
    {"id": "p3", "source": "b.md", "page": None, "text": "The ferry sails at noon."},
    {"id": "p4", "source": "c.docx", "page": 1, "heading": "x", "text": "Osterly has a port."},
]


@pytest.fixture(scope="module")
def indexed(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, StepResult]:
    workspace = tiny_workspace(tmp_path_factory.mktemp("indexed"), shared, questions=2)
    write_jsonl(workspace.passages, PASSAGES)
    return workspace, build_index(tiny_config(workspace), workspace)


def test_counts_say_what_a_passage_costs(indexed: tuple[Workspace, StepResult]) -> None:
    workspace, result = indexed
    config = load_model(workspace).config
    assert result.counts["passages"] == 4
    assert result.counts["sources"] == 3
    assert result.counts["memory_vectors_per_passage"] == config.num_memory_tokens
    assert result.counts["bytes_per_passage"] % config.num_memory_tokens == 0


def test_search_agrees_with_cosines_computed_directly(
    indexed: tuple[Workspace, StepResult],
) -> None:
    model, index = open_answering(indexed[0])
    questions = ["When does the ferry sail?", "云台山有什么？"]
    queries = model.represent_queries(questions)
    memory = model.compress_documents([row["text"] for row in PASSAGES]).flatten(1)
    expected = F.normalize(queries, dim=1) @ F.normalize(memory, dim=1).T
    for hits, row in zip(index.search(queries, 4), expected, strict=True):
        assert [hit.score for hit in hits] == pytest.approx(
            row.sort(descending=True).values.tolist(), abs=1e-5
        )
        assert {hit.passage.id for hit in hits} == {"p1", "p2", "p3", "p4"}


def test_passages_of_equal_text_keep_their_order(indexed: tuple[Workspace, StepResult]) -> None:
    model, index = open_answering(indexed[0])
    (hits,) = index.search(model.represent_queries(["Osterly?"]), 4)
    ids = [hit.passage.id for hit in hits]
    assert ids.index("p4") == ids.index("p1") + 1


def test_search_in_blocks_finds_the_same(
    indexed: tuple[Workspace, StepResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, index = open_answering(indexed[0])
    queries = model.represent_queries(["noon?"])
    whole = index.search(queries, 4)
    monkeypatch.setattr("clara_model.index._BLOCK", 3)
    assert index.search(queries, 4) == whole


def test_answer_cites_what_the_generator_read(indexed: tuple[Workspace, StepResult]) -> None:
    model, index = open_answering(indexed[0])
    k = model.config.generation_top_k
    found = answer("When does the ferry sail?", model, index, top_n=4, max_new_tokens=4)
    assert len(found.candidates) == 4
    assert found.citations == found.candidates[:k]
    assert [c.score for c in found.candidates] == sorted(
        (c.score for c in found.candidates), reverse=True
    )
    first = next(c for c in found.candidates if c.passage_id == "p1")
    assert (first.source, first.page, first.heading) == ("a.pdf", 3, "Harbour")
    memory = torch.stack([index.store.lookup([c.text])[0] for c in found.citations])
    (direct,) = model.generate_from_memory(["When does the ferry sail?"], memory.unsqueeze(0), 4)
    assert found.text == direct.strip()


def test_index_smaller_than_k_answers_from_what_there_is(shared: Path, tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path, shared, questions=2)
    write_jsonl(workspace.passages, PASSAGES[:1])
    build_index(tiny_config(workspace), workspace)
    model, index = open_answering(workspace)
    assert len(answer("Port?", model, index, max_new_tokens=2).citations) == 1


def test_empty_question_is_refused(indexed: tuple[Workspace, StepResult]) -> None:
    model, index = open_answering(indexed[0])
    with pytest.raises(DataError, match="question is empty"):
        answer("  ", model, index)


def test_missing_index_names_the_command(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="clara index"):
        open_answering(tiny_workspace(tmp_path, shared, questions=2))


def test_passage_without_text_is_named(shared: Path, tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path, shared, questions=2)
    write_jsonl(workspace.passages, [PASSAGES[0], {"id": "p9", "text": " "}])
    with pytest.raises(DataError, match=r"passages\.jsonl:2"):
        build_index(tiny_config(workspace), workspace)
