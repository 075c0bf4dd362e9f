"""What `mlflow models serve` runs: questions to answers with citations, from a version's folder.

MLflow keeps a copy of this file with each version and runs it; it needs this project installed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow.pyfunc import PythonModel, PythonModelContext


class AnsweringModel(PythonModel):
    """Answers questions from the index, or from documents that come with a question."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights, and the index if the version has one; fetch what is not here."""
        import torch

        from clara_model import Clara
        from clara_model.errors import CheckpointError

        place = context.model_config["version"]
        if is_fetched := "://" in place:
            from tasks.travel.registered import fetch_version

            folder = fetch_version(place)
        else:
            folder = Path(place)
        if not (folder / "version.json").is_file():
            raise CheckpointError(f"{folder}: this version's weights are not on this machine")
        self.version = json.loads((folder / "version.json").read_text(encoding="utf-8"))
        parts = {name: folder / path for name, path in self.version["parts"].items()}
        self.model = Clara.from_pretrained(
            parts["model"],
            base_model=parts["base"],
            device="cuda" if torch.cuda.is_available() else "cpu",
            attention=self.version["attention"],
            quantization=self.version["quantization"],
            trust_remote_code=self.version["trust_remote_code"],
        )
        self.index = None
        if "index" in parts:
            from tasks.indexing.build import open_passages

            self.index = open_passages(
                self.model, parts["index"], parts["store"], complete=is_fetched
            )

    # Without hints: MLflow would read them as a schema, and refuse what it cannot express.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """One answer a question.

        Args:
            context: MLflow's, of which nothing is used.
            model_input: {"question": ...}, several of them, or a table with that column; a
                question may bring its own "documents" (a list of texts).
            params: Nothing is read from them.
        """
        return [self._answer(row) for row in _rows(model_input)]

    def _answer(self, row: Mapping[str, Any]) -> dict[str, Any]:
        from clara_model.answering import answer
        from clara_model.errors import DataError

        question = str(row.get("question") or "").strip()
        if not question:
            raise DataError('a question is missing: send {"inputs": {"question": "..."}}')
        length = self.version["max_new_tokens"]
        documents = row.get("documents")
        if documents is not None and len(documents):
            memory = self.model.compress_documents([str(text) for text in documents])
            text = self.model.generate_from_memory([question], memory.unsqueeze(0), length)[0]
            return {"question": question, "answer": text.strip(), "citations": []}
        if self.index is None:
            raise DataError(
                f"this version ({self.version['stage']}) has no index: send documents with the "
                'question, {"question": "...", "documents": ["..."]}, or serve one of stage 3 '
                "that was registered after `clara index`"
            )
        found = answer(
            question, self.model, self.index, top_n=self.version["top_n"], max_new_tokens=length
        )
        citations = [
            {"source": c.source, "page": c.page, "score": round(c.score, 4), "text": c.text}
            for c in found.citations
        ]
        return {"question": question, "answer": found.text, "citations": citations}


def _rows(model_input: Any) -> Iterable[Mapping[str, Any]]:
    """Questions from whatever form MLflow hands over: a table, a mapping, or a list."""
    if hasattr(model_input, "to_dict"):
        rows: list[Mapping[str, Any]] = model_input.to_dict(orient="records")
        return rows
    if isinstance(model_input, Mapping):
        question = model_input.get("question")
        if isinstance(question, str) or question is None or not getattr(question, "shape", (1,)):
            return [{**model_input, "question": None if question is None else str(question)}]
        documents = model_input.get("documents")
        return [
            {"question": text, "documents": None if documents is None else documents[number]}
            for number, text in enumerate(question)
        ]
    return [row if isinstance(row, Mapping) else {"question": row} for row in model_input]


mlflow.models.set_model(AnsweringModel())
