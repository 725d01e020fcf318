"""Accepted requests: the document's example, each model, the default model, the mode left out,
Chinese.

At most four runs, two more with ``--all-models``; the shared ones also show that their models are
accepted.
"""

from __future__ import annotations

import functools

from contract import evidence
from contract.check import Capability, Evidence, Level, check
from contract.result import expect, expect_equal
from contract.target import LEFT_OUT, Target
from dify_wire.exchange import EVENT_STREAM, Exchange

_MODELS = "openapi.yaml#/components/schemas/ModelName (document line 31)"

_accepted_check = functools.partial(check, follows_from=("documents_own_request_gets_200",))


def _expect_accepted(response: Exchange, media_type: str) -> None:
    """The host ran it; other checks look at how the run went."""
    got = f"status {response.status}: {response.text}"
    expect(response.status == 200, "status 200", got, response)
    expect_equal(response.media_type, media_type, "content type", response)
    expect(len(response.body) > 0, "a body", "an empty body", response)


def _run_model(target: Target, model: str) -> Exchange:
    return target.send(target.run_request(inputs=evidence.inputs_with(target, model)))


def _run_without_mode(target: Target) -> Exchange:
    inputs = evidence.inputs_with(target, evidence.MODE_LEFT_OUT_MODEL)
    return evidence.changed_run(target, inputs=inputs, response_mode=LEFT_OUT)


@_accepted_check(
    Level.DOCUMENT,
    "openapi.yaml#/paths/~1v1~1workflows~1run/post/requestBody (document lines 36-43)",
)
def example_of_the_document_is_accepted(target: Target) -> None:
    """The document's own request, with chilloutmix_NiPrunedFp32Fix, is carried out."""
    _expect_accepted(evidence.blocking(target), "application/json")


@_accepted_check(
    Level.DOCUMENT,
    "openapi.yaml#/components/schemas/Inputs/properties/model_name (document line 31)",
)
def model_may_be_left_out(target: Target) -> None:
    """Without a model the host takes its default one."""
    _expect_accepted(evidence.stream(target).exchange, EVENT_STREAM)


@_accepted_check(Level.DOCUMENT, _MODELS, uses=(Evidence.SHARED_RUNS, Evidence.STOPPED_RUN))
def model_dosmix_is_accepted(target: Target) -> None:
    """The document's second model is carried out."""
    _expect_accepted(evidence.stopped(target).stream.exchange, EVENT_STREAM)


@_accepted_check(
    Level.HOST, "FACTS 3, row 8 (recorded: mode_missing)", uses=(Evidence.RUN_WITHOUT_MODE,)
)
def mode_may_be_left_out(target: Target) -> None:
    """Without response_mode, which the document requires, the host responds as in blocking mode."""
    response = _run_without_mode(target)
    _expect_accepted(response, "application/json")
    has_data = isinstance(response.json_object().get("data"), dict)
    expect(has_data, "a blocking response", response.text, response)


@_accepted_check(Level.DOCUMENT, _MODELS, uses=(Evidence.RUN_WITHOUT_MODE,))
def model_ghostmix_is_accepted(target: Target) -> None:
    """The document's third model is carried out."""
    response = _run_without_mode(target)
    if response.status != 200:  # a host may keep to the document and require the mode
        response = _run_model(target, evidence.MODE_LEFT_OUT_MODEL)
    _expect_accepted(response, "application/json")


@_accepted_check(Level.DOCUMENT, _MODELS, Capability.ALL_MODELS, uses=(Evidence.FOURTH_MODEL,))
def model_rundiffusion_is_accepted(target: Target) -> None:
    """The document's fourth model is carried out."""
    _expect_accepted(_run_model(target, evidence.REMAINING_MODELS[0]), "application/json")


@_accepted_check(Level.DOCUMENT, _MODELS, Capability.ALL_MODELS, uses=(Evidence.FIFTH_MODEL,))
def model_v1_5_is_accepted(target: Target) -> None:
    """The document's fifth model, its default, is carried out when it is named."""
    _expect_accepted(_run_model(target, evidence.REMAINING_MODELS[1]), "application/json")
