"""What each stage trains, and what nothing may change."""

import pytest
import torch

from clara_model import Clara
from clara_model.batches import collate
from clara_model.errors import CheckpointError, ConfigError, DataError
from clara_model.modeling.adapters import DECODER, ENCODER, QUERY_REASONER


def question_rows(documents: list[str]) -> list[dict]:
    row = {"docs": documents, "answer": "Kelso", "gold_answer": "Kelso", "pos_index": [1]}
    return [row | {"question": "Where is Heron Mills?"}, row | {"question": "Who is Tom Ash?"}]


def batch_for(model, stage: str, documents: list[str]) -> dict[str, torch.Tensor]:
    rows = question_rows(documents)
    if stage == "stage1":
        rows = [
            {"data_type": "qa", "question": ["Where?"], "answers": ["Kelso"], "docs": [d]}
            for d in documents
        ]
    return collate(rows, model.tokenizer, model.config, stage=stage, generator_seed=0)


def snapshot(model) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@pytest.mark.parametrize("tie_word_embeddings", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("stage", ["stage1", "stage2", "stage3"])
def test_a_step_with_weight_decay_moves_the_stages_own_weights_only(
    tiny_clara, documents, stage: str, tie_word_embeddings: bool
) -> None:
    model = tiny_clara(stage=stage, tie_word_embeddings=tie_word_embeddings)
    before = snapshot(model)
    parameters = [p for _, p in model.trainable_parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.5)
    model(stage=stage, **batch_for(model, stage, documents)).loss.backward()
    optimizer.step()
    moved = {
        name for name, value in snapshot(model).items() if not torch.equal(value, before[name])
    }
    adapters = [QUERY_REASONER, DECODER] if stage == "stage3" else [ENCODER, DECODER]
    expected = {n for n in before if any(f".{adapter}." in n for adapter in adapters)}
    assert moved == expected | (set() if stage == "stage3" else {"embedding.weight"})


def test_memory_embeddings_can_be_left_untrained(tiny_clara) -> None:
    model = tiny_clara(optimize_mem_tokens=False)
    assert "embedding.weight" not in dict(model.trainable_parameters())


def test_query_reasoner_starts_as_the_encoder(tiny_clara) -> None:
    model = tiny_clara()
    model.prepare_stage("stage3")
    encoder, reasoner = model.adapters.state(ENCODER), model.adapters.state(QUERY_REASONER)
    assert all(torch.equal(encoder[key], reasoner[key]) for key in encoder)
    question = ["Where is Heron Mills?"]
    assert torch.allclose(
        model.represent_queries(question), model.compress_documents(question).flatten(1)
    )


def test_query_reasoner_can_start_fresh(tiny_clara) -> None:
    model = tiny_clara()
    model.prepare_stage("stage3", query_init="random")
    weights = model.adapters.state(QUERY_REASONER)
    assert all(not value.any() for key, value in weights.items() if "lora_B" in key)
    assert all(value.any() for key, value in weights.items() if "lora_A" in key)


def test_preparing_stage3_again_keeps_the_trained_query_reasoner(tiny_clara) -> None:
    model = tiny_clara(stage="stage3")
    before = {k: v.clone() for k, v in model.adapters.state(QUERY_REASONER).items()}
    model.prepare_stage("stage3")
    after = model.adapters.state(QUERY_REASONER)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_reset_adapter_changes_nothing_else_and_makes_it_silent(tiny_clara) -> None:
    model = tiny_clara()
    before = snapshot(model)
    model.reset_adapter(DECODER)
    after = snapshot(model)
    assert {n for n in before if not torch.equal(before[n], after[n])} == {
        n for n in before if f".{DECODER}." in n
    }
    assert all(not v.any() for k, v in model.adapters.state(DECODER).items() if "lora_B" in k)


def test_fresh_models_of_one_seed_are_equal_and_leave_torchs_generator_alone(
    tiny_base, tiny_config
) -> None:
    state = torch.random.get_rng_state()
    first, second = (snapshot(Clara.from_base(tiny_base(), tiny_config())) for _ in range(2))
    other = snapshot(Clara.from_base(tiny_base(), tiny_config(init_seed=6)))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["embedding.weight"], other["embedding.weight"])


def test_memory_init_normal_has_its_own_spread(tiny_base, tiny_config) -> None:
    model = Clara.from_base(
        tiny_base(), tiny_config(memory_init="normal", doc_max_length=600, compr_rate=6)
    )
    assert model.embedding.weight.std().item() == pytest.approx(0.02, rel=0.1)
    default = Clara.from_base(tiny_base(), tiny_config(doc_max_length=600, compr_rate=6))
    assert not torch.allclose(default.embedding.weight.std(), torch.tensor(0.02), rtol=0.5)


def test_padded_vocabulary_of_a_base_is_not_mistaken_for_new_tokens(tiny_base, tiny_config) -> None:
    model = Clara.from_base(tiny_base(vocab_size=400), tiny_config())
    assert model.embedding.first == 300
    assert len(model.decoder.get_input_embeddings().weight) == len(model.tokenizer) == 307


def test_gradient_checkpointing_keeps_each_adapters_gradients(tiny_clara, documents) -> None:
    plain, saving = tiny_clara(lora_dropout=0.0), tiny_clara(lora_dropout=0.0)
    saving.enable_gradient_checkpointing()
    batch = batch_for(plain, "stage2", documents)
    for model in (plain, saving):
        model.train()
        model(stage="stage2", **batch).loss.backward()
    expected = {name: p.grad for name, p in plain.trainable_parameters()}
    for name, parameter in saving.trainable_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-6)


def test_dropout_acts_in_training_but_never_on_frozen_memories(tiny_clara, documents) -> None:
    model = tiny_clara(stage="stage3", lora_dropout=0.5)
    batch = batch_for(model, "stage3", documents)
    still = model(stage="stage3", **batch)
    model.train()
    torch.manual_seed(0)
    moving = model(stage="stage3", **batch)
    assert moving.loss.item() != still.loss.item()
    assert moving.mse_loss.item() == pytest.approx(still.mse_loss.item(), abs=1e-6)
    assert all(module.training for module in model.modules())


def test_stage3_needs_its_adapter_and_its_inputs(tiny_clara, documents) -> None:
    model = tiny_clara(stage="stage3")
    batch = batch_for(model, "stage3", documents)
    without = tiny_clara()
    with pytest.raises(CheckpointError, match=r"no query_reasoner_adapter .*prepare_stage"):
        without(stage="stage3", **batch)
    with pytest.raises(ConfigError, match="needs query_input_ids"):
        model(stage="stage3", **{k: v for k, v in batch.items() if k != "query_input_ids"})
    with pytest.raises(ConfigError, match="stage is 'stage4'"):
        model(stage="stage4", **batch)
    model.config.generation_top_k = 9
    with pytest.raises(DataError, match="generation_top_k=9 but only 4 candidates"):
        model(stage="stage3", **batch)


def test_slots_and_memories_must_match(tiny_clara, documents) -> None:
    model = tiny_clara()
    batch = batch_for(model, "stage2", documents)
    batch["enc_input_ids"] = batch["enc_input_ids"][:-1]
    batch["enc_attention_mask"] = batch["enc_attention_mask"][:-1]
    with pytest.raises(DataError, match="32 memory positions for 28 memory vectors"):
        model(stage="stage2", **batch)


def test_in_stage3_a_trained_compressor_learns_from_the_answer_through_every_candidate(
    tiny_clara, documents
) -> None:
    model = tiny_clara(stage="stage3", lora_dropout=0.0)
    batch = batch_for(model, "stage3", documents)
    usual = model(stage="stage3", **batch)
    usual.loss.backward()
    encoder = dict(model.adapters.parameters(ENCODER))
    assert all(parameter.grad is None for parameter in encoder.values())
    model.prepare_stage("stage3", train=[ENCODER])
    learning = model(stage="stage3", **batch)
    learning.loss.backward()
    assert torch.equal(learning.loss, usual.loss)
    assert all(p.grad is not None and p.grad.any() for p in encoder.values())
    assert model.embedding.weight.grad is None


def test_slots_of_another_prompt_are_not_filled(tiny_clara, documents) -> None:
    # As many slots as memories in all, but one prompt would get a memory of the other.
    model = tiny_clara(stage="stage3")
    batch = batch_for(model, "stage3", documents)
    three, one = (
        batch_for(tiny_clara(generation_top_k=k), "stage3", documents)["dec_input_ids"][0]
        for k in (3, 1)
    )
    width = len(three)
    ids = torch.stack([three, torch.nn.functional.pad(one, (width - len(one), 0))])
    batch |= {"dec_input_ids": ids, "dec_attention_mask": (ids != 0).long()}
    batch["labels"] = torch.nn.functional.pad(
        batch["labels"], (width - batch["labels"].shape[1], 0), value=-100
    )
    with pytest.raises(DataError, match=r"\[12, 4\] memory positions for 16 memory vectors"):
        model(stage="stage3", **batch)


def test_memories_of_another_shape_are_refused(tiny_clara, documents) -> None:
    model = tiny_clara(stage="stage3")
    batch = batch_for(model, "stage3", documents)
    memory = model.compress_documents(documents).expand(2, -1, -1, -1)  # (2, 4, 4, 32)
    given = {k: v for k, v in batch.items() if not k.startswith("enc_")}
    model(stage="stage3", document_memory=memory, **given)
    # Of half the rate: as many numbers as twice the candidates have.
    for wrong in (memory.reshape(2, 2, 8, 32), memory[:1], memory.flatten(2)):
        with pytest.raises(DataError, match=r"expected \(questions, candidates, 4, 32\)"):
            model(stage="stage3", document_memory=wrong, **given)
    short = {k: v[:7] if k.startswith("enc_") else v for k, v in batch.items()}
    with pytest.raises(DataError, match="memories of candidates have shape"):
        model(stage="stage3", **short)
