"""Whether a host can be judged at all: it is there, it is a Dify, and the key opens a workflow app
of it.

The requests cost nothing: a host refuses them before it runs anything. What ends here is one line
that names the cause and what to do about it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from contract.check import Check, Level
from contract.evidence import changed_run, shared_runs, stop_request
from contract.form import parameters
from contract.result import NotRun
from contract.target import LEFT_OUT, Target, is_accepted_run
from dify_wire.exchange import Exchange

_TITLE = re.compile(r"<title>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_PARAMETERS = frozenset({"user_input_form", "opening_statement"})
_RUN = frozenset({"task_id", "workflow_run_id", "data"})
_QUOTED = 160


class CouldNotRunError(Exception):
    """The suite could not be run: as text, why, and what to do. ``exchange`` shows it."""

    def __init__(self, cause: str, exchange: Exchange | None = None) -> None:
        super().__init__(cause)
        self.exchange = exchange


def reach_clock(target: Target) -> None:
    """Ask the admin API that is lent, if one is, what time it is. Raises ``CouldNotRunError`` where
    it does not say.
    """
    if target.capabilities.clock is None:
        return
    try:
        target.capabilities.clock.now()
    except NotRun as trouble:
        raise CouldNotRunError(trouble.reason) from None


def preflight(target: Target) -> None:
    """Ask for the app's parameters and for a run without inputs. Raises ``CouldNotRunError``.

    A host that answers either of them as a Dify does can be judged, however it misbehaves; that is
    what the checks are for. One that passes is watched: ``target`` asks again when answers make one
    doubt that it is still there.
    """
    told = parameters(target)
    if told.status is None or _is_down(told):
        raise CouldNotRunError(_cause(told), told)
    refused = _run_without_inputs(target, _code(told) == "app_unavailable")
    if refused is not None and (not refused.connected or _is_down(refused)):
        raise CouldNotRunError(_cause(refused), refused)
    _expect_a_dify([one for one in (told, refused) if one is not None])
    _expect_a_workflow(told, refused)
    _expect_that_runs_begin(target)
    if not _is_wrong(told):
        target.still_there = lambda: cause_of(target.send_aside(told.request))


def cause_of(parameters: Exchange) -> str | None:
    """Why a host can no longer be asked, by its answer to GET /v1/parameters; None where it can."""
    if parameters.status == 501 or not (
        _is_down(parameters) or _is_wrong(parameters)
    ):  # 501: a replay has no more
        return None
    return _cause(parameters)


def _run_without_inputs(target: Target, unavailable: bool) -> Exchange | None:
    """The answer to it, None where --max-runs forbids it; an app that is not published says so of
    empty inputs only.
    """
    try:
        return changed_run(target, inputs={} if unavailable else LEFT_OUT)
    except NotRun:
        return None


def _expect_a_dify(answers: Sequence[Exchange]) -> None:
    if all(map(_is_wrong, answers)):
        raise CouldNotRunError(_cause(answers[0]), answers[0])


def _expect_a_workflow(told: Exchange, refused: Exchange | None) -> None:
    if refused is not None and _code(refused) == "not_workflow_app":
        fix = "name the key of a workflow app with --api-key"
        raise CouldNotRunError(
            f"the key opens an app of another kind, such as a chat: {_quoted(refused)}; {fix}",
            refused,
        )
    if _code(told) == "app_unavailable" and not (refused is not None and is_accepted_run(refused)):
        words = " and ".join(_quoted(one) for one in (told, refused) if one is not None)
        fix = "publish it, or name the key of one that is, with --api-key"
        raise CouldNotRunError(
            f"the key opens an app whose workflow is not published: {words}; {fix}", told
        )


def _expect_that_runs_begin(target: Target) -> None:
    """A host without its Redis answers until it is to stop a run, or to begin one."""
    stop = target.send(stop_request(target, "preflight"))
    if stop.status is None or stop.status < 500 or stop.status == 501:
        return
    try:
        both = shared_runs(target)
    except NotRun:
        return
    if all((one.status or 0) >= 500 for one in (both.blocking, both.stream.exchange)):
        raise CouldNotRunError(_cause(both.blocking), both.blocking)


# Causes
# --------------------------------------------------------------------------------------------------------------


def _is_down(answer: Exchange) -> bool:
    """Whether the host, or what stands before it, says that it cannot answer now."""
    return not answer.connected or answer.status in (429, 502, 503, 504)


def _is_wrong(answer: Exchange) -> bool:
    """Whether no Dify that knows our key and has our app answers so."""
    if answer.status is None or answer.status in (401, 403, 404) or answer.status >= 500:
        return True
    told = answer.json_object()
    if answer.status < 300:
        return not (_PARAMETERS & told.keys() or _tells_a_run(answer))
    return answer.status < 400 or not (
        isinstance(told.get("code"), str) and isinstance(told.get("message"), str)
    )


def _tells_a_run(answer: Exchange) -> bool:
    streams = answer.media_type == "text/event-stream" and b'"event"' in answer.body
    return is_accepted_run(answer) and (streams or bool(_RUN & answer.json_object().keys()))


def _cause(answer: Exchange) -> str:
    """What is wrong with ``answer``, and what to do."""
    asked = f"{answer.request.method} {answer.request.target}"
    if not answer.connected:
        return (
            f"no connection: {answer.failure}; start the host, or name its address with --base-url"
        )
    words = _quoted(answer)
    told = f"no Dify is at this address: {asked} was answered with {words}; correct --base-url"
    match answer.status:
        case None:
            told = (
                f"{asked} was not answered: {answer.failure}; is an HTTP server there, and awake?"
            )
        case 502 | 504:
            told = f"a proxy{_server(answer)} answers, but not the host behind it: {words}; start that host"
        case 429 | 503:
            told = f"the host takes no requests now: {words}{_retry(answer)}; wait, or lift its rate limit"
        case 401:
            told = _refused_key(answer)
        case 403:
            told = f"the host refuses the app of the key: {words}; enable the app, or name another --api-key"
        case 404 if _code(answer) == "not_found":
            fix = "enable its API, or name another --api-key"
            told = f"the key's app is disabled or deleted: {asked} was answered with {words}; {fix}"
        case int(status) if 300 <= status < 400:
            told = _redirect(asked, answer)
        case int(status) if status >= 500:
            fix = "look into its log; its database or its Redis may be down"
            told = f"the host fails: {asked} was answered with {words}; {fix}"
    return told


def _refused_key(answer: Exchange) -> str:
    challenge = answer.header("www-authenticate") or ""
    if challenge and not challenge.lower().startswith("bearer") and not answer.json_object():
        return f"something before the host asks for a login: {_quoted(answer)} ({challenge}); ask the host directly"
    message = answer.json_object().get("message")
    told = _one_line(message) if isinstance(message, str) else _quoted(answer).removeprefix("401 ")
    return (
        f"the host refuses the API key: 401 {told}; name the key of a workflow app with --api-key"
    )


def _redirect(asked: str, answer: Exchange) -> str:
    location = answer.header("location") or ""
    try:
        parts = urlsplit(location)
    except ValueError:
        parts = urlsplit("")
    path = answer.request.path
    base = f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix(path).rstrip('/')}"
    fix = (
        f"name --base-url {base}"
        if parts.netloc and parts.path.endswith(path)
        else "name the address that answers"
    )
    return f"{asked} is redirected to {_one_line(location) or 'nowhere'} ({answer.status}); {fix}"


def _code(answer: Exchange) -> object:
    return answer.json_object().get("code")


def _quoted(answer: Exchange) -> str:
    """An answer in a few words: its status, and what it says of itself."""
    told = answer.json_object()
    if isinstance(told.get("message"), str):
        return f"{answer.status} {_one_line(told.get('code') or '')} “{_one_line(told['message'])}”"
    title = _TITLE.search(answer.text[:65536])
    words = (
        title[1]
        if title
        else answer.text[:_QUOTED]
        if answer.media_type == "application/json"
        else ""
    )
    kind = answer.media_type or "no content type"
    return f"{answer.status} {kind}" + (f" “{_one_line(words)}”" if words.strip() else "")


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:_QUOTED]


def _server(answer: Exchange) -> str:
    server = answer.header("server")
    return f" ({_one_line(server)})" if server else ""


def _retry(answer: Exchange) -> str:
    after = answer.header("retry-after")
    return f" (Retry-After: {_one_line(after)})" if after else ""


PREFLIGHT = Check(
    "host_can_be_judged",
    "The host is there, is a Dify, and the key opens a workflow app of it.",
    Level.DOCUMENT,
    "docs/contract.md, Exit codes",
    preflight,
    "preflight",
    uses=(),
)
"""What a report shows in place of all checks where the host could not be judged."""
