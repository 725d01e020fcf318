"""Checks by schema: every exchange of this run against the spec, and generated requests.

Schemathesis generates the wrong bodies, Hypothesis the wrong keys, and neither sends them: they are
sent one by one, nothing is sent again to make an example smaller, and the first that is accepted
ends the check.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

from contract.check import Capability, ContextPool, Level, Phase, add_check, check
from contract.conformance import Spec, documented, observed
from contract.errors import error, expect_error, expect_no_run
from contract.evidence import form_field
from contract.result import Failed, NotRun, Skipped, expect
from contract.shape import is_of_0_6
from contract.target import PROMPT, RUN_PATH, USER, Target, is_accepted_run
from dify_wire.exchange import EVENT_STREAM, Exchange

WRONG_BODIES = 40
WRONG_KEYS = 12
RIGHT_BODIES = 6

# Every exchange of this run
# ------------------------------------------------------------------------------------------


def _expect_conformance(
    target: Target,
    spec: Spec,
    wrong: Callable[[Exchange], Iterator[str]],
    what: str,
    level: Level | None = None,
) -> None:
    """Raise ``Failed`` for the first exchange with anything wrong, with the number of others."""
    checked = [exchange for exchange in list(target.exchanges) if spec.documents(exchange)]
    if not checked:
        raise NotRun("there is no exchange to check")
    found = [(exchange, text) for exchange in checked if (text := next(wrong(exchange), ""))]
    if found:
        exchange, text = found[0]
        got = f"{exchange.request.method} {exchange.request.path}: {text}"
        why = f"{len(found)} of {len(checked)} responses do not conform" if len(found) > 1 else ""
        raise Failed(what, got, exchange, why, level)


def _conforms(
    name: str, claim: str, part: str, wrong: Callable[[Spec, Exchange], Iterator[str]], what: str
) -> None:
    """A check that every exchange of this run is as the spec of the host's version has it."""

    def run(target: Target) -> None:
        spec = observed(target.basis.version)
        level = None if target.basis.is_exact else Level.VERSION
        _expect_conformance(target, spec, lambda exchange: wrong(spec, exchange), what, level)

    source = f"the overlay of the host's version: {part}"
    add_check(name, claim, Level.HOST, source, run, phase=Phase.EXCHANGES, uses=())


# fmt: off
_conforms("every_status_is_documented",
          "No response of this run has a status that spec and overlay do not document.",
          "responses", Spec.wrong_status, "a documented status")
_conforms("every_content_type_is_documented",
          "No response of this run has a content type that spec and overlay do not document with "
          "its status.",
          "responses", Spec.wrong_content_type, "a documented content type")
_conforms("every_body_is_as_its_schema",
          "Every JSON body of this run is valid by the schema of its status.",
          "schemas", Spec.wrong_body, "a body that its schema allows")
_conforms("every_frame_is_as_its_schema",
          "Every frame of every stream of this run is valid by the schema of its event.",
          "StreamFrame", Spec.wrong_frames, "a frame that its schema allows")
# fmt: on


@check(
    Level.DOCUMENT,
    "openapi.yaml#/components/schemas/RunResponse (document lines 44-74)",
    phase=Phase.EXCHANGES,
    uses=(),
)
def every_run_is_described_as_in_the_document(target: Target) -> None:
    """The response of every blocking run that succeeded has the document's members and types."""
    if not is_of_0_6(target.basis.profile):
        raise Skipped("the document describes the 0.6 line; this version's schemas are checked")
    spec = documented()

    def wrong(exchange: Exchange) -> Iterator[str]:
        # Nor does it describe runs that failed, or whose graph ends without files (FACTS 4).
        if is_accepted_run(exchange) and _has_files(exchange):
            yield from spec.wrong_body(exchange)

    _expect_conformance(target, spec, wrong, "a response as the document describes it")


def _has_files(exchange: Exchange) -> bool:
    """Whether the document describes it: not a stream, not a failed run, not outputs without
    files.
    """
    data = exchange.json_object().get("data")
    if exchange.media_type == EVENT_STREAM or not isinstance(data, dict):
        return exchange.media_type != EVENT_STREAM
    outputs = data.get("outputs")
    files = outputs.get("files") if isinstance(outputs, dict) else outputs
    return data.get("status") not in ("failed", "stopped") and files is not None


# Generated requests
# ---------------------------------------------------------------------------------------------


def _request_schema(target: Target) -> dict[str, Any]:
    """What the app documents for a run: the host accepts more, which is not generated."""
    prompt = {
        "type": "string",
        "minLength": 1,
        "maxLength": form_field(target, "prompt").max_length or 1000,
        "pattern": r"^[^\u0000\ud800-\udfff]+$",
    }
    inputs: dict[str, Any] = {"prompt": prompt}
    with contextlib.suppress(Skipped):
        model = form_field(target, "model_name")
        if model.kind == "select" and model.options:
            inputs["model_name"] = {"enum": list(model.options)}
    return {
        "type": "object",
        "required": ["inputs", "user"],
        "properties": {
            "inputs": {"type": "object", "required": ["prompt"], "properties": inputs},
            "response_mode": {"enum": ["blocking", "streaming"]},
            "user": {"type": "string", "minLength": 1, "maxLength": 255},
        },
    }


def _generated(schema: dict[str, Any], mode: str, seed: int, count: int) -> list[Any]:
    """Bodies that schemathesis generates, right or wrong ones by ``mode``."""
    return [case.body for case in _drawn(lambda: _cases(schema, mode), seed, count)]


def _cases(schema: dict[str, Any], mode: str) -> Any:
    import schemathesis

    media = {"application/json": {"schema": schema}}
    post = {
        "requestBody": {"required": True, "content": media},
        "responses": {"200": {"description": "a run"}},
    }
    document = {
        "openapi": "3.1.0",
        "info": {"title": "runs", "version": "1"},
        "paths": {RUN_PATH: {"post": post}},
    }
    # Ignores the user's schemathesis.toml; a larger codec's characters take a second to count.
    config = schemathesis.Config.from_dict({"generation": {"codec": "ascii"}})
    operation = schemathesis.openapi.from_dict(document, config=config)[RUN_PATH]["POST"]
    return operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode))


def _drawn(strategy: Callable[[], Any], seed: int, count: int) -> list[Any]:
    """Values of ``strategy()``, the same for the same seed; one caller at a time, because
    Hypothesis's settings are the process's own.
    """
    import hypothesis

    drawn: list[Any] = []
    settings = hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )

    with _DRAWING, _other_home(), _by_seed_alone():

        @hypothesis.seed(seed)
        @settings
        @hypothesis.given(strategy())
        def draw(value: Any) -> None:
            drawn.append(value)

        draw()
    return drawn


_DRAWING = threading.Lock()


@contextlib.contextmanager
def _by_seed_alone() -> Iterator[None]:
    """Hypothesis without the constants of the loaded code, so that one seed gives the same requests
    everywhere.

    It has no setting for that; a test of two processes with different code fails if its internal
    names change.
    """
    from hypothesis.internal.conjecture import providers

    none = type(providers.GLOBAL_CONSTANTS)()
    own = {
        "_get_local_constants": lambda: none,
        "CONSTANTS_CACHE": type(providers.CONSTANTS_CACHE)(1024),
    }
    usual = {name: getattr(providers, name) for name in own}
    vars(providers).update(own)
    try:
        yield
    finally:
        vars(providers).update(usual)


@contextlib.contextmanager
def _other_home() -> Iterator[None]:
    """A temporary folder for the files that Hypothesis leaves behind."""
    from hypothesis import configuration

    home = configuration.storage_directory(intent_to_write=False).home_directory
    with tempfile.TemporaryDirectory(prefix="contract-", ignore_cleanup_errors=True) as folder:
        configuration.set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            configuration.set_hypothesis_home_dir(home)


def _wrong_bodies(target: Target) -> list[bytes]:
    """Bodies that no recorded version takes for a run, each once."""
    schema = _request_schema(target)
    spec = observed(target.basis.version)
    # a stream that is refused for its inputs may be silent for minutes
    silent = bool(target.basis.profile.fact("request.silence_s"))
    bodies: dict[bytes, None] = {}
    for made in _generated(schema, "negative", target.capabilities.seed, WRONG_BODIES):
        if silent and isinstance(made, dict) and made.get("response_mode") == "streaming":
            made["response_mode"] = "blocking"
        body = made if isinstance(made, bytes) else _as_json(made)
        if body is not None and not _may_pass(spec, body):
            bodies[body] = None
    return list(bodies)


def _as_json(made: Any) -> bytes | None:
    if isinstance(made, dict) and isinstance(made.get("user"), str) and made["user"]:
        made = {**made, "user": USER}  # a host stores every user that it gets; one is enough
    try:
        return json.dumps(made).encode()
    except (TypeError, ValueError):  # meant for another content type
        return None


def _may_pass(spec: Spec, body: bytes) -> bool:
    """Whether a recorded version might run ``body``: valid by the overlay, an empty prompt too
    (FACTS 9.1).
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return False
    inputs = value.get("inputs") if isinstance(value, dict) else None
    if isinstance(inputs, dict) and inputs.get("prompt") == "":
        value = {**value, "inputs": {**inputs, "prompt": PROMPT}}
    return not any(spec.wrong_value({"$ref": "#/components/schemas/RunRequest"}, value))


@check(
    Level.HOST,
    "openapi.yaml#/components/schemas/RunRequest and FACTS 3",
    Capability.DOCUMENT_APP,
    phase=Phase.ERRORS,
    slow=True,
    uses=(),
)
def generated_wrong_bodies_are_refused(target: Target) -> None:
    """No body that schemathesis makes against the schema is run; each is refused with an error of
    the host's form.
    """
    bodies = _wrong_bodies(target)
    if not bodies:
        raise NotRun("nothing was generated")
    shapes = [list(error.body) for error in target.basis.profile.errors.values()]
    for body in bodies:
        response = target.send(target.raw_request("POST", RUN_PATH, body))
        expect_no_run(response)
        statuses = _statuses(body)
        is_right = response.status in statuses
        expect(is_right, f"status {statuses}", f"status {response.status}", response)
        error = response.json_object()
        texts = all(isinstance(error.get(name, ""), str) for name in ("code", "message"))
        is_error = list(error) in shapes and texts
        expect(is_error, "an error of the host's form", response.text, response)


def _statuses(body: bytes) -> tuple[int, ...]:
    """The host fails on JSON that is not an object, and on a user that its database cannot store
    (FACTS 3).
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return (400, 500) if body.lstrip()[:1] in (b"[", b"{") else (400,)
    if not isinstance(value, dict):
        return (500,)
    return (400,) if value.get("user") in (USER, None, "", 0) else (400, 500)


@check(Level.HOST, "FACTS 3, row 2", phase=Phase.ERRORS, slow=True, uses=())
def keys_like_the_right_one_are_refused(target: Target) -> None:
    """Keys that differ from the right one by a character, its case or its end are all unknown, in a
    request that costs no image.
    """
    right = target.capabilities.api_key
    keys = _drawn(lambda: _edits(right), target.capabilities.seed, WRONG_KEYS)
    for key in dict.fromkeys(keys):
        if key not in ("", right):
            response = target.send(target.get_request("/v1/info", key))
            expect_error(response, error("token_unknown"), target.basis)


def _edits(key: str) -> Any:
    from hypothesis import strategies

    place = strategies.integers(0, max(len(key) - 1, 0))
    letter = strategies.sampled_from("ABCxyz019_-.")
    return strategies.one_of(
        strategies.builds(lambda at, new: key[:at] + new + key[at + 1 :], place, letter),
        strategies.builds(lambda at: key[:at] + key[at + 1 :], place),
        strategies.builds(lambda new: key + new, letter),
        strategies.just(key.swapcase()),
        strategies.just(key[:-1]),
    )


@check(
    Level.HOST,
    "overlay: RunRequest",
    Capability.FREE_RUNS,
    Capability.DOCUMENT_APP,
    phase=Phase.GENERATED_RUNS,
    slow=True,
    uses=(),
)
def generated_right_bodies_are_accepted(target: Target) -> None:
    """Every body that schemathesis makes by the schema is run, as far as the budget goes."""
    bodies = _generated(_request_schema(target), "positive", target.capabilities.seed, RIGHT_BODIES)
    with ContextPool(len(bodies)) as pool:
        found = list(pool.map(lambda body: _run_of(target, body), bodies))
    responses = [response for response in found if response is not None]
    if not responses:
        raise Skipped("the budget leaves no run for generated requests (--max-runs)")
    for response in responses:
        got = f"status {response.status}: {response.text}"
        expect(is_accepted_run(response), "status 200", got, response)


def _run_of(target: Target, body: dict[str, Any]) -> Exchange | None:
    """The response to a generated body; None where the budget is spent."""
    try:
        return target.send(target.json_request("POST", RUN_PATH, {**body, "user": USER}))
    except NotRun:
        return None
