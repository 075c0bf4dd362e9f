"""Documents to passages: captions, pages, duplicates, the held-out split, stable ids and bytes."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from clara_model.errors import DataError
from configs.schema import PipelineConfig
from tasks.passages.chunk import choose_held_out, make_passages
from tasks.storage import read_records, write_jsonl
from tasks.workspace import Workspace

MARK = "[IMAGE_REF: extracted_assets/a.png]"


@pytest.fixture
def workspace(tmp_path):
    """A tokenizer that counts words and marks apart: "It rings." is 3 tokens."""
    workspace = Workspace(tmp_path / "workspace")
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    (workspace.models / "tokenizer").mkdir(parents=True)
    tokenizer.save(str(workspace.models / "tokenizer" / "tokenizer.json"))
    write_jsonl(workspace.captions, [])
    return workspace


def document(name, content, page_starts=()):
    return {"file_path": name, "content": content, "page_starts": [list(p) for p in page_starts]}


def run(workspace, *documents, limit=16, share=0.2, seed=0):
    write_jsonl(workspace.raw_knowledge, documents)
    config = PipelineConfig.model_validate(
        {
            "seed": seed,
            "model": {"doc_max_length": limit, "compr_rate": 1},
            "synthesis": {"benchmark_share": share},
        }
    )
    return make_passages(config, workspace), read_records(workspace.passages)


def test_passage_tells_source_page_heading_language_and_tokens(workspace):
    content = "# Town\n\n## Mill\n\nIt rings.\n\n## 桥\n\n它建于1904年。"
    result, rows = run(
        workspace, document("a.pdf", content, [(1, 0), (2, content.index("## 桥"))]), limit=40
    )
    for row in rows:
        assert len(row.pop("id")) == 16
    assert rows == [
        {
            "source": "a.pdf", "page": 1, "box": None, "heading": "Town > Mill",
            "text": "Town > Mill\nIt rings.", "language": "en", "tokens": 6, "split": "train",
        },
        {
            "source": "a.pdf", "page": 2, "box": None, "heading": "Town > 桥",
            "text": "Town > 桥\n它建于1904年。", "language": "zh", "tokens": 5, "split": "train",
        },
    ]  # fmt: skip
    assert result.counts == {
        "passages": 2, "documents": 1, "benchmark_documents": 0, "tokens_mean": 5.5, "rejected": 0,
    }  # fmt: skip


def test_caption_stands_in_the_place_of_its_mark(workspace):
    write_jsonl(
        workspace.captions,
        [
            {"image": "extracted_assets/a.png", "status": "captioned", "caption": "Rain by month."},
            {"image": "extracted_assets/b.png", "status": "failed", "caption": ""},
        ],
    )
    other = "[IMAGE_REF: extracted_assets/b.png]"
    _, (row,) = run(workspace, document("a.md", f"One.\n\n{MARK}\n\nTwo.\n\n{other}"), limit=40)
    assert row["text"] == "One. Figure: Rain by month. Two. [figure]"
    assert row["page"] is None


def test_pages_are_right_after_captions_moved_the_text(workspace):
    caption = "A long caption of very many words that moves all text behind it far away."
    write_jsonl(
        workspace.captions,
        [{"image": "extracted_assets/a.png", "status": "captioned", "caption": caption}],
    )
    pages = [
        f"# One\n\n{MARK}\n\n",
        "# Two\n\nText two.\n\n",
        f"{MARK}\n\n# Four\n\n",
        "Text four.",
    ]
    starts = [0]
    for page in pages[:-1]:
        starts.append(starts[-1] + len(page))
    _, rows = run(
        workspace,
        document("a.pdf", "".join(pages), [(n, s) for n, s in enumerate(starts, start=1)]),
        limit=40,
    )
    assert [(row["page"], row["text"]) for row in rows] == [
        (1, f"One\nFigure: {caption}"),
        (2, f"Two\nText two. Figure: {caption}"),
        (4, "Four\nText four."),
    ]


def test_passage_knows_the_box_around_its_blocks_on_the_page_where_it_begins(workspace):
    write_jsonl(
        workspace.captions,
        [{"image": "extracted_assets/a.png", "status": "captioned", "caption": "Rain by month."}],
    )
    blocks = [
        (f"{MARK}\n\n", 1, 10.0, 20.0, 90.0, 60.0),
        ("One two.\n\n", 1, 12.0, 65.0, 80.0, 75.0),
        ("# Mill\n\n", 1, 10.0, 80.0, 40.0, 90.0),
        ("It rings.\n\n", 1, 10.0, 95.0, 70.0, 99.0),
        ("It turns.\n\n", 2, 5.0, 6.0, 7.0, 8.0),
        ("# End\n\nLast.", 2),
    ]
    content, places = "", []
    for text, *place in blocks:
        places.append([len(content), *place])
        content += text
    given = document("a.pdf", content, [(1, 0), (2, places[4][0])]) | {"places": places}
    _, rows = run(workspace, given, limit=40)
    assert [(row["text"], row["page"], row["box"]) for row in rows] == [
        ("Figure: Rain by month. One two.", 1, [10.0, 20.0, 90.0, 75.0]),
        ("Mill\nIt rings. It turns.", 1, [10.0, 95.0, 70.0, 99.0]),
        ("End\nLast.", 2, None),
    ]


def test_passage_of_a_picture_file_without_pages_has_its_box_too(workspace):
    """A scan's mark covers the whole picture; its paragraphs stand somewhere on it."""
    content = "A line.\n\nAnother."
    places = [[0, 1, 10.0, 20.0, 900.0, 60.0], [9, 1, 10.0, 70.0, 800.0, 90.0]]
    given = document("scan.png", content) | {"places": places, "source_type": "image"}
    _, (row,) = run(workspace, given, limit=40)
    assert (row["page"], row["box"]) == (None, [10.0, 20.0, 900.0, 90.0])


def test_caption_at_the_end_of_a_page_does_not_run_into_the_next(workspace):
    first = f"Text one.\n\n{MARK}\n\n"
    content = first + "Text two."
    _, (row,) = run(workspace, document("a.pdf", content, [(1, 0), (2, len(first))]))
    assert row["text"] == "Text one. [figure] Text two."


def test_sentence_across_a_page_break_stays_whole(workspace):
    content = "The mill was built in 1904 by Ash."
    _, (row,) = run(workspace, document("a.pdf", content, [(1, 0), (2, 14)]))
    assert (row["text"], row["page"]) == (content, 1)


def test_no_passage_exceeds_the_limit_of_the_real_tokenizer(workspace):
    content = " ".join(f"House {i}, by the river, costs {i}.5 crowns." for i in range(40))
    result, rows = run(workspace, document("a.txt", content), limit=16)
    assert max(row["tokens"] for row in rows) <= 16
    # "House 1, by the river, costs 1.5 crowns." is 12 tokens: one sentence a passage.
    assert len(rows) == 40
    assert result.rejects == ()


def test_same_text_is_kept_once_and_the_other_told(workspace):
    result, rows = run(
        workspace, document("a.md", "It rings.  Now."), document("b.md", "it RINGS. now.")
    )
    assert [row["source"] for row in rows] == ["a.md"]
    (reject,) = result.rejects
    assert reject.step == "passages"
    assert reject.reason == f"the same text as passage {rows[0]['id']}"
    assert result.counts["rejected"] == 1


def test_piece_that_no_passage_holds_is_told(workspace):
    long = " ".join(f"w{i}" for i in range(9))
    result, rows = run(workspace, document("a.md", f"It rings.\n\n{long}."), limit=8)
    assert [row["text"] for row in rows] == ["It rings."]
    (reject,) = result.rejects
    assert reject.item == f"a.md: {long}."
    assert reject.reason == "10 tokens in one piece, more than a passage holds"


def test_split_is_by_source_with_a_document_on_each_side(workspace):
    documents = [
        document(f"{n}.md", f"# One {n}\n\nText one of {n}.\n\n# Two {n}\n\nText two of {n}.")
        for n in range(5)
    ]
    result, rows = run(workspace, *documents, share=0.4)
    sides = {}
    for row in rows:
        sides.setdefault(row["source"], set()).add(row["split"])
    assert all(len(side) == 1 for side in sides.values())
    assert sorted(side.pop() for side in sides.values()) == ["benchmark"] * 2 + ["train"] * 3
    assert result.counts["benchmark_documents"] == 2


def test_ids_do_not_depend_on_other_documents_or_the_seed(workspace):
    one, two = document("a.md", "It rings."), document("b.md", "It stops.")
    _, rows = run(workspace, one, two)
    _, again = run(workspace, two, document("c.md", "New."), one, seed=7)
    ids = {row["source"]: row["id"] for row in rows}
    assert {row["source"]: row["id"] for row in again if row["source"] in ids} == ids
    assert len({row["id"] for row in again}) == 3


def test_same_input_gives_the_same_bytes(workspace):
    documents = [document(f"{n}.md", f"Text of {n}. More of {n}.") for n in range(6)]
    run(workspace, *documents)
    first = workspace.passages.read_bytes()
    run(workspace, *documents)
    assert workspace.passages.read_bytes() == first


def test_documents_without_text_are_an_error(workspace):
    with pytest.raises(DataError, match="no document holds any text"):
        run(workspace, document("a.md", "\n\n"))
    assert not workspace.passages.exists()


def test_missing_tokenizer_is_named(workspace):
    path = workspace.models / "tokenizer" / "tokenizer.json"
    path.unlink()
    with pytest.raises(DataError, match=str(path)):
        run(workspace, document("a.md", "It rings."))


@pytest.mark.parametrize(
    ("sources", "share", "held"),
    [(5, 0.2, 1), (5, 0.5, 2), (10, 0.3, 3), (3, 0.01, 1), (3, 0.99, 2), (2, 0.5, 1),
     (1, 0.5, 0), (0, 0.5, 0), (5, 0.0, 0)],
)  # fmt: skip
def test_number_of_held_out_sources(sources, share, held):
    names = [f"{n}.md" for n in range(sources)]
    chosen = choose_held_out([[name] for name in names], share, seed=0)
    assert len(chosen) == held
    assert chosen <= set(names)


def test_held_out_sources_follow_the_seed_not_the_order():
    names = [[f"{n}.md"] for n in range(20)]
    assert choose_held_out(names, 0.3, 1) == choose_held_out(names[::-1], 0.3, 1)
    assert len({frozenset(choose_held_out(names, 0.3, seed)) for seed in range(5)}) > 1


def test_versions_of_one_document_are_held_out_together(workspace):
    bells = " ".join(f"Bell number {n} of the old tower rings at {n} o'clock." for n in range(12))
    boats = " ".join(f"Boat {n} of the harbour leaves at {n} each day." for n in range(12))
    documents = [document("v1.md", bells), document("v2.md", bells.replace("old", "tall", 4)),
                 document("boats.md", boats)]  # fmt: skip
    for seed in range(4):
        _, rows = run(workspace, *documents, seed=seed)
        sides = {row["source"]: row["split"] for row in rows}
        assert sides["v1.md"] == sides["v2.md"]
        assert set(sides.values()) == {"train", "benchmark"}


def test_a_group_too_large_for_the_share_is_passed_over():
    groups = [[f"v{n}" for n in range(8)], ["a"], ["b"]]
    assert {len(choose_held_out(groups, 0.1, seed)) for seed in range(8)} == {1}


def test_signs_that_could_not_be_read_are_no_end_of_a_passage(workspace):
    content = "\ufffd \ufffd It rings at nine and caf\ufffds open then.\ufffd"
    _, rows = run(workspace, document("a.txt", content), document("b.txt", "\ufffd\ufffd"))
    assert [row["text"] for row in rows] == ["It rings at nine and caf\ufffds open then."]
