"""Run an exported model in a process that cannot import this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

_PROGRAM = """
import json, sys
for name in ("clara_model", "configs", "tasks", "flows"):
    sys.modules[name] = None  # an editable installation would be found otherwise
from safetensors.torch import save_file
from transformers import AutoModel
request = json.loads(sys.stdin.read())
model = AutoModel.from_pretrained(request["folder"], trust_remote_code=True, **request["options"])
texts, tensors = {}, {}
for name, arguments in request["calls"].items():
    memory = arguments.pop("compress", None)
    if memory:
        rows = [model.compress_documents(documents) for documents in memory]
        arguments["memory"] = rows[0].new_empty(len(rows), *rows[0].shape)
        for i, row in enumerate(rows):
            arguments["memory"][i] = row
    result = getattr(model, name)(**arguments)
    if isinstance(result, tuple):
        texts[name], tensors[name] = result
    elif isinstance(result, list):
        texts[name] = result
    else:
        tensors[name] = result
save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, "tensors.safetensors")
with open("texts.json", "w") as stream:
    json.dump(texts, stream)
"""


def call_exported(
    folder: Path, calls: dict[str, dict[str, Any]], scratch: Path, **options: Any
) -> tuple[dict[str, list[str]], dict[str, Tensor]]:
    """Texts and tensors that methods of an exported model return, by name.

    `compress`, a list of documents for each question, stands for the memory made of them.
    """
    scratch.mkdir()
    request = {"folder": str(folder), "calls": calls, "options": options}
    environment = os.environ | {"HF_MODULES_CACHE": str(scratch / "modules"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", _PROGRAM],
        input=json.dumps(request),
        cwd=scratch,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    texts = json.loads((scratch / "texts.json").read_text())
    return texts, load_file(scratch / "tensors.safetensors")
