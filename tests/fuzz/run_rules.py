"""What the host refuses of a JSON body: its order of checks, written down a second time and without
the fake.

Each function gives the name of the error in the overlay, "" where nothing is refused, and None
where this cannot tell.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tests.fuzz.message import Request

_JSON_TYPE = re.compile(r"application/(?:json|[^;]*\+json)", re.IGNORECASE)
_MOST_DEPTH = 400
MODELS = (
    "chilloutmix_NiPrunedFp32Fix", "dosmix_", "ghostmix_v20Bakedvae", "rundiffusionFX_v10",
    "v1-5-pruned-emaonly",
)  # fmt: skip
PROMPT_CHARACTERS = 1000


def refused_user(request: Request, required: bool) -> tuple[str | None, Any]:
    """The first refusal of an operation that reads a user from its JSON, and the JSON."""
    content_type = (
        (request.header(b"content-type") or b"").decode("latin-1").partition(";")[0].strip()
    )
    if not _JSON_TYPE.fullmatch(content_type):
        return "content_type_not_json", None
    if request.body.count(b"[") + request.body.count(b"{") > _MOST_DEPTH:
        return None, None
    try:
        body = json.loads(request.body)
    except ValueError:
        return "json_malformed", None
    if not isinstance(body, dict):
        return "internal_error", None
    return _refused_text(body.get("user"), required), body


def _refused_text(user: Any, required: bool) -> str | None:
    if not user:
        return "user_missing" if required else ""
    text = str(user)
    unsendable = any("\ud800" <= character <= "\udfff" for character in text)
    if "\0" in text:
        return None if unsendable else "user_nul"
    if unsendable:
        return "value_error"
    return "internal_error" if len(text) > 255 else ""


def refused_speech(body: dict[str, Any]) -> str:
    """The refusal of a text that is to be spoken, whose user is good: no app here speaks."""
    if "text" not in body:
        return "parameter_missing"
    return "parameter_null" if None in (body["text"], body.get("streaming", "")) else "tts_disabled"


def refused_run(body: dict[str, Any], kind: str) -> str | None:
    """The refusal of a run whose user is good, by an app of ``kind``; of "workflow" the document's
    own app.
    """
    if kind == "chat":
        return "not_workflow_app"
    refused = _refused_fields(body)
    if refused:
        return refused
    if kind == "unpublished":
        return "workflow_unpublished"
    return _refused_inputs(dict(body["inputs"])) if kind == "workflow" else None


def _refused_fields(body: dict[str, Any]) -> str:
    if "inputs" not in body:
        return "parameter_missing"
    if body["inputs"] is None:
        return "parameter_null"
    try:
        dict(body["inputs"])
        list(body.get("files") or [])
    except (TypeError, ValueError):
        return "parameter_invalid"
    if isinstance(body.get("files"), bool | int | float):
        return "parameter_invalid"
    return (
        ""
        if body.get("response_mode", "blocking") in ("blocking", "streaming")
        else "choice_invalid"
    )


def _refused_inputs(inputs: dict[Any, Any]) -> str:
    prompt, model = inputs.get("prompt"), inputs.get("model_name")
    if not prompt:
        return "input_required"
    if not isinstance(prompt, str):
        return "input_not_string"
    if len(prompt) > PROMPT_CHARACTERS:
        return "input_too_long"
    if model and not isinstance(model, str):
        return "input_not_string"
    return "input_not_in_options" if model and model not in MODELS else ""
