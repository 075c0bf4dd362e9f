import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "clara_model",
        "clara_model.config",
        "clara_model.errors",
        "clara_model.prompts",
        "clara_model.encoding",
        "clara_model.rows",
    ],
)
def test_import_leaves_torch_alone(module: str) -> None:
    script = f"import sys, {module}; print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"], done.stderr


def test_public_names_resolve() -> None:
    import clara_model

    assert {name: getattr(clara_model, name).__name__ for name in clara_model.__all__} == {
        "Clara": "Clara",
        "ClaraConfig": "ClaraConfig",
        "ClaraOutput": "ClaraOutput",
    }
    with pytest.raises(AttributeError, match="no attribute 'Claira'"):
        clara_model.Claira  # noqa: B018
