"""Stopping a run: the call, which always succeeds, and what becomes of the stream (FACTS 5.3 and
7).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from contract import evidence
from contract.check import Capability, Evidence, Level, Phase, add_check, check, free_check
from contract.errors import error, expect_error_style, expect_json
from contract.evidence import OTHER_USER, stop_request
from contract.request_checks import Row, add_rows, with_key
from contract.result import NotRun, Skipped, expect, expect_equal, expect_version
from contract.shape import empty_outputs
from contract.target import Target
from dify_wire.exchange import Exchange, Request
from dify_wire.profile import Profile

# Tasks that no host has; the recorded host was asked about each of them with just the request that
# is sent here.
_UNKNOWN = "9a019c37-4669-485c-9261-5867ea017733"
_WITHOUT_USER = "d562ee2d-cb2d-4916-9888-91628990bf1f"
_WITHOUT_BODY = "1321d0a3-8813-46ad-a38f-18d80e9de7b6"
_WITHOUT_KEY = "4eac1db0-7956-47f4-b6b0-7380e54e5548"
_WITH_CHAT_KEY = "f87ffb7a-cdc1-443c-918d-127d1f3700ca"
_WITH_USER_NUMBER = "68d1f4d5-65e9-434d-8fb5-f436f709d65f"

POLL_S = 1.0
SLACK_S = 2.0


def _path(task_id: str) -> str:
    return f"/v1/workflows/tasks/{task_id}/stop"


def _expect_success(response: Exchange) -> None:
    expect_json(response)
    expect_equal(dict(response.json_object()), {"result": "success"}, "body", response)


# The call
# -------------------------------------------------------------------------------------------------


def _succeeds(name: str, claim: str, source: str, request: Callable[[Target], Request]) -> None:
    def run(target: Target) -> None:
        _expect_success(target.send(request(target)))

    add_check(name, claim, Level.HOST, source, run, uses=(), phase=Phase.ERRORS)


def _as_type(content_type: str) -> Callable[[Target], Request]:
    def make(target: Target) -> Request:
        stop = stop_request(target, _UNKNOWN)
        headers = (stop.headers[0], ("Content-Type", content_type))
        return Request(stop.method, stop.path, headers, stop.body)

    return make


# fmt: off
_succeeds("stop_of_an_unknown_task_succeeds", "A stop of a task that the host never had succeeds.",
          "FACTS 7 (recorded: stop_unknown)", lambda target: stop_request(target, _UNKNOWN))
_succeeds("stop_of_a_task_without_uuid_succeeds",
          "A stop of a task id that is not a uuid succeeds.",
          "FACTS 7 (captured on 0.6.4: stop_nonuuid)", lambda target: stop_request(target, "x"))
_succeeds("stop_by_another_user_gets_the_same_response",
          "A stop succeeds for any user, though it stops only the user's own run.",
          "FACTS 7 (captured on 0.6.4: stop_during_wronguser_call)",
          lambda target: stop_request(target, _UNKNOWN, OTHER_USER))
_succeeds("stop_takes_a_number_as_user", "A user that is a number is taken for its digits.",
          "FACTS 7 (recorded: stop_user_number)",
          lambda target: target.json_request("POST", _path(_WITH_USER_NUMBER), {"user": 5}))
_succeeds("json_with_charset_is_read", "A Content-Type may say more than application/json; seen on "
          "the stop call, where it costs nothing.",
          "FACTS 3, row 4: accepted content types", _as_type("Application/JSON; charset=utf-8"))
_succeeds("json_of_a_vendor_is_read",
          "application/*+json is JSON too; seen on the stop call, where it costs nothing.",
          "FACTS 3, row 4: accepted content types (recorded: ct_vnd)",
          _as_type("application/vnd.api+json"))

add_rows(__name__, [
    Row("stop_without_a_user_is_400", "The stop call needs the user.",
        "FACTS 7 (recorded: stop_missing_user)",
        lambda target: target.json_request("POST", _path(_WITHOUT_USER), {}),
        error("user_missing")),
    Row("stop_without_a_body_is_400", "The stop call needs a body.",
        "FACTS 7 (recorded: stop_nobody)",
        lambda target: target.raw_request("POST", _path(_WITHOUT_BODY), b""),
        error("json_malformed")),
    Row("stop_without_a_content_type_is_415", "The stop call needs to be called JSON.",
        "FACTS 7 (recorded: stop_noct)",
        with_key("POST", _path("x")), error("content_type_not_json")),
    Row("stop_needs_the_key", "A run cannot be stopped without a key.",
        "FACTS 7 (recorded: stop_noauth)",
        lambda _: Request("POST", _path(_WITHOUT_KEY), (("Content-Type", "application/json"),),
                          b'{"user": "a"}'),
        error("auth_header_missing")),
    Row("get_on_the_stop_path_is_405", "A stop needs POST.", "FACTS 7",
        with_key("GET", _path(_UNKNOWN)), error("method_not_allowed"),
        lists={"Allow": "POST OPTIONS"}),
    Row("stop_with_a_chat_key_is_400", "A chat app's key stops no workflow.",
        "FACTS 7 (recorded: stop_chatkey)",
        lambda target: target.json_request("POST", _path(_WITH_CHAT_KEY), {"user": "a"},
                                           target.app_key(Capability.CHAT_KEY)),
        error("not_workflow_app"), needs=(Capability.CHAT_KEY,)),
])
# fmt: on


@free_check(Level.HOST, "FACTS 1.7 (recorded: stop_unknown)")
def stop_response_is_written_as_errors_are(target: Target) -> None:
    """The JSON of the stop call's response is one line with spaces, and ends with a newline."""
    expect_error_style(target.send(stop_request(target, _UNKNOWN)), target.basis)


# What becomes of the run
# -------------------------------------------------------------------------------------------------


_run_check = functools.partial(
    check,
    follows_from=("first_frame_comes_at_once",),
    uses=(Evidence.SHARED_RUNS, Evidence.STOPPED_RUN),
)


def _stopped(target: Target) -> tuple[evidence.Stopped, Exchange]:
    """The stopped run and the call that stopped it, where the run went on long enough for it."""
    found = evidence.stopped(target)
    if found.call is None:
        reason = "no frame of the stream named the task to stop"
        raise found.error or NotRun(reason, found.stream.exchange)
    return found, found.call


def _end_after_call_s(stopped: evidence.Stopped, call: Exchange) -> float:
    run = stopped.stream.exchange
    return run.sent_at + run.seconds - (call.sent_at + call.seconds)


def _end(target: Target) -> tuple[Mapping[str, Any], Exchange]:
    """``data`` of the stopped run's last event, and the run."""
    stopped, call = _stopped(target)
    run = stopped.stream.exchange
    last = stopped.stream.events("workflow_finished")
    expect(bool(last), "a workflow_finished", "none", run)
    if _end_after_call_s(stopped, call) < POLL_S and _ended_by_itself(stopped):
        raise Skipped("the run ended by itself before the host looked for a stop")
    return last[-1], run


def _stopped_end(target: Target) -> tuple[Mapping[str, Any], Exchange]:
    """As ``_end``. Raises ``Failed`` unless it ended as stopped."""
    finished, run = _end(target)
    expect_equal(finished.get("status"), "stopped", "status of workflow_finished", run)
    return finished, run


def _ended_by_itself(stopped: evidence.Stopped) -> bool:
    """Whether every node came to its end, as in a run that was not stopped."""
    started, finished = _node_ids(stopped)
    ends = stopped.stream.events("workflow_finished")
    is_stopped = any(end.get("status") == "stopped" for end in ends)
    return bool(started) and started == finished and not is_stopped


def _node_ids(stopped: evidence.Stopped) -> tuple[list[Any], list[Any]]:
    """The executions that started, and those that finished."""
    started, finished = (
        [node.get("id") for node in stopped.stream.events(event)]
        for event in ("node_started", "node_finished")
    )
    return started, finished


@_run_check(Level.HOST, "FACTS 7 (recorded: stop_during_stream_call)")
def stop_of_a_run_succeeds(target: Target) -> None:
    """The call that stops a run succeeds."""
    _, call = _stopped(target)
    _expect_success(call)


@_run_check(Level.HOST, "FACTS 7 (recorded: stop_during_stream)", Capability.FINITE_SPEED)
def stopped_run_ends_as_stopped(target: Target) -> None:
    """A stopped run ends with workflow_finished and the status stopped."""
    _stopped_end(target)


@_run_check(
    Level.HOST, "FACTS 7: 1 s poll (captured on 0.6.4: stop_during_block)", Capability.FINITE_SPEED
)
def stop_takes_effect_within_a_second(target: Target) -> None:
    """The host looks for a stop once a second, so that the stream ends soon after the call."""
    late_s = _end_after_call_s(*_stopped(target))
    _, run = _stopped_end(target)
    expected = f"an end within {POLL_S:g} s (+ {SLACK_S:g} s)"
    expect(late_s <= POLL_S + SLACK_S, expected, f"{late_s:.2f} s", run)


@_run_check(Level.HOST, "FACTS 4 (recorded: stop_during_stream)", Capability.FINITE_SPEED)
def stopped_run_has_no_outputs(target: Target) -> None:
    """A stopped run has no outputs and no files."""
    finished, run = _stopped_end(target)
    got = finished.get("outputs", "")
    expect_version(got, empty_outputs, "outputs", target.basis, run)
    expect_equal(finished.get("files"), [], "files", run)


@_run_check(
    Level.VERSION, "FACTS 7 and 9.1 (recorded: stop_during_stream)", Capability.FINITE_SPEED
)
def stopped_run_says_so_in_its_error(target: Target) -> None:
    """The error of a stopped run says that it was stopped."""
    finished, run = _end(target)

    def text(profile: Profile) -> object:
        return profile.fact("run.stop_error")

    expect_version(finished.get("error"), text, "error", target.basis, run)


@_run_check(Level.HOST, "FACTS 4 (recorded: stop_during_stream)", Capability.FINITE_SPEED)
def stopped_run_counts_the_interrupted_node(target: Target) -> None:
    """The steps of a stopped run are the nodes that started, the interrupted one among them."""
    finished, run = _end(target)
    started, _ = _node_ids(evidence.stopped(target))
    expect_equal(finished.get("total_steps"), len(started), "total_steps", run)


@_run_check(
    Level.HOST, "FACTS 7 (captured on 0.6.4: stop_during_wronguser_call)", Capability.FINITE_SPEED
)
def stop_by_another_user_acts_as_on_the_host(target: Target) -> None:
    """A run goes on when another user than its own stops it, though that call succeeds; since 1.9
    anyone stops it.
    """
    stopped, _ = _stopped(target)
    run = stopped.stream.exchange
    if stopped.other_users_call is None:
        raise NotRun("there was no time for another user's call", run)
    _expect_success(stopped.other_users_call)
    if not stopped.survived_it and _ended_by_itself(stopped):
        raise Skipped("the run ended by itself before the host looked for a stop")

    def survives(profile: Profile) -> str:
        is_safe = profile.fact("run.stopped_by") == "owner"
        return "a run that goes on" if is_safe else "a run that was stopped"

    got = "a run that goes on" if stopped.survived_it else "a run that was stopped"
    expect_version(got, survives, "", target.basis, run)


@_run_check(Level.HOST, "FACTS 5.3 (recorded: stop_during_stream)", Capability.FINITE_SPEED)
def interrupted_node_never_finishes(target: Target) -> None:
    """The node that was running when the run was stopped has no node_finished."""
    _, run = _stopped_end(target)
    started, finished = _node_ids(evidence.stopped(target))
    expect(bool(started), "a node_started", "none", run)
    expect(started[-1] not in finished, f"no node_finished of {started[-1]}", "one", run)
    expect_equal(finished, started[:-1], "nodes that finished", run)
