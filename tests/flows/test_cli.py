from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def clara(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_help_names_every_command_without_heavy_imports() -> None:
    done = clara("--help")
    assert done.returncode == 0
    for command in (
        "run", "extract", "caption", "synthesize", "mine", "train", "evaluate", "report", "index",
        "ask", "export", "validate", "clean-refs", "doctor", "ui", "learn",
    ):  # fmt: skip
        assert f" {command} " in done.stdout
    code = "import sys, flows.cli; print(sorted({m.split('.')[0] for m in sys.modules}))"
    imported = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert not {"'torch'", "'prefect'", "'mlflow'", "'docling'"} & set(
        imported.strip("[]\n").split(", ")
    )


def test_finding_that_nothing_is_left_to_do_takes_no_numerical_library() -> None:
    code = "import sys, flows.console; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy = {"torch", "prefect", "mlflow", "docling", "numpy", "scipy", "pandas"}
    assert not heavy & set(done.stdout.split())


def test_help_comes_at_once() -> None:
    clara("--help")
    started = time.monotonic()
    clara("--help")
    # one second is the promise; the bound leaves room for a busy machine
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "nowhere.yaml"), "nowhere.yaml: no such configuration file"),
        (("run", "--set", "model.compr_rat=8"), "did you mean 'compr_rate'"),
        (("run", "--set", "extraction.input=/nowhere/at/all"), "/nowhere/at/all"),
        (("train", "stage9"), "stage9"),
        (("nonsense",), "nonsense"),
    ],
    ids=["file", "key", "input", "stage", "command"],
)
def test_a_user_mistake_ends_with_code_2_one_message_and_no_traceback(
    arguments: tuple[str, ...], message: str
) -> None:
    done = clara(*arguments)
    assert done.returncode == 2
    assert message in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback_wherever_it_stands() -> None:
    done = clara("run", "nowhere.yaml", "--debug")
    assert "Traceback" in done.stderr
