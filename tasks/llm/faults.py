"""What can go wrong with a request, and whether another attempt may help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import openai

from clara_model.errors import ServiceError
from configs.base import EndpointSettings

_OUT_OF_QUOTA = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_ARREARAGE = "arrearage"
_REMEDY = {
    401: "set `api_key` to ${NAME} of an environment variable that holds a valid key",
    402: "the account needs credit",
    403: "the key may not use this model: choose another `model` or key",
    404: "check `base_url` (it usually ends in /v1) and `model`",
    429: "the quota is used up: add credit, or choose another endpoint",
}
_PASSING = {408, 409, 425, 429}
_OVERLOADED = {429, 503, 529}


class RequestRefused(ServiceError):
    """The endpoint refuses this one request (400, 413, 422); others may pass."""


@dataclass
class Fault(Exception):
    """A failure that another attempt may mend.

    Args:
        words: What happened, for the log.
        wait_s: What the endpoint asks to wait, if it does.
        overload: Refused for load, or not answered in time: fewer at once may pass.
        refused_for_load: Refused for load in so many words (429, 503): the request is sound.
    """

    words: str
    wait_s: float | None = None
    overload: bool = False
    refused_for_load: bool = False


def judge_status(
    err: openai.APIStatusError, settings: EndpointSettings, words: str, wait_s: float | None
) -> Fault | ServiceError:
    """What a refusal means: a passing fault, one request at fault (RequestRefused), or the end.

    Args:
        err: The reply, of a status that is not 2xx.
        settings: Of the endpoint.
        words: The provider's own, without the key.
        wait_s: What it asks to wait.

    Returns:
        A ServiceError of no subclass where no request can pass: key, model, address, quota.
    """
    code = err.status_code
    failure = f"HTTP {code}: {words}"
    if code in (401, 402, 403, 404) or _is_out_of_quota(err, settings):
        remedy = _REMEDY.get(code, _REMEDY[429])
        return ServiceError(f"{failure}; {remedy}")
    if code in _PASSING or code >= 500:
        loaded = code in _OVERLOADED
        return Fault(failure, wait_s, overload=loaded, refused_for_load=loaded)
    return RequestRefused(failure)


def providers_words(err: openai.APIStatusError, key: str | None) -> str:
    """What the provider says, on one line, never with the key."""
    body = err.body
    words = body.get("message") if isinstance(body, dict) else None
    text = " ".join(str(words or err.response.text or "no explanation").split())
    return (text.replace(key, "***") if key else text)[:400]


def refuses_form(err: RequestRefused, payload: dict[str, Any]) -> bool:
    """Whether a request was refused for asking for a form of the reply."""
    words = str(err).lower()
    return "response_format" in payload and any(
        sign in words for sign in ("response_format", "json_schema", "json_object")
    )


def _is_out_of_quota(err: openai.APIStatusError, settings: EndpointSettings) -> bool:
    body = err.body if isinstance(err.body, dict) else {}
    codes = {str(body.get("code")).lower(), str(body.get("type")).lower()}
    if _ARREARAGE in codes:
        return True
    # DashScope says `insufficient_quota` of a rate that recovers by itself.
    return settings.provider != "dashscope" and bool(codes & _OUT_OF_QUOTA)
