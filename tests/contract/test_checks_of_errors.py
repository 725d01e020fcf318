"""The checks of everything but accepted runs: they pass where they should, and each can fail.

A broken host is the fake with one thing changed in its responses. A stopped run, which only a slow
host shows, is the recorded one of a real host.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest

from contract import evidence
from contract.check import Capability, Check, Level, Phase
from contract.checks import CHECKS
from contract.client import HttpTransport
from contract.conformance import documented, observed
from contract.offline import load_exchanges
from contract.request_checks import ROWS, Row
from contract.result import NotRun, Result, Status
from contract.runner import cost, run_check, run_checks
from contract.target import PROMPT, RUN_PATH, USER, Capabilities, Target, Transport, may_run
from dify_wire.exchange import Chunk, Exchange, Request
from dify_wire.profile import REFERENCE_VERSION, profiles
from tests.each import each
from tests.mutants.catalogue import MUTANTS
from tests.serving import ROOT, RunningServer, running_server

pytestmark = pytest.mark.server

RECORDING = ROOT / "recordings" / "dify-0.6.4"
APP_KEYS = {kind: f"app-{kind:0<24}" for kind in ("chat", "unpublished", "disabled", "deleted")}
AREAS = ("app", "auth", "cors", "generated", "models", "run_errors", "routing", "stop")
OURS = {name: check for name, check in CHECKS.items() if check.area in AREAS}
QUICK = [check for check in OURS.values() if not check.slow]
FAKE = [f"--app={key}={kind}" for kind, key in APP_KEYS.items()]

Change = Callable[[Exchange], Exchange]


def with_apps(api_key: str, **capabilities: Any) -> Capabilities:
    return Capabilities(api_key, "secret", APP_KEYS, **capabilities)


@pytest.fixture(scope="module")
def fake() -> Iterator[RunningServer]:
    with running_server("--speed=instant", *FAKE) as server:
        yield server


# They hold
# -------------------------------------------------------------------------------------------------


def run_on(
    server: RunningServer, checks: list[Check], **capabilities: Any
) -> tuple[list[Result], Target]:
    transport = HttpTransport(server.url)
    target = Target(transport, with_apps(server.api_key, **capabilities))
    results = run_checks(target, checks)
    transport.close()
    return results, target


def not_passed(results: list[Result]) -> dict[str, str]:
    """The reason of each check that did not pass."""
    return {
        result.check.name: result.reason for result in results if result.status is not Status.PASSED
    }


def test_all_pass_at_instant_but_those_that_need_time(fake: RunningServer) -> None:
    results, _ = run_on(fake, QUICK, all_models=True, free_runs=True, max_runs=None)
    need_time = {check.name for check in QUICK if Capability.FINITE_SPEED in check.needs}
    assert set(not_passed(results)) == need_time


def test_checks_that_need_time_pass_at_a_finite_speed() -> None:
    checks = [check for check in OURS.values() if Capability.FINITE_SPEED in check.needs]
    with running_server("--speed=10", *FAKE) as server:
        results, _ = run_on(server, checks)
    assert not_passed(results) == {}


@pytest.mark.parametrize(("all_models", "runs"), [(False, 4), (True, 6)])
def test_accepted_runs_are_as_few_as_planned(
    fake: RunningServer, all_models: bool, runs: int
) -> None:
    """A host that keeps the contract pays for 4 runs, or 6 with every model, as planned."""
    results, target = run_on(fake, QUICK, all_models=all_models, max_runs=runs)
    assert target.accepted_runs == runs == cost(QUICK, target.capabilities)
    assert not [result for result in results if result.status in (Status.FAILED, Status.NOT_RUN)]


def test_generated_requests_are_the_same_for_one_seed(fake: RunningServer) -> None:
    """Two runs of the suite send the same wrong bodies."""
    checks = [OURS["generated_wrong_bodies_are_refused"]]
    first, second = (run_on(fake, checks)[1] for _ in range(2))
    sent = [exchange.request.body for exchange in first.exchanges]
    assert sent == [exchange.request.body for exchange in second.exchanges]
    assert 10 < len(sent) <= 60


# Recorded exchanges
# -------------------------------------------------------------------------------------------------


@cache
def recorded() -> Mapping[str, Exchange]:
    return {one.name: one for one in load_exchanges(RECORDING)}


@pytest.mark.parametrize(
    "name", [name for name, check in OURS.items() if check.phase is Phase.EXCHANGES]
)
def test_recorded_exchanges_conform(name: str) -> None:
    """Every recorded exchange, of every app and every mishap, is as spec and overlay have it."""
    target = Target(_Unreachable(), with_apps("app-none"))
    target.exchanges += recorded().values()
    assert run_check(OURS[name], target).status is Status.PASSED
    assert sum(observed("0.6.4").documents(exchange) for exchange in target.exchanges) > 250
    assert sum(documented().documents(exchange) for exchange in target.exchanges) > 200


class _Unreachable:
    def send(self, request: Request, on_chunk: Callable[[bytes], None] | None = None) -> Exchange:
        raise NotRun("no request is expected here")


# Ways of breaking
# -------------------------------------------------------------------------------------------------


def status(code: int) -> Change:
    return lambda answer: replace(answer, status=code)


def header(name: str, value: str | None) -> Change:
    def change(answer: Exchange) -> Exchange:
        kept = tuple(pair for pair in answer.headers if pair[0].lower() != name.lower())
        return replace(answer, headers=kept if value is None else (*kept, (name, value)))

    return change


def body(content: bytes) -> Change:
    return lambda answer: replace(answer, chunks=(Chunk(answer.seconds, content),))


def edited(edit: Callable[[Any], Any]) -> Change:
    """The JSON object changed in place, or replaced by what ``edit`` returns."""

    def change(answer: Exchange) -> Exchange:
        try:
            value = answer.json()
        except ValueError:
            return answer
        made = edit(value)
        return body((json.dumps(made if isinstance(made, dict) else value) + "\n").encode())(answer)

    return change


def member(name: str, value: Any) -> Change:
    return edited(lambda got: got.update({name: value}))


def without(name: str) -> Change:
    return edited(lambda value: value.pop(name, None) and None)


def text(old: str, new: str) -> Change:
    return lambda answer: body(answer.body.replace(old.encode(), new.encode()))(answer)


def event(name: str, edit: Callable[[Any], Any]) -> Change:
    """``data`` of each event of that name changed in place; None from ``edit`` keeps the frame,
    False drops it.
    """

    def frame(raw: bytes) -> bytes:
        if not raw.startswith(b'data: {"event": "' + name.encode() + b'"'):
            return raw + b"\n\n"
        value = json.loads(raw[6:])
        return (
            b""
            if edit(value["data"]) is False
            else b"data: " + json.dumps(value).encode() + b"\n\n"
        )

    def change(answer: Exchange) -> Exchange:
        if answer.media_type != "text/event-stream":
            return answer
        frames = answer.body.split(b"\n\n")[:-1]
        return body(b"".join(frame(raw) for raw in frames))(answer)

    return change


def only(condition: Callable[[Request], bool], change: Change) -> Change:
    return lambda answer: change(answer) if condition(answer.request) else answer


def on(path: str, change: Change) -> Change:
    return only(lambda request: request.path == path, change)


def taken_for_a_run(answer: Exchange) -> Exchange:
    """What a lenient host does."""
    return body(b'{"task_id": "x", "workflow_run_id": "x", "data": {}}')(
        replace(answer, status=200)
    )


def html(answer: Exchange) -> Exchange:
    return header("Content-Type", "text/html")(body(b"<html><title>Oops</title></html>")(answer))


def no_newline(answer: Exchange) -> Exchange:
    return body(answer.body.rstrip())(answer)


def unanswered(answer: Exchange) -> Exchange:
    return replace(answer, status=None, headers=(), chunks=(), ended="cut", error="ReadTimeout")


def disordered(value: Any) -> Any:
    return dict(sorted(value.items(), key=lambda pair: pair[0], reverse="code" in list(value)[:1]))


def _is_not_of_the_form(request: Request) -> bool:
    is_form = (request.method, request.path) == ("GET", "/v1/parameters")
    return not is_form or not request.headers  # without a key it is what a check is about


def beside_the_form(changes: Mapping[str, Change]) -> dict[str, Change]:
    """The same changes to all but the form, which checks read as well."""
    return {way: only(_is_not_of_the_form, change) for way, change in changes.items()}


EVERY_ANSWER = {
    "taken for a run": taken_for_a_run,
    "another status": status(418),
    "another text": member("message", "no"),
    "a page": html,
    "no answer": unanswered,
}
REFUSED = beside_the_form(EVERY_ANSWER)
"""What every check of a whole refusal has to notice."""

LENIENT = beside_the_form(
    {
        "taken for a run": taken_for_a_run,
        "a failure of its own": status(500),
        "no answer": unanswered,
    }
)
"""What every check that only wants some refusal has to notice."""

TEXT = {
    **REFUSED,
    **beside_the_form(
        {"another code": member("code", "no"), "a member more": member("hint", "no")}
    ),
}
ACCEPTED = {
    "refused": status(400),
    "a page": html,
    "no answer": only(may_run, unanswered),
    "empty": body(b""),
}
WIDE = text('": ', '" : ')
NO_METHOD = {
    **REFUSED,
    "no Allow": header("Allow", None),
    "too much in Allow": header("Allow", "POST, GET, OPTIONS"),
}
PAGE = {
    "taken for a run": taken_for_a_run,
    "another status": status(400),
    "JSON": header("Content-Type", "application/json"),
    "another page": body(b"<title>Oops</title>"),
}


def later(answer: Exchange) -> Exchange:
    """A stream that goes on for long enough after the stop call that the host must have looked for
    it.
    """
    return replace(answer, seconds=answer.seconds + 0.5) if may_run(answer.request) else answer


def ended_by_itself(answer: Exchange) -> Exchange:
    return event("workflow_finished", lambda data: data.update(status="succeeded"))(later(answer))


STOPPED_ERROR = event("workflow_finished", lambda data: data.update(error="gone"))
TWO_HUNDRED = {
    "another status": status(201),
    "a page": html,
    "another result": member("result", "done"),
}


def _form(edit: Callable[[Any], Any]) -> Change:
    """A change of the form's field for the model."""
    return on("/v1/parameters", edited(lambda value: edit(value["user_input_form"][1]["select"])))


def _prompt(edit: Callable[[Any], Any]) -> Change:
    return on(
        "/v1/parameters", edited(lambda value: edit(value["user_input_form"][0]["paragraph"]))
    )


def _blocking(change: Change) -> Change:
    return only(
        may_run,
        lambda answer: answer if answer.media_type == "text/event-stream" else change(answer),
    )


def _in_data(edit: Callable[[Any], Any]) -> Change:
    return _blocking(edited(lambda value: "data" in value and edit(value["data"]) and None))


# Every check, and hosts on which it must fail
# -----------------------------------------------------------------------

ADDED_FRAME = event("node_started", lambda data: data.update(mood="good"))
FINISHED_RUNNING_NODE = (
    b'data: {"event": "node_finished", "data": {"id": "%s", "status": "failed"}}\n\n'
)

BROKEN: dict[str, Mapping[str, Change]] = {
    "wrong_key_gets_the_hosts_challenge": {
        "another": header("WWW-Authenticate", "Basic"),
        "accepted": status(200),
    },
    # errors
    "error_has_its_members_in_order": {
        "disordered": edited(disordered),
        "no status": without("status"),
    },
    "field_error_has_its_members_in_order": {
        "disordered": edited(disordered),
        "a status": member("status", 400),
    },
    "host_failure_has_its_members_in_order": {
        "disordered": edited(lambda value: {"code": value["code"], "message": value["message"]}),
        "a page": html,
    },
    "status_in_the_error_is_the_http_status": {
        "another": member("status", 500),
        "a text": member("status", "400"),
    },
    "errors_are_json_without_charset": {
        "a charset": header("Content-Type", "application/json; charset=utf-8")
    },
    "errors_end_with_one_newline": {
        "none": no_newline,
        "two": lambda answer: body(answer.body + b"\n")(answer),
        "indented": lambda answer: body(answer.body.replace(b'{"', b'{\n "'))(answer),
        "not counted": header("Content-Length", "81"),
    },
    "errors_are_written_in_the_hosts_style": {"wide": WIDE, "a page": html},
    "errors_escape_chinese": {
        "unescaped": text("\\u6d41\\u5f0f", "流式"),
        "in capitals": text("\\u5f0f", "\\u5F0F"),
    },
    # routing
    "root_is_as_on_the_host": {
        "another status": status(404),
        "a page": html,
        "no version": without("server_version"),
        "another welcome": member("welcome", "Hello"),
        "another api": member("api_version", "v2"),
    },
    "root_and_header_name_one_version": {
        "another version": member("server_version", "0.0.1"),
        "another header": header("X-Version", "0.0.1"),
    },
    # CORS
    "echoed_origin_varies": {"missing": header("Vary", None), "another": header("Vary", "Cookie")},
    "image_allows_any_origin": {"for none": header("Access-Control-Allow-Origin", None)},
    # app
    "upload_of_a_program_is_as_on_the_host": {
        "another code": member("code", "no"),
        "another status": status(400),
    },
    "parameters_have_form_and_switches": {
        "another status": status(404),
        "a page": html,
        "a member less": without("speech_to_text"),
    },
    "form_is_a_list_of_named_fields": {
        "none": member("user_input_form", []),
        "no list": member("user_input_form", {"prompt": {}}),
        "no variable": _prompt(lambda field: field.pop("variable")),
        "another type": _prompt(lambda field: field.update(type="text-input")),
        "two in one": edited(lambda value: value["user_input_form"][0].update(select={})),
    },
    "form_has_the_documented_inputs": {
        "no prompt": _prompt(lambda field: field.update(variable="text")),
        "no model": _form(lambda field: field.update(variable="style")),
    },
    "form_requires_the_prompt": {
        "open": _prompt(lambda field: field.update(required=False)),
        "a number": on("/v1/parameters", text('"paragraph": {', '"number": {')),
    },
    "form_offers_the_documented_models": {
        "a model less": _form(lambda field: field["options"].pop() and None),
        "renamed": _form(lambda field: field.update(options=["dosmix"])),
    },
    "form_leaves_the_model_open": {"required": _form(lambda field: field.update(required=True))},
    "info_has_name_and_description": {
        "no name": without("name"),
        "a number": member("name", 5),
        "no description": without("description"),
        "another status": status(404),
        "a page": html,
    },
    "response_has_the_headers_of_the_version": {
        "neither cookie nor environment": lambda answer: header("X-Env", None)(
            header("Set-Cookie", None)(answer)
        )
    },
    "info_has_no_other_members": {
        "a member more": member("mood", "good"),
        "one less": without("name"),
    },
    "meta_has_the_icons_of_the_tools": {
        "none": member("tool_icons", None),
        "a number": member("tool_icons", {"sd": 5}),
        "a member more": member("mood", "good"),
        "another status": status(404),
    },
    "app_info_is_written_as_errors_are": {"wide": WIDE, "no newline": no_newline},
    # stop
    "stop_of_an_unknown_task_succeeds": TWO_HUNDRED,
    "stop_of_a_task_without_uuid_succeeds": TWO_HUNDRED,
    "stop_by_another_user_gets_the_same_response": TWO_HUNDRED,
    "stop_response_is_written_as_errors_are": {"wide": WIDE, "no newline": no_newline},
    "stop_takes_a_number_as_user": TWO_HUNDRED,
    "json_with_charset_is_read": {**TWO_HUNDRED, "not read": status(415)},
    "json_of_a_vendor_is_read": {**TWO_HUNDRED, "not read": status(415)},
    "stop_without_a_user_is_400": TEXT,
    "stop_without_a_body_is_400": TEXT,
    "stop_without_a_content_type_is_415": TEXT,
    "stop_needs_the_key": TEXT,
    "get_on_the_stop_path_is_405": NO_METHOD,
    "stop_with_a_chat_key_is_400": TEXT,
    "stop_of_a_run_succeeds": {
        "refused": only(lambda request: request.path.endswith("/stop"), status(404)),
        "another result": only(
            lambda request: request.path.endswith("/stop"), member("result", "done")
        ),
    },
    "stopped_run_ends_as_stopped": {
        "succeeded": ended_by_itself,
        "failed": lambda answer: event(
            "workflow_finished", lambda data: data.update(status="failed")
        )(later(answer)),
        "no end": event("workflow_finished", lambda _: False),
    },
    "stop_takes_effect_within_a_second": {
        "late": only(may_run, lambda answer: replace(answer, seconds=9.0)),
        "succeeded": ended_by_itself,
    },
    "stopped_run_has_no_outputs": {
        "outputs": event("workflow_finished", lambda data: data.update(outputs={"files": []})),
        "files": event("workflow_finished", lambda data: data.update(files=[{}])),
    },
    "stopped_run_counts_the_interrupted_node": {
        "none": event("workflow_finished", lambda data: data.update(total_steps=0)),
        "a node less": event("node_started", lambda data: data["index"] != 1),
    },
    "stop_by_another_user_acts_as_on_the_host": {
        "refused": only(lambda request: request.path.endswith("/stop"), status(403))
    },
    "stopped_run_says_so_in_its_error": {"another text": STOPPED_ERROR},
    "interrupted_node_never_finishes": {
        "finished": event(
            "node_finished", lambda data: data.update(id="93f72a24-1c07-4f0b-9ca0-97ef327bc382")
        ),
        "a node less": event("node_started", lambda data: data["index"] != 1),
        "no node": event("node_started", lambda _: False),
    },
    # models
    "example_of_the_document_is_accepted": ACCEPTED,
    "model_may_be_left_out": ACCEPTED,
    "model_dosmix_is_accepted": ACCEPTED,
    "model_ghostmix_is_accepted": ACCEPTED,
    "model_rundiffusion_is_accepted": ACCEPTED,
    "model_v1_5_is_accepted": ACCEPTED,
    "mode_may_be_left_out": {**ACCEPTED, "no run": without("data")},
    # generated
    "every_status_is_documented": {"undocumented": status(418)},
    "every_content_type_is_documented": {"undocumented": header("Content-Type", "text/csv")},
    "every_body_is_as_its_schema": {
        "a member more": _blocking(member("mood", "good")),
        "a number as text": _in_data(lambda data: data.update(total_tokens="71")),
        "no JSON": only(may_run, body(b"{")),
    },
    "every_frame_is_as_its_schema": {
        "a member more": ADDED_FRAME,
        "an id line": only(may_run, text("data: {", "id: 1\ndata: {")),
        "an event line": only(may_run, text("data: {", "event: run\ndata: {")),
        "an unknown event": only(may_run, text('"node_started"', '"node_begun"')),
        "no JSON": only(may_run, text("data: {", "data: {{")),
    },
    "every_run_is_described_as_in_the_document": {
        "no steps": _in_data(lambda data: data.pop("total_steps")),
        "no status": _in_data(lambda data: data.pop("status")),
        "a file without url": _in_data(lambda data: data["outputs"]["files"][0].pop("url")),
        "no data": _blocking(member("data", None)),
    },
    "generated_wrong_bodies_are_refused": {
        "taken for a run": taken_for_a_run,
        "another status": status(422),
        "no envelope": member("code", 7),
    },
    "keys_like_the_right_one_are_refused": {
        "accepted": status(200),
        "another text": member("message", "no"),
    },
    "generated_right_bodies_are_accepted": {"refused": status(400)},
}


def ways_of(row: Row) -> dict[str, Change]:
    """What must not pass a row of a table: each thing that it compares, changed."""
    ways: dict[str, Change] = {}
    if row.error is not None:
        ways |= TEXT
    elif isinstance(row.status, range):
        ways |= LENIENT
    elif row.status is not None:
        ways["another status"] = status(418)
        ways["no response"] = unanswered
    for name, value in row.headers.items():
        ways[f"another {name}"] = header(name, "other" if value is None else None)
    for name, words in row.lists.items():
        ways[f"no {name}"] = header(name, None)
        ways[f"more in {name}"] = header(name, ", ".join([*words.split(), "other"]))
    if row.body is not None:
        ways["another body"] = body(b"{}")
    if row.title:
        ways |= PAGE
    if row.location:
        ways |= {"nowhere": header("Location", None), "elsewhere": header("Location", "/console/")}
    return ways


BROKEN |= {name: ways_of(ROWS[name]) for name in OURS if name in ROWS}


def test_every_check_has_a_host_that_breaks_it() -> None:
    """A check that nothing makes fail is worth nothing; a function may have a mutant only."""
    named = {killer for mutant in MUTANTS.values() for killer in mutant.killers}
    assert OURS.keys() - named <= BROKEN.keys() <= OURS.keys()
    assert all(BROKEN.values())


# The broken hosts
# -------------------------------------------------------------------------------------------------


TO_BE_STOPPED = json.dumps(
    {
        "inputs": {"prompt": PROMPT, "model_name": evidence.STOPPED_MODEL},
        "response_mode": "streaming",
        "user": USER,
    },
    ensure_ascii=False,
).encode()


@pytest.fixture(scope="module")
def unchanged_host(fake: RunningServer) -> Iterator[_CachedHost]:
    transport = HttpTransport(fake.url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "STOP_NOTICED_S", 0.05)  # the recorded run is stopped at once
        yield _CachedHost(transport)
    transport.close()


class _CachedHost:
    """The responses of another host, each fetched once. A run to be stopped is the recorded one.

    It ends when one of ``users`` says so.
    """

    def __init__(self, host: Transport) -> None:
        self._host = host
        self._answers: dict[Request, Exchange] = {}
        self._stopped, self._call = (
            recorded()["stop_during_stream"],
            recorded()["stop_during_stream_call"],
        )
        self._has_been_stopped = threading.Event()
        self.users = {USER}

    def send(self, request: Request, on_chunk: Callable[[bytes], None] | None = None) -> Exchange:
        if request.path == self._call.request.path:
            if json.loads(request.body)["user"] in self.users:
                self._has_been_stopped.set()
            return replace(self._call, request=request)
        if request.body == TO_BE_STOPPED:
            self._has_been_stopped.clear()
            if on_chunk is not None:
                on_chunk(self._stopped.body)
            assert self._has_been_stopped.wait(10)
            return replace(self._stopped, request=request)
        if request not in self._answers:
            self._answers[request] = self._host.send(request)
        answer = self._answers[request]
        # As long as a run of some time takes, so that checks which need such a host run.
        return replace(answer, seconds=2.0) if answer.media_type == "text/event-stream" else answer


@dataclass
class _Broken:
    """A host that answers as ``host`` does, changed."""

    host: Transport
    change: Change

    def send(self, request: Request, on_chunk: Callable[[bytes], None] | None = None) -> Exchange:
        return self.change(self.host.send(request, on_chunk))


@dataclass
class _Instead:
    """A host that has ``response`` for one request."""

    host: Transport
    request: Request
    response: Exchange

    def send(self, request: Request, on_chunk: Callable[[bytes], None] | None = None) -> Exchange:
        return self.response if request == self.request else self.host.send(request, on_chunk)


def _run_check(name: str, host: Transport, api_key: str) -> Result:
    target = Target(host, with_apps(api_key, all_models=True, free_runs=True, max_runs=None))
    if OURS[name].phase is Phase.EXCHANGES:
        evidence.shared_runs(target)
        target.send(target.json_request("POST", RUN_PATH, {}))
    return run_check(OURS[name], target)


@each("name", OURS)
def test_unchanged_host_passes(name: str, unchanged_host: Transport, fake: RunningServer) -> None:
    """The host that is broken below keeps every promise before it is broken."""
    result = _run_check(name, unchanged_host, fake.api_key)
    assert (result.status, result.reason) == (Status.PASSED, "")


@each(("name", "way"), [(name, way) for name, ways in BROKEN.items() for way in ways])
def test_broken_host_is_caught(
    name: str, way: str, unchanged_host: Transport, fake: RunningServer
) -> None:
    """Each way of breaking a promise is found out, fails the run, and is explained."""
    result = _run_check(name, _Broken(unchanged_host, BROKEN[name][way]), fake.api_key)
    assert result.status is Status.FAILED, result.reason
    assert result.expected
    assert result.got
    assert result.exchange is not None
    assert result.fails()


def test_stop_by_anybody_is_caught(
    unchanged_host: _CachedHost, fake: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that stops a run for another user than its own breaks a promise."""
    monkeypatch.setattr(unchanged_host, "users", {USER, evidence.OTHER_USER})
    result = _run_check("stop_by_another_user_acts_as_on_the_host", unchanged_host, fake.api_key)
    assert (result.status, result.got) == (Status.FAILED, "a run that was stopped")


# What other versions do
# -------------------------------------------------------------------------------------------------

VARIES = [name for name, row in ROWS.items() if name in OURS and row.error and row.error.varies()]

OTHER_VERSION: dict[str, Change] = {
    "wrong_key_gets_the_hosts_challenge": header("WWW-Authenticate", 'Bearer realm="api"'),
    "info_has_no_other_members": member("tags", []),
    "response_has_the_headers_of_the_version": header("Set-Cookie", None),
    "upload_of_a_program_is_as_on_the_host": lambda answer: edited(lambda _: {"id": "x"})(
        status(201)(answer)
    ),
    "stopped_run_says_so_in_its_error": event(
        "workflow_finished", lambda data: data.update(error="Stopped by user.")
    ),
}


def _unrecorded(host: Transport) -> Transport:
    """``host`` as one of a version that was not recorded."""
    return _Broken(host, header("X-Version", "0.6.5"))


def test_every_version_check_knows_another_version() -> None:
    """A check at version level has a version that does otherwise."""
    version_checks = {name for name, check in OURS.items() if check.level is Level.VERSION}
    assert version_checks == {*OTHER_VERSION, *VARIES}


@each("name", VARIES)
def test_error_of_another_version_is_a_difference(
    name: str, unchanged_host: Transport, fake: RunningServer
) -> None:
    target = Target(unchanged_host, with_apps(fake.api_key))
    row, sent = ROWS[name], ROWS[name].request(target)
    assert row.error is not None
    error = row.error.filled(target)
    versions = {name: list(error.bodies(profile)) for name, profile in profiles().items()}
    reference = versions[REFERENCE_VERSION]
    others = [body for bodies in versions.values() for body in bodies if body not in reference]
    for code, content in others:
        answer = replace(unchanged_host.send(sent), status=code)
        host = _Instead(unchanged_host, sent, body((json.dumps(content) + "\n").encode())(answer))
        result = _run_check(name, _unrecorded(host), fake.api_key)
        assert result.status is Status.DIFFERS, result.reason
        assert result.why.endswith("has it")


@pytest.mark.parametrize("name", OTHER_VERSION)
def test_another_version_fails_unless_the_hosts_was_not_recorded(
    name: str, unchanged_host: Transport, fake: RunningServer
) -> None:
    host = _Broken(unchanged_host, OTHER_VERSION[name])
    result = _run_check(name, host, fake.api_key)
    assert (result.status, result.level) == (Status.FAILED, Level.VERSION), result.reason
    lenient = _run_check(name, _unrecorded(host), fake.api_key)
    assert lenient.status is Status.DIFFERS, lenient.reason
    assert not lenient.fails()
    assert lenient.fails(strict=True)


def test_schemas_of_an_unrecorded_version_are_only_differed_from(
    unchanged_host: Transport, fake: RunningServer
) -> None:
    """A host of a version that has no overlay here is compared with the nearest one's schemas."""
    newer = _in_data(lambda data: data["outputs"]["files"][0].pop("__variant"))
    host = _unrecorded(_Broken(unchanged_host, newer))
    result = _run_check("every_body_is_as_its_schema", host, fake.api_key)
    assert (result.status, result.level) == (Status.DIFFERS, Level.VERSION)


# What a deployment decides
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "run_with_an_unknown_model_is_refused",
        "unknown_model_is_400_and_names_the_models",
        "model_in_capitals_is_400",
        "form_offers_the_documented_models",
        "empty_prompt_counts_as_missing",
        "refused_stream_is_plain_json",
    ],
)
def test_model_as_free_text_is_skipped(
    name: str, unchanged_host: Transport, fake: RunningServer
) -> None:
    """Where the app takes any text for the model, nothing is sent that it would run."""
    sent: list[Request] = []

    def free(answer: Exchange) -> Exchange:
        sent.append(answer.request)
        return on("/v1/parameters", text('"select"', '"text-input"'))(answer)

    assert _run_check(name, _Broken(unchanged_host, free), fake.api_key).status is Status.SKIPPED
    assert not any(may_run(request) for request in sent)


def test_longest_prompt_is_the_forms_own(unchanged_host: Transport, fake: RunningServer) -> None:
    """The greatest length is read from the form; on an app without a limit the check is skipped."""
    unlimited = _Broken(unchanged_host, _prompt(lambda field: field.update(max_length=None)))
    result = _run_check("prompt_beyond_the_form_is_400", unlimited, fake.api_key)
    assert result.status is Status.SKIPPED


def test_host_without_a_form_is_held_to_the_document(
    unchanged_host: Transport, fake: RunningServer
) -> None:
    """A host that tells no form is held to the document's models."""
    formless = _Broken(unchanged_host, on("/v1/parameters", status(404)))
    assert (
        _run_check("unknown_model_is_400_and_names_the_models", formless, fake.api_key).status
        is Status.PASSED
    )
    broken = _Broken(formless, on(RUN_PATH, taken_for_a_run))
    assert (
        _run_check("run_with_an_unknown_model_is_refused", broken, fake.api_key).status
        is Status.FAILED
    )


# The budget
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_budget_holds_on_a_host_that_accepts_everything(
    unchanged_host: Transport, fake: RunningServer, limit: int
) -> None:
    """Whatever a lenient host accepts, and however many ask at once, it never pays for more than
    was allowed.
    """
    target = Target(
        _Broken(unchanged_host, only(may_run, taken_for_a_run)),
        with_apps(fake.api_key, max_runs=limit),
    )
    results = run_checks(target, QUICK)
    assert target.accepted_runs == limit
    assert sum(map(may_run, (exchange.request for exchange in target.exchanges))) == limit
    assert len(results) == len(QUICK)


def test_errors_come_before_the_budget_is_spent(fake: RunningServer) -> None:
    """With a budget of one run every check of an error runs all the same."""
    results, target = run_on(fake, QUICK, max_runs=1)
    assert target.accepted_runs == 1
    errors = [result for result in results if result.check.phase is Phase.ERRORS]
    assert not_passed(errors) == {}
