"""Hosts that refuse what must be accepted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.mutants.edits import replace_requests
from tests.mutants.middleware import Request, change_requests
from tests.mutants.mutant import Area

AREA = Area("strictness")
_INSTEAD = {"inputs": {}, "response_mode": "blocking", "user": "refused"}


def _strict(name: str, breaks: str, killers: str, when: Callable[[Request], bool]) -> None:
    """A run request that ``when`` picks is refused as if it had no prompt."""
    AREA.add(
        name,
        breaks,
        killers,
        change_requests(
            lambda: (
                lambda request: (
                    request.with_json(_INSTEAD) if request.is_run and when(request) else request
                )
            )
        ),
    )


def _inputs(request: Request) -> dict[str, Any]:
    inputs = request.fields.get("inputs")
    return inputs if isinstance(inputs, dict) else {}


_MODELS = {
    "chilloutmix_NiPrunedFp32Fix": "example_of_the_document_is_accepted",
    "dosmix_": "model_dosmix_is_accepted",
    "ghostmix_v20Bakedvae": "model_ghostmix_is_accepted",
    "rundiffusionFX_v10": "model_rundiffusion_is_accepted",
    "v1-5-pruned-emaonly": "model_v1_5_is_accepted",
}
"""The document's models, and the check that asks for each."""


def _asks_for(model: str) -> Callable[[Request], bool]:
    return lambda request: _inputs(request).get("model_name") == model


def _other_form(
    name: str, breaks: str, killers: str, when: Callable[[Request], bool], **header: str
) -> None:
    """A request that ``when`` picks is refused, as if it had this header."""
    ((key, value),) = header.items()
    refused = replace_requests(
        when, lambda request: request.with_header(key.replace("_", "-"), value)
    )
    AREA.add(name, breaks, killers, refused)


# fmt: off
for _number, (_model, _killer) in enumerate(_MODELS.items(), 1):
    _strict(
        f"model_{_number}_refused",
        f"The documented model {_model} is refused.",
        _killer,
        _asks_for(_model),
    )
_strict("model_left_out_refused", "A run without a model is refused.", "model_may_be_left_out",
        lambda request: bool(_inputs(request)) and "model_name" not in _inputs(request))
_strict("mode_left_out_refused", "A run without response_mode is refused.", "mode_may_be_left_out",
        lambda request: bool(request.fields) and "response_mode" not in request.fields)
_strict("chinese_refused", "A prompt in Chinese is refused.", "example_of_the_document_is_accepted",
        lambda request: any(mark > "\u3000" for mark in str(_inputs(request).get("prompt"))))
_strict("streaming_refused", "Streaming is refused.", "model_may_be_left_out",
        lambda request: request.fields.get("response_mode") == "streaming")
_strict("blocking_refused", "Blocking is refused.", "example_of_the_document_is_accepted",
        lambda request: request.fields.get("response_mode") == "blocking")
_strict("unknown_input_refused", "An input that the form does not have is refused.",
        "generated_right_bodies_are_accepted",
        lambda request: bool(_inputs(request).keys() - {"prompt", "model_name"}))

# Other ways to say the same
_other_form("bearer_in_lower_case_refused", "The word Bearer has to be written with a capital.",
            "bearer_in_lower_case_is_accepted",
            lambda request: (request.header("authorization") or "").startswith("bearer "),
            authorization="Basic x")
_other_form("two_spaces_before_key_refused",
            "Exactly one space has to stand between Bearer and the key.",
            "two_spaces_before_the_key_are_accepted",
            lambda request: (request.header("authorization") or "").startswith("Bearer  "),
            authorization="Bearer x")
_other_form(
    "json_with_charset_refused", "A Content-Type has to be application/json and nothing more.",
    "json_with_charset_is_read",
    lambda request: (request.header("content-type") or "").lower().startswith("application/json;"),
    content_type="text/plain")
_other_form("json_of_a_vendor_refused", "application/*+json is not taken for JSON.",
            "json_of_a_vendor_is_read",
            lambda request: (request.header("content-type") or "").endswith("+json"),
            content_type="text/plain")
# fmt: on
