import pytest
import torch

from clara_model import ClaraConfig
from clara_model.batches import collate
from clara_model.encoding import extend_tokenizer
from clara_model.errors import DataError
from clara_model.prompts import PARAPHRASE_INSTRUCTIONS

CONFIG = ClaraConfig(doc_max_length=12, compr_rate=4, generation_top_k=2)


@pytest.fixture
def tokenizer(tiny_tokenizer):
    built = tiny_tokenizer(pad=True)
    extend_tokenizer(built, CONFIG)
    return built


def qa_row(document: str) -> dict:
    return {"data_type": "qa", "question": ["a?", "b?"], "answers": ["A", "B"], "docs": [document]}


def paraphrase_row(document: str) -> dict:
    return {"data_type": "paraphrase", "question": [""], "answers": ["anew"], "docs": [document]}


def question_row(documents: list[str], question: str = "Where?") -> dict:
    return {
        "question": question,
        "docs": documents,
        "gold_answer": "gold",
        "answer": "teacher",
        "pos_index": [0],
    }


def labelled_text(batch: dict, tokenizer) -> list[str]:
    return [tokenizer.decode([i for i in row if i >= 0]) for row in batch["labels"].tolist()]


def test_stage1_labels_hold_all_pairs_of_a_row(tokenizer, documents) -> None:
    rows = [qa_row(documents[0]), paraphrase_row(documents[3])]
    batch = collate(rows, tokenizer, CONFIG, stage="stage1", generator_seed=0)
    assert labelled_text(batch, tokenizer) == [
        "Question: a?\nAnswer: A\nQuestion: b?\nAnswer: B<|end|>\n",
        "anew<|end|>\n",
    ]
    assert batch["enc_input_ids"].shape == (2, 18)


def test_padding_is_on_the_left_and_masked(tokenizer, documents) -> None:
    rows = [qa_row(documents[0]), paraphrase_row(documents[3])]
    batch = collate(rows, tokenizer, CONFIG, stage="stage1", generator_seed=0)
    for part in ("enc", "dec"):
        ids, mask = batch[f"{part}_input_ids"], batch[f"{part}_attention_mask"]
        assert torch.equal(mask, mask.sort(dim=1).values)
        assert (ids[mask == 0] == tokenizer.pad_token_id).all()
        assert mask.sum(dim=1).max() == ids.shape[1]
    assert (batch["labels"][batch["dec_attention_mask"] == 0] == -100).all()


def test_paraphrase_instruction_depends_on_the_seed_alone(tokenizer, documents) -> None:
    def drawn(seed: int) -> str:
        batch = collate(
            [paraphrase_row(documents[0])], tokenizer, CONFIG, stage="stage1", generator_seed=seed
        )
        text = tokenizer.decode(batch["dec_input_ids"][0])
        return next(i for i in PARAPHRASE_INSTRUCTIONS if i in text)

    assert [drawn(seed) for seed in range(8)] == [drawn(seed) for seed in range(8)]
    assert len({drawn(seed) for seed in range(8)}) > 2


def test_stage2_has_a_slot_for_each_document_and_the_teachers_answer(tokenizer, documents) -> None:
    rows = [question_row(documents[:3]), question_row(documents[:1])]
    batch = collate(rows, tokenizer, CONFIG, stage="stage2", generator_seed=0)
    first = tokenizer.convert_tokens_to_ids("<MEM0>")
    assert (batch["dec_input_ids"] == first).sum(dim=1).tolist() == [3, 1]
    assert batch["enc_input_ids"].shape[0] == 4
    assert labelled_text(batch, tokenizer) == ["teacher<|end|>\n"] * 2


def test_stage3_has_k_slots_all_candidates_and_the_gold_answer(tokenizer, documents) -> None:
    rows = [question_row(documents), question_row(documents, "Which city?")]
    batch = collate(rows, tokenizer, CONFIG, stage="stage3", generator_seed=0)
    first = tokenizer.convert_tokens_to_ids("<MEM0>")
    assert (batch["dec_input_ids"] == first).sum(dim=1).tolist() == [2, 2]
    assert batch["enc_input_ids"].shape[0] == 8
    assert batch["query_input_ids"].shape[0] == 2
    assert labelled_text(batch, tokenizer) == ["gold<|end|>\n"] * 2


def test_stage3_memories_stand_in_for_documents(tokenizer, documents) -> None:
    rows = [question_row(documents) | {"document_memory": torch.full((4, 3, 8), i)} for i in (1, 2)]
    batch = collate(rows, tokenizer, CONFIG, stage="stage3", generator_seed=0)
    assert "enc_input_ids" not in batch
    assert batch["document_memory"].shape == (2, 4, 3, 8)
    assert batch["document_memory"][:, 0, 0, 0].tolist() == [1, 2]


def test_unequal_or_too_few_candidates_are_refused(tokenizer, documents) -> None:
    with pytest.raises(DataError, match=r"\[3, 4\] candidates"):
        collate(
            [question_row(documents), question_row(documents[:3])],
            tokenizer,
            CONFIG,
            stage="stage3",
            generator_seed=0,
        )
    with pytest.raises(DataError, match="fewer than generation_top_k=2"):
        collate([question_row(documents[:1])], tokenizer, CONFIG, stage="stage3", generator_seed=0)
    with pytest.raises(DataError, match="no rows"):
        collate([], tokenizer, CONFIG, stage="stage1", generator_seed=0)
