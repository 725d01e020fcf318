"""Accepted requests: the document's example, each model, the default model, the mode left out,
Chinese.

At most four runs are asked for, two more with ``--all-models``; the shared ones count as their
models accepted.
"""

from __future__ import annotations

import functools

from contract import evidence
from contract.check import Capability, Evidence, Level, check
from contract.result import expect, expect_equal
from contract.target import LEFT_OUT, PROMPT, Target
from dify_wire.exchange import Exchange

_MODELS = "openapi.yaml#/components/schemas/ModelName (document line 31)"

_document_check = functools.partial(check, Level.DOCUMENT)


def _expect_accepted(answer: Exchange, media_type: str) -> None:
    """The host ran it; whether the run went well is another matter, and judged elsewhere."""
    expect(answer.status == 200, "status 200", f"status {answer.status}: {answer.text}", answer)
    expect_equal(answer.media_type, media_type, "content type", answer)
    expect(len(answer.body) > 0, "an answer", "an empty body", answer)


def _expect_model_accepted(target: Target, model: str) -> None:
    inputs = {"prompt": PROMPT, "model_name": model}
    _expect_accepted(target.send(target.run_request(inputs=inputs)), "application/json")


@_document_check(
    "openapi.yaml#/paths/~1v1~1workflows~1run/post/requestBody (document lines 36-43)",
    follows_from=("documents_own_request_is_answered_200",),
)
def example_of_the_document_is_accepted(target: Target) -> None:
    """The document's own request, with chilloutmix_NiPrunedFp32Fix, is carried out."""
    _expect_accepted(evidence.blocking(target), "application/json")


@_document_check(
    "openapi.yaml#/components/schemas/Inputs/properties/model_name (document line 31)",
    follows_from=("documents_own_request_is_answered_200",),
)
def model_may_be_left_out(target: Target) -> None:
    """Without a model the host takes its default one."""
    _expect_accepted(evidence.stream(target).exchange, "text/event-stream")


@_document_check(
    _MODELS,
    follows_from=("documents_own_request_is_answered_200",),
    uses=(Evidence.SHARED_RUNS, Evidence.STOPPED_RUN),
)
def model_dosmix_is_accepted(target: Target) -> None:
    """The document's second model is carried out."""
    _expect_accepted(evidence.stopped(target).stream.exchange, "text/event-stream")


@check(
    Level.HOST,
    "FACTS 3, row 8 (recorded: mode_missing)",
    follows_from=("documents_own_request_is_answered_200",),
    uses=(Evidence.RUN_WITHOUT_MODE,),
)
def mode_may_be_left_out(target: Target) -> None:
    """Without response_mode, which the document requires, the host answers as in blocking mode."""
    answer = _without_mode(target)
    _expect_accepted(answer, "application/json")
    expect(
        isinstance(answer.json_object().get("data"), dict), "a blocking answer", answer.text, answer
    )


@_document_check(
    _MODELS,
    follows_from=("documents_own_request_is_answered_200",),
    uses=(Evidence.RUN_WITHOUT_MODE,),
)
def model_ghostmix_is_accepted(target: Target) -> None:
    """The document's third model is carried out."""
    answer = _without_mode(target)
    if answer.status != 200:  # a host may keep to the document and require the mode
        inputs = {"prompt": PROMPT, "model_name": evidence.MODE_LEFT_OUT_MODEL}
        answer = target.send(target.run_request(inputs=inputs))
    _expect_accepted(answer, "application/json")


@_document_check(
    _MODELS,
    Capability.ALL_MODELS,
    follows_from=("documents_own_request_is_answered_200",),
    uses=(Evidence.FOURTH_MODEL,),
)
def model_rundiffusion_is_accepted(target: Target) -> None:
    """The document's fourth model is carried out."""
    _expect_model_accepted(target, evidence.REMAINING_MODELS[0])


@_document_check(
    _MODELS,
    Capability.ALL_MODELS,
    follows_from=("documents_own_request_is_answered_200",),
    uses=(Evidence.FIFTH_MODEL,),
)
def model_v1_5_is_accepted(target: Target) -> None:
    """The document's fifth model, its default, is carried out when it is named."""
    _expect_model_accepted(target, evidence.REMAINING_MODELS[1])


def _without_mode(target: Target) -> Exchange:
    """A run that names its model and leaves response_mode out; asked for once."""
    inputs = {"prompt": PROMPT, "model_name": evidence.MODE_LEFT_OUT_MODEL}
    request = target.run_request(inputs=inputs, response_mode=LEFT_OUT)
    found: Exchange = target.shared("run without response_mode", lambda: target.send(request))
    return found
