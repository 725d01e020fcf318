"""Stopping a run: the call, which always says success, and what becomes of the stream (FACTS 5.3
and 7).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from contract import evidence
from contract.check import Capability, Evidence, Level, check, free_check
from contract.errors import error, expect_error, expect_error_style
from contract.result import NotRun, Skipped, expect, expect_equal, expect_version
from contract.target import Target
from dify_wire.exchange import Exchange, Request

_MALFORMED = error("json_malformed")
_NO_BEARER = error("auth_header_missing")
_NO_METHOD = error("method_not_allowed")
_NO_USER = error("user_missing")
_NOT_JSON = error("content_type_not_json")
_NOT_WORKFLOW = error("not_workflow_app")

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

_host_check = functools.partial(free_check, Level.HOST)


def _path(task_id: str) -> str:
    return f"/v1/workflows/tasks/{task_id}/stop"


def _expect_success(answer: Exchange) -> None:
    expect_equal(answer.status, 200, "status", answer)
    expect_equal(answer.media_type, "application/json", "content type", answer)
    expect_equal(dict(answer.json_object()), {"result": "success"}, "body", answer)


def _stopped(target: Target) -> tuple[evidence.Stopped, Exchange]:
    """The stopped run and the call that stopped it, where the run went on long enough for it."""
    stopped = evidence.stopped(target)
    if stopped.call is None:
        raise stopped.error or NotRun(
            "no frame of the stream named the task to stop", stopped.stream.exchange
        )
    return stopped, stopped.call


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


def _ended_by_itself(stopped: evidence.Stopped) -> bool:
    """Whether every node came to its end, as in a run that nobody stopped."""
    started, ended = _nodes(stopped, "node_started"), _nodes(stopped, "node_finished")
    is_stopped = any(
        end.get("status") == "stopped" for end in stopped.stream.events("workflow_finished")
    )
    return bool(started) and started == ended and not is_stopped


def _nodes(stopped: evidence.Stopped, event: str) -> list[Any]:
    return [node.get("id") for node in stopped.stream.events(event)]


# The call
# ------------------------------------------------------------------------------------------------------------


@_host_check("FACTS 7 (recorded: stop_unknown)")
def stop_of_an_unknown_task_succeeds(target: Target) -> None:
    """The host says success for a task that it never had."""
    _expect_success(target.send(evidence.stop_request(target, _UNKNOWN)))


@_host_check("FACTS 7 (captured on 0.6.4: stop_nonuuid)")
def stop_of_a_task_without_uuid_succeeds(target: Target) -> None:
    """The host says success for a task id that is none."""
    _expect_success(target.send(evidence.stop_request(target, "x")))


@_host_check("FACTS 7 (captured on 0.6.4: stop_during_wronguser_call)")
def stop_by_another_user_gets_the_same_response(target: Target) -> None:
    """Whoever asks, the answer is success; that it stops only the user's own run is not told."""
    _expect_success(target.send(evidence.stop_request(target, _UNKNOWN, evidence.OTHER_USER)))


@_host_check("FACTS 7 (recorded: stop_user_number)")
def stop_takes_a_number_as_user(target: Target) -> None:
    """A user that is a number is taken for its digits."""
    _expect_success(target.send(target.json_request("POST", _path(_WITH_USER_NUMBER), {"user": 5})))


@_host_check("FACTS 1.7 (recorded: stop_unknown)")
def stop_response_is_written_as_errors_are(target: Target) -> None:
    """The JSON of the stop call's answer is one line with blanks, and ends with a newline."""
    expect_error_style(target.send(evidence.stop_request(target, _UNKNOWN)))


@_host_check("FACTS 3, row 4: accepted content types")
def json_with_charset_is_read(target: Target) -> None:
    """A Content-Type may say more than application/json; seen on the stop call, where it costs
    nothing.
    """
    stop = evidence.stop_request(target, _UNKNOWN)
    headers = (stop.headers[0], ("Content-Type", "Application/JSON; charset=utf-8"))
    _expect_success(target.send(Request(stop.method, stop.path, headers, stop.body)))


@_host_check("FACTS 3, row 4: accepted content types (recorded: ct_vnd)")
def json_of_a_vendor_is_read(target: Target) -> None:
    """application/*+json is JSON too; seen on the stop call, where it costs nothing."""
    stop = evidence.stop_request(target, _UNKNOWN)
    headers = (stop.headers[0], ("Content-Type", "application/vnd.api+json"))
    _expect_success(target.send(Request(stop.method, stop.path, headers, stop.body)))


@_host_check("FACTS 7 (recorded: stop_missing_user)")
def stop_without_a_user_is_400(target: Target) -> None:
    """The stop call needs the user."""
    expect_error(target.send(target.json_request("POST", _path(_WITHOUT_USER), {})), _NO_USER)


@_host_check("FACTS 7 (recorded: stop_nobody)")
def stop_without_a_body_is_400(target: Target) -> None:
    """The stop call needs a body."""
    expect_error(target.send(target.raw_request("POST", _path(_WITHOUT_BODY), b"")), _MALFORMED)


@_host_check("FACTS 7 (recorded: stop_noct)")
def stop_without_a_content_type_is_415(target: Target) -> None:
    """The stop call needs to be called JSON."""
    expect_error(target.send(target.get_request(_path("x"), method="POST")), _NOT_JSON)


@_host_check("FACTS 7 (recorded: stop_noauth)")
def stop_needs_the_key(target: Target) -> None:
    """Nobody stops a run without a key."""
    request = Request(
        "POST", _path(_WITHOUT_KEY), (("Content-Type", "application/json"),), b'{"user": "a"}'
    )
    expect_error(target.send(request), _NO_BEARER)


@_host_check("FACTS 7")
def get_on_the_stop_path_is_405(target: Target) -> None:
    """A stop cannot be got."""
    answer = target.send(target.get_request(_path(_UNKNOWN)))
    expect_error(answer, _NO_METHOD)
    allowed = {word.strip() for word in (answer.header("Allow") or "").split(",")}
    expect(allowed == {"POST", "OPTIONS"}, "Allow: POST, OPTIONS", answer.header("Allow"), answer)


@_host_check("FACTS 7 (recorded: stop_chatkey)", Capability.CHAT_KEY)
def stop_with_a_chat_key_is_400(target: Target) -> None:
    """A chat app's key stops no workflow."""
    key = target.app_key(Capability.CHAT_KEY)
    answer = target.send(target.json_request("POST", _path(_WITH_CHAT_KEY), {"user": "a"}, key))
    expect_error(answer, _NOT_WORKFLOW)


# What becomes of the run
# ---------------------------------------------------------------------------------------------


@check(
    Level.HOST,
    "FACTS 7 (recorded: stop_during_stream_call)",
    follows_from=("first_frame_comes_at_once",),
    uses=(Evidence.SHARED_RUNS, Evidence.STOPPED_RUN),
)
def stop_of_a_run_succeeds(target: Target) -> None:
    """The call that stops a run says success."""
    _, call = _stopped(target)
    _expect_success(call)


@check(
    Level.HOST,
    "FACTS 7 (recorded: stop_during_stream)",
    Capability.FINITE_SPEED,
    follows_from=("first_frame_comes_at_once",),
    uses=(Evidence.SHARED_RUNS, Evidence.STOPPED_RUN),
)
def stopped_run_ends_as_stopped(target: Target) -> None:
    """The run that was told to stop ends with workflow_finished and the status stopped."""
    finished, run = _end(target)
    expect_equal(finished.get("status"), "stopped", "status of workflow_finished", run)


@check(
    Level.HOST,
    "FACTS 7: 1 s poll (captured on 0.6.4: stop_during_block)",
    Capability.FINITE_SPEED,
    follows_from=("first_frame_comes_at_once",),
    uses=(Evidence.SHARED_RUNS, Evidence.STOPPED_RUN),
)
def stop_takes_effect_within_a_second(target: Target) -> None:
    """The host looks for a stop once a second, so that the stream ends soon after the call."""
    stopped, call = _stopped(target)
    finished, run = _end(target)
    expect_equal(finished.get("status"), "stopped", "status of workflow_finished", run)
    late_s = _end_after_call_s(stopped, call)
    expect(
        late_s <= POLL_S + SLACK_S,
        f"an end within {POLL_S:g} s (+ {SLACK_S:g} s)",
        f"{late_s:.2f} s",
        run,
    )


@check(
    Level.HOST,
    "FACTS 4 (recorded: stop_during_stream)",
    Capability.FINITE_SPEED,
    follows_from=("first_frame_comes_at_once",),
    uses=(Evidence.SHARED_RUNS, Evidence.STOPPED_RUN),
)
def stopped_run_has_no_outputs(target: Target) -> None:
    """A stopped run has no outputs and no files."""
    finished, run = _end(target)
    expect_equal(finished.get("status"), "stopped", "status of workflow_finished", run)
    expect(finished.get("outputs") is None, "outputs null", finished.get("outputs"), run)
    expect_equal(finished.get("files"), [], "files", run)


@check(
    Level.VERSION,
    "FACTS 7 and 9.1 (recorded: stop_during_stream)",
    Capability.FINITE_SPEED,
    follows_from=("first_frame_comes_at_once",),
    uses=(Evidence.SHARED_RUNS, Evidence.STOPPED_RUN),
)
def stopped_run_says_so_in_its_error(target: Target) -> None:
    """The error of a stopped run says that it was stopped."""
    finished, run = _end(target)
    of_versions = {"0.6.4": "Workflow stopped.", "0.15.3": "Stopped by user."}
    expect_version(finished.get("error"), of_versions, "error", run)


@check(
    Level.HOST,
    "FACTS 4 (recorded: stop_during_stream)",
    Capability.FINITE_SPEED,
    follows_from=("first_frame_comes_at_once",),
    uses=(Evidence.SHARED_RUNS, Evidence.STOPPED_RUN),
)
def stopped_run_counts_the_interrupted_node(target: Target) -> None:
    """The steps of a stopped run are the nodes that started, the interrupted one among them."""
    finished, run = _end(target)
    started = len(_nodes(evidence.stopped(target), "node_started"))
    expect_equal(finished.get("total_steps"), started, "total_steps", run)


@check(
    Level.HOST,
    "FACTS 7 (captured on 0.6.4: stop_during_wronguser_call)",
    Capability.FINITE_SPEED,
    follows_from=("first_frame_comes_at_once",),
    uses=(Evidence.SHARED_RUNS, Evidence.STOPPED_RUN),
)
def stop_by_another_user_stops_nothing(target: Target) -> None:
    """A run goes on when another user than its own says stop, though that is told success."""
    stopped, _ = _stopped(target)
    if stopped.other_users_call is None:
        raise NotRun("there was no time for another user's call", stopped.stream.exchange)
    _expect_success(stopped.other_users_call)
    if not stopped.survived_it and _ended_by_itself(stopped):
        raise Skipped("the run ended by itself before the host looked for a stop")
    expect(
        stopped.survived_it, "a run that goes on", "a run that was stopped", stopped.stream.exchange
    )


@check(
    Level.HOST,
    "FACTS 5.3 (recorded: stop_during_stream)",
    Capability.FINITE_SPEED,
    follows_from=("first_frame_comes_at_once",),
    uses=(Evidence.SHARED_RUNS, Evidence.STOPPED_RUN),
)
def interrupted_node_never_finishes(target: Target) -> None:
    """The node that was running when the run was stopped has no node_finished."""
    finished, run = _end(target)
    expect_equal(finished.get("status"), "stopped", "status of workflow_finished", run)
    stopped = evidence.stopped(target)
    started, ended = _nodes(stopped, "node_started"), _nodes(stopped, "node_finished")
    expect(bool(started), "a node_started", "none", run)
    expect(started[-1] not in ended, f"no node_finished of {started[-1]}", "one", run)
    expect_equal(ended, started[:-1], "nodes that finished", run)
