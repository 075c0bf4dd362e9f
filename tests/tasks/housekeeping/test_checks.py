"""`clara doctor` looks for the packages that settings ask for, and for no others."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from typing import Any

import pytest

from configs.schema import PipelineConfig
from tasks.housekeeping.checks import check_extras

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("settings", "package", "extra"),
    [
        ({"model": {"quantization": "4bit"}}, "bitsandbytes", "quantization"),
        ({"execution": {"task_runner": "dask"}}, "prefect-dask", "dask"),
        ({"execution": {"task_runner": "ray"}}, "prefect-ray", "ray"),
    ],
    ids=["quantization", "dask", "ray"],
)
def test_an_extra_that_is_asked_for_is_looked_for(
    settings: dict[str, Any], package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = check_extras(PipelineConfig.model_validate(settings))
    is_here = importlib.util.find_spec(package.replace("-", "_")) is not None
    assert (found.what, found.state) == (package, "ok" if is_here else "missing")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert any(line.startswith(package) for line in project["optional-dependencies"][extra])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    (gone,) = check_extras(PipelineConfig.model_validate(settings))
    assert (gone.state, gone.remedy) == ("missing", f"pip install -e '.[{extra}]'")
    section, key = next((s, k) for s, tree in settings.items() for k in tree)
    assert f"{section}.{key}" in gone.detail


def test_without_them_no_extra_is_looked_for() -> None:
    assert check_extras(PipelineConfig()) == []
