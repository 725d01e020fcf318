"""What is judged by schema: every exchange of this run against the spec, and generated requests.

Schemathesis makes the wrong bodies, Hypothesis the wrong keys; both only make them. They are sent
one by one, so that nothing is sent again to make an example smaller, and the first that is accepted
ends it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

from contract.check import Capability, Level, Phase, check
from contract.conformance import REFERENCE_VERSION, Spec, documented, observed
from contract.current_check import ContextPool
from contract.errors import error, expect_error
from contract.form import form_field
from contract.result import Failed, NotRun, Skipped, expect
from contract.target import PROMPT, RUN_PATH, USER, Target, is_accepted_run
from dify_wire.exchange import Exchange, Request
from dify_wire.profile import HOST_VERSIONS

_UNKNOWN_KEY = error("token_unknown")

WRONG_BODIES = 40
WRONG_KEYS = 12
RIGHT_BODIES = 6

# Every exchange of this run
# ------------------------------------------------------------------------------------------


def _host_version(target: Target) -> str:
    """The version that the host says it is; the reference where it says none."""
    versions = (exchange.header("X-Version") for exchange in list(target.exchanges))
    return next((version for version in versions if version), REFERENCE_VERSION)


def _observed(target: Target) -> Spec:
    version = _host_version(target)
    if version not in HOST_VERSIONS:
        raise Skipped(f"the host says it is {version}, of which there is no overlay")
    return observed(version)


def _expect_conformance(
    target: Target,
    spec: Spec,
    wrong: Callable[[Exchange], Iterator[str]],
    what: str,
    level: Level | None = None,
) -> None:
    """Raise ``Failed`` for the first exchange with anything wrong; how many more there are
    is told too.
    """
    judged = [exchange for exchange in list(target.exchanges) if spec.documents(exchange)]
    if not judged:
        raise NotRun("there is no exchange to judge")
    found = [
        (exchange, text) for exchange in judged for text in itertools.islice(wrong(exchange), 1)
    ]
    if found:
        exchange, text = found[0]
        asked = f"{exchange.request.method} {exchange.request.path}"
        why = f"{len(found)} of {len(judged)} answers do not conform" if len(found) > 1 else ""
        raise Failed(what, f"{asked}: {text}", exchange, why, level)


@check(Level.HOST, "the overlay of the host's version: responses", phase=Phase.EXCHANGES, uses=())
def every_status_is_documented(target: Target) -> None:
    """No answer of this run has a status that spec and overlay do not document."""
    spec = _observed(target)
    _expect_conformance(target, spec, spec.wrong_status, "a documented status")


@check(Level.HOST, "the overlay of the host's version: responses", phase=Phase.EXCHANGES, uses=())
def every_content_type_is_documented(target: Target) -> None:
    """No answer of this run has a content type that spec and overlay do not document with its
    status.
    """
    spec = _observed(target)
    _expect_conformance(target, spec, spec.wrong_content_type, "a documented content type")


@check(Level.HOST, "the overlay of the host's version: schemas", phase=Phase.EXCHANGES, uses=())
def every_body_is_as_its_schema(target: Target) -> None:
    """Every JSON body of this run is valid by the schema of its status."""
    spec = _observed(target)
    _expect_conformance(target, spec, spec.wrong_body, "a body that its schema allows")


@check(Level.HOST, "the overlay of the host's version: StreamFrame", phase=Phase.EXCHANGES, uses=())
def every_frame_is_as_its_schema(target: Target) -> None:
    """Every frame of every stream of this run is valid by the schema of its event."""
    spec = _observed(target)
    _expect_conformance(target, spec, spec.wrong_frames, "a frame that its schema allows")


@check(
    Level.DOCUMENT,
    "openapi.yaml#/components/schemas/RunResponse (document lines 44-74)",
    phase=Phase.EXCHANGES,
    uses=(),
)
def every_run_is_described_as_in_the_document(target: Target) -> None:
    """The answer of every blocking run that succeeded has the document's members and types."""
    spec = documented()
    # The document is of 2024-04; of a version that came later its members are no promise (FACTS 9).
    level = None if _host_version(target) in HOST_VERSIONS else Level.VERSION

    def wrong(exchange: Exchange) -> Iterator[str]:
        # Nor does it say how a run is told that did not succeed, or whose graph ends without files
        # (FACTS 4).
        if is_accepted_run(exchange) and _tells_files(exchange):
            yield from spec.wrong_body(exchange)

    _expect_conformance(target, spec, wrong, "an answer as the document tells it", level)


def _tells_files(exchange: Exchange) -> bool:
    """Whether it is an answer of the document's kind: not a stream, not a failed run, not outputs
    without files.
    """
    data = exchange.json_object().get("data")
    if exchange.media_type == "text/event-stream" or not isinstance(data, dict):
        return exchange.media_type != "text/event-stream"
    outputs = data.get("outputs")
    files = outputs.get("files") if isinstance(outputs, dict) else outputs
    return data.get("status") not in ("failed", "stopped") and files is not None


# Generated requests
# ---------------------------------------------------------------------------------------------


def _request_schema(target: Target) -> dict[str, Any]:
    """What the app takes for a run, narrower than what the host lets pass: what it does not say is
    not generated.
    """
    prompt = form_field(target, "prompt")
    text = {
        "type": "string",
        "minLength": 1,
        "maxLength": prompt.max_length or 1000,
        "pattern": r"^[^\u0000\ud800-\udfff]+$",
    }
    inputs: dict[str, Any] = {"prompt": text}
    options = _options(target)
    if options:
        inputs["model_name"] = {"enum": list(options)}
    return {
        "type": "object",
        "required": ["inputs", "user"],
        "properties": {
            "inputs": {"type": "object", "required": ["prompt"], "properties": inputs},
            "response_mode": {"enum": ["blocking", "streaming"]},
            "user": {"type": "string", "minLength": 1, "maxLength": 255},
        },
    }


def _options(target: Target) -> tuple[str, ...]:
    try:
        field = form_field(target, "model_name")
    except Skipped:
        return ()
    return field.options if field.kind == "select" else ()


def _generated(schema: dict[str, Any], mode: str, seed: int, count: int) -> list[Any]:
    """Bodies that schemathesis makes of ``schema``, right or wrong ones; with one seed always the
    same.
    """
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
    # Not by the schemathesis.toml of whoever runs this; and a greater codec's characters take a
    # second to count.
    config = schemathesis.Config.from_dict({"generation": {"codec": "ascii"}})
    operation = schemathesis.openapi.from_dict(document, config=config)[RUN_PATH]["POST"]
    return operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode))


def _drawn(strategy: Callable[[], Any], seed: int, count: int) -> list[Any]:
    """Values of ``strategy()``; one caller at a time, because Hypothesis has another home for its
    notes meanwhile.
    """
    with _DRAWING, _other_home(), _by_seed_alone():
        return _draw(strategy(), seed, count)


def _draw(strategy: Any, seed: int, count: int) -> list[Any]:
    import hypothesis

    drawn: list[Any] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def draw(value: Any) -> None:
        drawn.append(value)

    draw()
    return drawn


_DRAWING = threading.Lock()


@contextlib.contextmanager
def _by_seed_alone() -> Iterator[None]:
    """Hypothesis without the constants of whatever code is loaded: with one seed the same requests
    everywhere.

    It has no setting for that; were the names to change, a test of two processes with different
    code would tell.
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
    """A folder for what Hypothesis would leave behind in the user's own."""
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
    spec = observed(REFERENCE_VERSION)
    bodies: dict[bytes, None] = {}
    for made in _generated(schema, "negative", target.capabilities.seed, WRONG_BODIES):
        body = made if isinstance(made, bytes) else _as_json(made)
        if body is not None and not _may_pass(spec, body):
            bodies[body] = None
    return list(bodies)


def _as_json(made: Any) -> bytes | None:
    if isinstance(made, dict) and isinstance(made.get("user"), str) and made["user"]:
        made = {**made, "user": USER}  # a host keeps every user that it hears of; ours is enough
    try:
        return json.dumps(made).encode()
    except (TypeError, ValueError):  # what schemathesis means for another content type
        return None


def _may_pass(spec: Spec, body: bytes) -> bool:
    """Whether a recorded version might run ``body``: valid by the overlay, were an empty prompt no
    flaw (FACTS 9.1).
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return False
    if (
        isinstance(value, dict)
        and isinstance(inputs := value.get("inputs"), dict)
        and inputs.get("prompt") == ""
    ):
        value = {**value, "inputs": {**inputs, "prompt": PROMPT}}
    return not any(spec.wrong_value({"$ref": "#/components/schemas/RunRequest"}, value))


@check(
    Level.HOST,
    "openapi.yaml#/components/schemas/RunRequest and FACTS 3",
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
    for body in bodies:
        answer = target.send(target.raw_request("POST", RUN_PATH, body))
        expect(
            not is_accepted_run(answer),
            "a refusal",
            "status 200: the host took it for a run",
            answer,
        )
        expect(
            answer.status in _statuses(body),
            f"status {_statuses(body)}",
            f"status {answer.status}",
            answer,
        )
        told = answer.json_object()
        named = isinstance(told.get("code"), str) and isinstance(told.get("message"), str)
        expect(named, "a JSON object with code and message", answer.text, answer)


def _statuses(body: bytes) -> tuple[int, ...]:
    """The host fails over JSON that is no object, and over a user that its database cannot keep
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
    """Keys that differ from the right one by a character, its case or its end are all unknown;
    asked for no picture.
    """
    for key in _wrong_keys(target):
        answer = target.send(Request("GET", "/v1/info", (("Authorization", f"Bearer {key}"),)))
        expect_error(answer, _UNKNOWN_KEY)


def _wrong_keys(target: Target) -> list[str]:
    key = target.capabilities.api_key
    made = _drawn(lambda: _edits(key), target.capabilities.seed, WRONG_KEYS)
    return [edited for edited in dict.fromkeys(made) if edited and edited != key]


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
    phase=Phase.GENERATED_RUNS,
    slow=True,
    uses=(),
)
def generated_right_bodies_are_accepted(target: Target) -> None:
    """Every body that schemathesis makes by the schema is run, as far as the budget goes."""
    bodies = _generated(_request_schema(target), "positive", target.capabilities.seed, RIGHT_BODIES)
    with ContextPool(len(bodies)) as pool:
        answers = [
            answer for answer in pool.map(lambda body: _accepted(target, body), bodies) if answer
        ]
    if not answers:
        raise Skipped("the budget leaves no run for generated requests (--max-runs)")
    for answer in answers:
        expect(
            is_accepted_run(answer), "status 200", f"status {answer.status}: {answer.text}", answer
        )


def _accepted(target: Target, body: dict[str, Any]) -> Exchange | None:
    """The answer to a generated body; None where the budget is spent."""
    try:
        return target.send(
            target.raw_request("POST", RUN_PATH, json.dumps({**body, "user": USER}).encode())
        )
    except NotRun:
        return None
