"""Flow parameters: a form that explains itself, and no key ever in it."""

from __future__ import annotations

import re

import pytest

from clara_model.errors import ConfigError
from flows.parts import load_flow

FLOWS = ("extract", "synthesize", "train-stage1", "evaluate", "pipeline", "sweep")


@pytest.mark.parametrize("name", FLOWS)
def test_the_form_tells_what_every_parameter_is(name: str) -> None:
    properties = load_flow(name).parameters.properties
    assert {"config", "overrides", "force"} <= set(properties)
    assert all(len(entry.get("description", "")) > 10 for entry in properties.values())


def test_a_step_can_refresh_what_depends_on_it() -> None:
    assert load_flow("mine").parameters.properties["downstream"]["default"] is False


@pytest.mark.parametrize(
    "override",
    [
        "synthesis.api_key=sk-planted-secret",
        "synthesis.api_key='sk-planted-secret'",
        "synthesis={model: x, api_key: sk-planted-secret}",
        "sk-planted-secret",
        "=sk-planted-secret",
    ],
)
def test_a_key_or_what_is_no_override_is_refused_unrepeated(override: str) -> None:
    flow = load_flow("synthesize")
    with pytest.raises(ConfigError) as refusal:
        flow.validate_parameters({"overrides": ["workspace=x", override]})
    assert "number 2" in str(refusal.value)
    assert "planted" not in str(refusal.value)
    # What the server checks before it stores anything.
    pattern = flow.parameters.properties["overrides"]["items"]["pattern"]
    assert not re.search(pattern, override)


@pytest.mark.parametrize(
    "override",
    ["synthesis.api_key=${OPENAI_API_KEY}", "synthesis.api_key=${secret:openai}",
     "synthesis.api_key=null", "training.stage3.learning_rate=5.0e-5", "workspace=/a b/c",
     "synthesis.prices={gpt-4.1: {prompt: 1, completion: 2}}"],
)  # fmt: skip
def test_a_reference_or_any_other_value_is_taken(override: str) -> None:
    flow = load_flow("synthesize")
    assert flow.validate_parameters({"overrides": [override]})["overrides"] == [override]
    pattern = flow.parameters.properties["overrides"]["items"]["pattern"]
    assert re.search(pattern, override)


def test_a_wrong_type_is_told_before_anything_runs() -> None:
    with pytest.raises(Exception, match="force"):
        load_flow("mine").validate_parameters({"force": "perhaps"})
