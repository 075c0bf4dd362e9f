"""The `clara` command on a small pipeline of its own, run as users run it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "data" / "samples"


class Pipeline:
    """A workspace of its own, and the `clara` command on it in a process group of its own."""

    def __init__(self, folder: Path, documents: Path) -> None:
        self.folder = folder
        self.documents = documents
        self.workspace = folder / "workspace"
        self.config = folder / "small.yaml"
        self.config.write_text(yaml.safe_dump(small_settings(self.workspace, documents)))
        self.environment = {
            **os.environ,
            "PREFECT_HOME": str(folder / "prefect"),
            "OMP_NUM_THREADS": "2",
            "OMP_WAIT_POLICY": "PASSIVE",
        }

    def copy(self, folder: Path) -> Pipeline:
        """One that stands where this one does; its doings are not in the MLflow of this one."""
        copied = Pipeline(folder, self.documents)
        recorded = shutil.ignore_patterns("mlflow.db*", "mlruns")
        shutil.copytree(self.workspace, copied.workspace, ignore=recorded)
        return copied

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *arguments, str(self.config)],
            cwd=ROOT, env=self.environment, start_new_session=True, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def clara(self, *arguments: str, timeout_s: float = 600) -> str:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=timeout_s)
        assert process.returncode == 0, output
        return output


def kill_group(process: subprocess.Popen[str]) -> None:
    """kill -9 of the command and of all processes it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def small_settings(workspace: Path, documents: Path) -> dict:
    stage = {"steps": 6, "batch_size": 4, "checkpoint_every": 2, "learning_rate": 1.0e-3}
    return {
        "workspace": str(workspace),
        "extraction": {"input": str(documents)},
        "synthesis": {"benchmark_share": 0.4},
        "negatives": {"num_candidates": 6},
        "model": {
            "base": "built-in",
            "built_in": {
                "hidden_size": 32, "layers": 2, "heads": 2, "ffn": 64, "vocab_size": 4096,
                "steps": 8, "copy_steps": 2, "short_steps": 4, "batch_size": 4,
                "checkpoint_every": 3,
            },
            "doc_max_length": 64, "compr_rate": 8, "generation_top_k": 1, "lora_r": 4,
            "lora_dropout": 0.0,
        },
        "training": {
            "stage1": stage, "stage2": stage, "stage3": stage,
            "world": {"share": 0.5, "rows_per_stage": 40, "benchmark_rows": 8},
        },
        "evaluation": {"max_questions": 8, "max_new_tokens": 4, "bootstrap_samples": 50},
    }  # fmt: skip
