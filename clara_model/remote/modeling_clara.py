"""CLaRa for inference in one file, which lies beside an exported model's weights.

`AutoModel.from_pretrained(folder, trust_remote_code=True)` loads it where only torch, transformers
(4.56 or newer) and safetensors are installed. Generation is greedy; nothing here computes
gradients.

Letters of tensor shapes: B questions, k documents a question, n memory tokens a document, T tokens,
H hidden size, V vocabulary.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from huggingface_hub import snapshot_download
from jinja2.exceptions import TemplateError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PretrainedConfig, PreTrainedModel

ENCODER, DECODER, REASONER = "encoder_adapter", "decoder_adapter", "query_reasoner_adapter"
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
ANSWER = (
    "You are a helpful assistant. Your task is to extract relevant information from provided "
    "documents and to answer to questions as briefly as possible."
)
PARAPHRASE = (
    "You are a helpful assistant. Your task is follow the instructions to paraphrase the "
    "background information."
)
INSTRUCTION = "Say the same thing in other words."
OWN_TOKEN = r"<(MEM\d*|AE|ENC|SEP)>"
_LOADING = ("dtype", "device_map", "attn_implementation", "quantization_config", "max_memory")
_FETCHING = ("revision", "token", "cache_dir", "local_files_only", "force_download")


class CLaRaConfig(PretrainedConfig):
    """The fields of `config.json`, as attributes."""

    model_type = "CLaRa"

    @property
    def memory_tokens(self) -> list[str]:
        """The n memory tokens of a document, in order."""
        count = self.doc_max_length // self.compr_rate
        if getattr(self, "different_mem_tokens", True):
            return [f"<MEM{i}>" for i in range(count)]
        return ["<MEM>"] * count


class Lora(nn.Module):
    """The adapters of one linear layer, of which the active one adds to its output."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.active: str | None = None
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()

    def hook(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Called by the layer after its own forward pass."""
        if self.active is None:
            return output
        low = F.linear(inputs[0], self.down[self.active])
        return output + F.linear(low, self.up[self.active]) * self.scale


class CLaRa(PreTrainedModel):
    """A decoder that compresses documents, finds the right ones, and answers from them."""

    config_class = CLaRaConfig
    base_model_prefix = "clara"
    decoder: Any
    lora: Any
    _supports_sdpa = _supports_flash_attn = _supports_attention_backend = True

    def __init__(self, config: CLaRaConfig, decoder: PreTrainedModel, tokenizer: Any) -> None:
        super().__init__(config)
        self.decoder, self.tokenizer, self.lora = decoder, tokenizer, nn.ModuleList()
        self._folder = Path()  # where it came from
        ids = tokenizer.convert_tokens_to_ids(config.memory_tokens)
        self._memory_ids = (min(ids), max(ids))

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: Any, *args: Any, config: Any = None, **kwargs: Any
    ) -> CLaRa:
        """Load an exported folder, or a hub repository that holds one.

        Args:
            pretrained_model_name_or_path: The folder or the repository's id.
            args: Not used.
            config: Read from the folder unless given.
            kwargs: `dtype`, `device_map`, `attn_implementation` and the like are the decoder's.
        """
        folder = Path(pretrained_model_name_or_path)
        if not folder.is_dir():
            fetching = {name: kwargs[name] for name in _FETCHING if name in kwargs}
            folder = Path(snapshot_download(str(pretrained_model_name_or_path), **fetching))
        config = config or CLaRaConfig.from_pretrained(folder)
        beside = folder / config.decoder_model_name
        base = str(beside) if beside.is_dir() else config.decoder_model_name
        # A base inside the folder was trusted with it; one on the hub was not.
        trust = {"trust_remote_code": beside.is_dir()}
        tokenizer = AutoTokenizer.from_pretrained(base, **trust)
        tokens = [*dict.fromkeys(config.memory_tokens), "<AE>", "<ENC>", "<SEP>"]
        tokenizer.add_tokens(tokens, special_tokens=True)
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.bos_token or tokenizer.eos_token
        loading = {name: kwargs[name] for name in _LOADING if kwargs.get(name) is not None}
        decoder = AutoModelForCausalLM.from_pretrained(
            base, **({"dtype": "auto"} | trust | loading)
        )
        model = cls(config, decoder, tokenizer)
        extra = folder / "extra.safetensors"  # trained beside LoRA, in few models
        for name, weight in load_file(extra).items() if extra.is_file() else ():
            decoder.get_parameter(name).data.copy_(weight)
        model._load_embeddings(load_file(folder / "decoder_first_last_layers.safetensors"))
        model._load_adapters(load_file(folder / "adapters.safetensors"))
        model._folder = folder
        return model.requires_grad_(False).eval()

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        """Copy the folder that the model came from, as nothing here changes a weight."""
        shutil.copytree(self._folder, save_directory, dirs_exist_ok=True)

    def _load_embeddings(self, weights: dict[str, Tensor]) -> None:
        self.decoder.resize_token_embeddings(len(weights[EMBEDDING]), mean_resizing=False)
        self.decoder.get_input_embeddings().weight.data.copy_(weights[EMBEDDING])
        if HEAD in weights:
            self.decoder.get_output_embeddings().weight.data.copy_(weights[HEAD])

    def _load_adapters(self, weights: dict[str, Tensor]) -> None:
        """Hook the adapters, named `ADAPTER.LAYER.lora_A.weight`, to their layers."""
        rank = self.config.lora_r
        alpha = getattr(self.config, "lora_alpha", None) or 2 * rank
        layers: dict[str, Lora] = {}
        for name, weight in weights.items():
            adapter, _, path = name.partition(".")
            path, _, kind = path.removesuffix(".weight").rpartition(".")
            layer = self.decoder.get_submodule(path)
            if path not in layers:
                layers[path] = Lora(alpha / rank)
                layer.register_forward_hook(layers[path].hook)
            half = layers[path].down if kind == "lora_A" else layers[path].up
            half[adapter] = nn.Parameter(
                weight.to(next(layer.parameters()).device, self.decoder.dtype)
            )
        self.lora.extend(layers.values())

    def compress_documents(self, documents: list[str], batch_size: int = 32) -> Tensor:
        """Memories of documents, (documents, n, H), in their order."""
        return self._encode(documents, ENCODER, batch_size)

    def represent_queries(self, questions: list[str], batch_size: int = 32) -> Tensor:
        """Representations of questions, (B, n * H), to be compared with flattened memories."""
        return self._encode(questions, REASONER, batch_size).flatten(1)

    def generate_from_questions(
        self, questions: list[str], documents: list[list[str]], max_new_tokens: int = 128
    ) -> tuple[list[str], Tensor]:
        """Answers from each question's nearest documents, and their positions (B, k)."""
        memory = self._compress_lists(questions, documents)
        k = self.config.generation_top_k
        if k > min(len(m) for m in memory):
            raise ValueError(f"generation_top_k={k} but a question has fewer documents")
        queries = self.represent_queries(questions).float()
        index = torch.stack([
            F.cosine_similarity(query.unsqueeze(0), m.float().flatten(1), dim=-1)
            .argsort(descending=True, stable=True)[:k]
            for query, m in zip(queries, memory, strict=True)
        ])  # fmt: skip
        chosen = torch.stack([m[i] for m, i in zip(memory, index, strict=True)])
        return self.generate_from_memory(questions, chosen, max_new_tokens), index

    def generate_from_text(
        self, questions: list[str], documents: list[list[str]], max_new_tokens: int = 128
    ) -> list[str]:
        """Answers from all of each question's documents, compressed."""
        memory = self._compress_lists(questions, documents)
        return self._answer(questions, memory, max_new_tokens)

    def generate_from_memory(
        self, questions: list[str], memory: Tensor, max_new_tokens: int = 128
    ) -> list[str]:
        """Answers from compressed documents, (B, k, n, H)."""
        if memory.ndim != 4 or len(memory) != len(questions):
            raise ValueError(f"memory {tuple(memory.shape)}: give (questions, documents, n, H)")
        return self._answer(questions, list(memory), max_new_tokens)

    def generate_from_paraphrase(
        self, questions: list[str], documents: list[list[str]], max_new_tokens: int = 128
    ) -> list[str]:
        """Compressed documents written anew; a question stands in for the instruction."""
        memory = self._compress_lists(questions, documents)
        prompts = [
            self._prompt(PARAPHRASE, f"Background: {self._slots(len(m))} {_escape(q)}")
            for q, m in zip((q or INSTRUCTION for q in questions), memory, strict=True)
        ]
        return self._generate(prompts, memory, max_new_tokens)

    def _answer(self, questions: list[str], memory: list[Tensor], max_new_tokens: int) -> list[str]:
        prompts = [
            self._prompt(ANSWER, f"Background:\n{self._slots(len(m))}\n\nQuestion:{_escape(q)}")
            for q, m in zip(questions, memory, strict=True)
        ]
        return self._generate(prompts, memory, max_new_tokens)

    def _slots(self, count: int) -> str:
        sep = "<SEP>" if getattr(self.config, "sep", True) else ""
        return ("".join(self.config.memory_tokens) + sep) * count

    def _prompt(self, system: str, user: str) -> list[int]:
        options = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": False}
        apart = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        try:
            text = self.tokenizer.apply_chat_template(apart, **options)
        except TemplateError:  # a template without a system role
            joined = [{"role": "user", "content": f"{system}\n{user}"}]
            text = self.tokenizer.apply_chat_template(joined, **options)
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _compress_lists(self, questions: list[str], documents: list[list[str]]) -> list[Tensor]:
        """Memories (k, n, H) of each question's documents; k may differ."""
        if len(questions) != len(documents) or not all(documents):
            raise ValueError("give each question a list of at least one document")
        memory = self.compress_documents([text for texts in documents for text in texts])
        return list(memory.split([len(texts) for texts in documents]))

    @torch.no_grad()
    def _encode(self, texts: list[str], adapter: str, batch_size: int) -> Tensor:
        if not texts or not all(text.strip() for text in texts):
            raise ValueError("every text must hold something")
        bos, eos = self.tokenizer.bos_token or "", self.tokenizer.eos_token or ""
        framed = [f"<ENC>{bos}{_escape(text)}{eos}" for text in texts]
        limit = self.config.doc_max_length + 3  # ENC, BOS and EOS
        memory = self.tokenizer.convert_tokens_to_ids(self.config.memory_tokens)
        encoded = self.tokenizer(framed, add_special_tokens=False)["input_ids"]
        encoded = [ids[:limit] + memory for ids in encoded]
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
        parts = []
        with self._using(adapter):
            for start in range(0, len(order), batch_size):
                ids, mask = self._pad([encoded[i] for i in order[start : start + batch_size]])
                output = self.decoder.base_model(
                    inputs_embeds=self.decoder.get_input_embeddings()(ids),
                    attention_mask=mask,
                    position_ids=_positions(mask),
                    use_cache=False,
                )
                parts.append(output.last_hidden_state[:, -len(memory) :])  # padding is on the left
        return torch.cat(parts)[torch.tensor(order).argsort()]

    @torch.no_grad()
    def _generate(
        self, prompts: list[list[int]], memory: list[Tensor], max_new_tokens: int
    ) -> list[str]:
        answers: list[str] = []
        with self._using(DECODER):
            for start in range(0, len(prompts), 16):
                part = slice(start, start + 16)
                ids, mask = self._pad(prompts[part])
                embeds = self.decoder.get_input_embeddings()(ids)
                rows = torch.cat(memory[part]).flatten(0, 1).to(embeds)
                is_memory = (ids >= self._memory_ids[0]) & (ids <= self._memory_ids[1])
                embeds = embeds.masked_scatter(is_memory.unsqueeze(-1), rows)
                answers += self.tokenizer.batch_decode(
                    self._greedy(embeds, mask, max_new_tokens), skip_special_tokens=True
                )
        return answers

    def _greedy(self, embeds: Tensor, mask: Tensor, max_new_tokens: int) -> list[list[int]]:
        """New tokens of each row, with the one that ends it."""
        ends = self.decoder.generation_config.eos_token_id
        ends = self.tokenizer.eos_token_id if ends is None else ends
        ends = set(ends) if isinstance(ends, list) else {ends}
        rows: list[list[int]] = [[] for _ in range(len(embeds))]
        cache, places = None, _positions(mask)
        for _ in range(max_new_tokens):
            output = self.decoder(
                inputs_embeds=embeds,
                attention_mask=mask,
                position_ids=places,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache, chosen = output.past_key_values, output.logits[:, -1].argmax(dim=-1)
            for row, token in zip(rows, chosen.tolist(), strict=True):
                if not row or row[-1] not in ends:
                    row.append(token)
            if all(row[-1] in ends for row in rows):
                break
            embeds = self.decoder.get_input_embeddings()(chosen.unsqueeze(1))
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            places = places[:, -1:] + 1
        return rows

    def _pad(self, encoded: list[list[int]]) -> tuple[Tensor, Tensor]:
        width, pad = max(map(len, encoded)), self.tokenizer.pad_token_id
        ids = [[pad] * (width - len(row)) + row for row in encoded]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in encoded]
        device = self.decoder.get_input_embeddings().weight.device
        return torch.tensor(ids, device=device), torch.tensor(mask, device=device)

    @contextmanager
    def _using(self, adapter: str) -> Iterator[None]:
        if any(adapter not in layer.down for layer in self.lora):
            raise ValueError(f"this model has no {adapter}; export one of the stage that trains it")
        was_training = self.training
        self.eval()
        for layer in self.lora:
            layer.active = adapter
        try:
            yield
        finally:
            for layer in self.lora:
                layer.active = None
            self.train(was_training)


def _positions(mask: Tensor) -> Tensor:
    """Counted from the first token that is not padding."""
    return (mask.cumsum(dim=-1) - 1).clamp(min=0)


def _escape(text: str) -> str:
    """Keep a text that holds one of CLaRa's tokens from being read as that token."""
    return re.sub(OWN_TOKEN, r"< \1>", text)
