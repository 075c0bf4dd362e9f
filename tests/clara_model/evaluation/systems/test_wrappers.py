"""LLMLingua-2 in front of a reader of text, and PISCO's and COCOM's own code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from clara_model.errors import CheckpointError, ConfigError, DataError
from clara_model.evaluation.systems import SystemOptions, open_system
from clara_model.evaluation.systems.wrappers import Lingua, open_lingua

WORDS = "ada lark was born in the city of orford heron mills is known for making bells".split()
TEXT = " ".join(WORDS) + "."

# The interface of a PISCO checkpoint, around so little that its answers can be told beforehand.
PISCO_CODE = """
import torch
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

class LikePiscoConfig(PretrainedConfig):
    model_type = "like-pisco"

class LikePisco(PreTrainedModel):
    config_class = LikePiscoConfig
    def __init__(self, config):
        super().__init__(config)
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.compressed = 0
        self.post_init()
    def _init_weights(self, module):
        pass
    def generate_from_text(self, questions, DOCUMENTS, max_new_tokens=128):
        return [f"{q} {len(d)} {max_new_tokens}" for q, d in zip(questions, DOCUMENTS)]
"""
TWO_STEPS = """
    def compress_documents(self, documents):
        self.compressed += len(documents)
        return torch.tensor([[[float(len(d))] * 3] * 2 for d in documents]) * self.scale
    def generate_from_compressed_documents_and_questions(
        self, questions, compressed_documents, max_new_tokens=128
    ):
        k = len(compressed_documents) // len(questions)
        rows = compressed_documents[:, 0, 0].view(len(questions), k).tolist()
        return [f"{q} {[int(v) for v in row]} {max_new_tokens}" for q, row in zip(questions, rows)]
"""


@pytest.fixture
def like_pisco(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, *, two_steps: bool = True, documents: str = "documents") -> Path:
        from safetensors.torch import save_file

        folder = tmp_path / name
        folder.mkdir()
        code = PISCO_CODE.replace("DOCUMENTS", documents) + (TWO_STEPS if two_steps else "")
        (folder / f"{name}.py").write_text(code)
        auto = {"AutoConfig": f"{name}.LikePiscoConfig", "AutoModel": f"{name}.LikePisco"}
        config = {"model_type": "like-pisco", "auto_map": auto, "doc_max_length": 8,
                  "compr_rate": 4, "architectures": ["LikePisco"]}  # fmt: skip
        (folder / "config.json").write_text(json.dumps(config))
        save_file({"scale": torch.ones(1)}, folder / "model.safetensors", {"format": "pt"})
        return folder

    return write


def options(**more: object) -> SystemOptions:
    return SystemOptions(max_new_tokens=5, trust_remote_code=True, **more)


def test_pisco_compresses_every_document_once_and_answers_from_it(
    like_pisco: Callable[..., Path],
) -> None:
    system = open_system(f"pisco:{like_pisco('two_steps')}", options(batch_size=2))
    given = [["ab", "abc"], ["ab"], ["abcd", "ab"]]
    answers = system.answer(["x", "y", "z"], given)
    assert answers == ["x [2, 3] 5", "y [2] 5", "z [4, 2] 5"]
    assert system.generator.model.compressed == 3
    assert system.generator.stored_bytes(["ab", "abc"]) == 2 * 2 * 3 * 4


def test_cocom_is_given_the_texts_under_its_own_name(like_pisco: Callable[..., Path]) -> None:
    folder = like_pisco("one_step", two_steps=False, documents="contexts")
    system = open_system(f"pisco:{folder}", options())
    assert system.answer(["x", "y"], [["a", "b"], ["c"]]) == ["x 2 5", "y 1 5"]
    assert system.generator.stored_bytes(["abc"]) == 3


def test_code_of_others_runs_only_when_asked(like_pisco: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match=r"bring their own code.*trust_remote_code"):
        open_system(f"pisco:{like_pisco('unasked')}", SystemOptions())


def test_checkpoint_without_the_interface_is_refused(tiny_base: Callable[..., Path]) -> None:
    with pytest.raises(CheckpointError, match="has no generate_from_text"):
        open_system(f"pisco:{tiny_base()}", options())


def test_pisco_refuses_a_question_without_documents(like_pisco: Callable[..., Path]) -> None:
    system = open_system(f"pisco:{like_pisco('refuses')}", options())
    with pytest.raises(DataError, match="no documents"):
        system.answer(["x"], [[]])


@pytest.fixture
def token_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny random model of LLMLingua-2's kind; llmlingua tells its kind by the folder's name."""
    pytest.importorskip("llmlingua")
    import tiktoken
    from transformers import BertConfig, BertForTokenClassification, BertTokenizerFast

    # Of OpenAI's tokenizer, which llmlingua downloads, it only wants counts.
    bytes_only = tiktoken.Encoding(
        "bytes", pat_str=".", mergeable_ranks={bytes([i]): i for i in range(256)}, special_tokens={}
    )
    monkeypatch.setattr(tiktoken, "encoding_for_model", lambda name: bytes_only)
    folder = tmp_path / "bert-base-multilingual-cased-tiny"
    folder.mkdir()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=512, initializer_range=1.0, num_labels=2,
    )  # fmt: skip
    BertForTokenClassification(config).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def test_lingua_drops_words_before_the_generator_reads(
    token_classifier: Path, tiny_base: Callable[..., Path]
) -> None:
    spec = f"lingua:{token_classifier}+text:{tiny_base()}"
    system = open_system(spec, SystemOptions(max_new_tokens=4, lingua_rate=0.5))
    (short,) = system.generator.shortened([[TEXT]])[0]
    kept = short.replace(".", " ").split()
    assert 0 < len(kept) < len(WORDS)
    assert [word for word in WORDS if word in kept] == kept  # in their order
    reader = system.generator.generator
    assert system.answer(["who"], [[TEXT]]) == reader.answer(["who"], [[short]])
    counts = system.generator.prompt_tokens(["who"], [[TEXT]])
    assert counts == reader.prompt_tokens(["who"], [[short]])
    assert counts < reader.prompt_tokens(["who"], [[TEXT]])
    assert system.generator.stored_bytes([TEXT]) == len(short)


def test_document_of_which_nothing_is_left_is_read_whole() -> None:
    class Nothing:
        def compress_prompt(self, context: list[str], rate: float) -> dict[str, str]:
            return {"compressed_prompt": ""}

    lingua = Lingua(Nothing(), generator=None)
    assert lingua.shortened([["Short."]]) == [["Short."]]


def test_missing_llmlingua_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llmlingua", None)
    with pytest.raises(ConfigError, match=r"pip install 'clara-pipeline\[retrieval\]'"):
        open_lingua("x", None, 0.5, device=None, trust_remote_code=False)
