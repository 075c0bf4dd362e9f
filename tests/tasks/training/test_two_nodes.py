"""Two network namespaces as two machines: torchrun meets over a wire, weights as on one machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from configs.schema import PipelineConfig
from tasks.training.launch import train_stage
from tasks.workspace import Workspace

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]

_LEAD = """
import sys
from pathlib import Path
from configs.schema import PipelineConfig
from tasks.training.launch import train_stage
from tasks.workspace import Workspace
if __name__ == "__main__":
    config = PipelineConfig.model_validate_json(Path(sys.argv[1]).read_text())
    print(train_stage(config, Workspace(config.workspace), "stage1").counts)
"""


@dataclass(frozen=True)
class Node:
    """A namespace that stands for a machine, with one end of a wire."""

    name: str
    address: str
    wire: str

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Python there; its output is the process's."""
        own = {"GLOO_SOCKET_IFNAME": self.wire, "PET_LOCAL_ADDR": self.address,
               "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}  # fmt: skip
        return subprocess.Popen(
            ["ip", "netns", "exec", self.name, sys.executable, *arguments], cwd=ROOT, text=True,
            env={**os.environ, **own}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip


def ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, capture_output=True, text=True)


@pytest.fixture
def nodes() -> Iterator[tuple[Node, Node]]:
    """Two namespaces joined by a pair of virtual interfaces."""
    tag = f"{os.getpid() % 100000}"
    pair = tuple(Node(f"clara-{end}-{tag}", f"10.77.0.{n}", f"cl{end}{tag}")
                 for n, end in enumerate("ab", start=1))  # fmt: skip
    try:
        for node in pair:
            ip(f"netns add {node.name}")
        ip(f"link add {pair[0].wire} type veth peer name {pair[1].wire}")
        for node in pair:
            ip(f"link set {node.wire} netns {node.name}")
            ip(f"-n {node.name} addr add {node.address}/24 dev {node.wire}")
            ip(f"-n {node.name} link set lo up")
            ip(f"-n {node.name} link set {node.wire} up")
    except (OSError, subprocess.CalledProcessError) as err:
        _remove(pair)
        pytest.skip(f"network namespaces are not permitted here: {err}")
    yield pair[0], pair[1]
    _remove(pair)


def _remove(pair: tuple[Node, ...]) -> None:
    for node in pair:
        subprocess.run(["ip", "netns", "del", node.name], capture_output=True)


def test_two_machines_train_the_weights_that_two_ranks_of_one_do(
    nodes: tuple[Node, Node],
    workspace: Workspace,
    make_config: Callable[..., PipelineConfig],
    tmp_path: Path,
) -> None:
    import torch

    config = make_config(steps=4, num_processes=2)
    model = config.model.model_copy(update={"lora_dropout": 0.0})
    config = config.model_copy(update={"model": model, "workspace": workspace.root})
    train_stage(config, workspace, "stage1")
    one = weights(workspace)

    launcher = {"nodes": 2, "address": f"{nodes[0].address}:29533", "join_timeout_s": 300}
    tree = config.model_dump(mode="json")
    tree["training"] |= {"num_processes": 1, "launcher": launcher}
    settings = tmp_path / "two_nodes.json"  # JSON is YAML
    settings.write_text(PipelineConfig.model_validate(tree).model_dump_json())
    leader = nodes[0].start("-c", _LEAD, str(settings))
    other = nodes[1].start("-m", "tasks.training.join", str(settings), "--once")
    said = leader.communicate(timeout=400)[0]
    joined = other.communicate(timeout=60)[0]
    logs = {p.name: p.read_text()[-3000:] for p in (workspace.logs / "stage1").glob("*.log")}
    assert leader.returncode == 0, f"{said}\n{joined}\n{logs}"
    assert other.returncode == 0, joined
    two = weights(workspace)
    assert two.keys() == one.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-5, atol=1e-6)


def weights(workspace: Workspace) -> dict:
    from safetensors.torch import load_file

    folder = workspace.models / "stage1"
    return {k: v for f in sorted(folder.glob("*.safetensors")) for k, v in load_file(f).items()}
