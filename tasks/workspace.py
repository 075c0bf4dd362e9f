"""Where everything of one run lies: the names of ARCHITECTURE's workspace in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """Paths of one workspace; creating an instance touches no disk."""

    root: Path

    @property
    def raw_knowledge(self) -> Path:
        """One row a source document or standalone image."""
        return self.root / "raw_knowledge.jsonl"

    @property
    def extracted_assets(self) -> Path:
        """Folder of embedded and standalone images."""
        return self.root / "extracted_assets"

    @property
    def captions(self) -> Path:
        """One row an image: file name, caption or reason, model."""
        return self.root / "captions.jsonl"

    @property
    def passages(self) -> Path:
        """Passages of at most `doc_max_length` tokens."""
        return self.root / "passages.jsonl"

    @property
    def synthesis(self) -> Path:
        """Per passage: questions, answers, paraphrases, who made them, token cost."""
        return self.root / "synthesis.jsonl"

    @property
    def pretrain_data(self) -> Path:
        """Rows of stage 1."""
        return self.root / "pretrain_data.jsonl"

    @property
    def instruction_data(self) -> Path:
        """Rows of stage 2."""
        return self.root / "instruction_data.jsonl"

    @property
    def end_to_end_data(self) -> Path:
        """Rows of stage 3."""
        return self.root / "end_to_end_data.jsonl"

    @property
    def end_to_end_memory(self) -> Path:
        """Rows of stage 3 once more, negatives by stage 2's memories among them."""
        return self.root / "end_to_end_memory.jsonl"

    @property
    def all_training_data(self) -> Path:
        """The three together, each row with its `stage`."""
        return self.root / "clara_training_data.jsonl"

    @property
    def benchmark(self) -> Path:
        """Folder of held-out rows of the user's documents: normal.jsonl, oracle.jsonl."""
        return self.root / "benchmark"

    @property
    def world(self) -> Path:
        """Folder of the generated world's rows, in the same formats and names."""
        return self.root / "world"

    @property
    def rejected(self) -> Path:
        """Every item set aside at any step."""
        return self.root / "rejected.jsonl"

    @property
    def audit(self) -> Path:
        """What the audit of the split found."""
        return self.root / "audit.json"

    @property
    def data_card(self) -> Path:
        """Folder of the data card: card.html, card.md, card.json."""
        return self.root / "data_card"

    @property
    def models(self) -> Path:
        """Folder of checkpoints: tokenizer, base, stage1, stage2, stage3."""
        return self.root / "models"

    @property
    def memory(self) -> Path:
        """Compressed passages and the index."""
        return self.root / "memory"

    @property
    def evaluation(self) -> Path:
        """Predictions, summary.json, report.html."""
        return self.root / "evaluation"

    @property
    def manifests(self) -> Path:
        """One manifest a finished step."""
        return self.root / "manifests"

    @property
    def logs(self) -> Path:
        """Per stage: metrics.jsonl (losses by step) and the log of its processes."""
        return self.root / "logs"

    @property
    def progress(self) -> Path:
        """Journals of steps that are not finished; removed when they are."""
        return self.root / "progress"

    @property
    def cache(self) -> Path:
        """Replies of paid requests, by request hash; survives everything."""
        return self.root / "cache"
