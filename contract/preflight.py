"""Whether a host can be checked: it is there, it is a Dify, and the key opens a workflow app.

The requests cost nothing: a host refuses them before it runs anything. The error is one line that
names the cause and what to do about it.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from contract.check import Check, Level
from contract.evidence import changed_run, parameters, shared_runs, stop_request
from contract.result import NotRun
from contract.target import LEFT_OUT, Target, is_accepted_run
from dify_wire.exchange import EVENT_STREAM, Exchange

_TITLE = re.compile(r"<title>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_PARAMETERS = frozenset({"user_input_form", "opening_statement"})
_RUN = frozenset({"task_id", "workflow_run_id", "data"})
_MAX_QUOTED = 160
_NO_UPSTREAM = (502, 504)
_OVERLOADED = (429, 503)
_REPLAY_MISS = 501


class CouldNotRunError(Exception):
    """The suite could not run; the message says why, and what to do. ``exchange`` shows it."""

    def __init__(self, cause: str, exchange: Exchange | None = None) -> None:
        super().__init__(cause)
        self.exchange = exchange


def reach_clock(target: Target) -> None:
    """Read the host's clock, if there is one. Raises ``CouldNotRunError``."""
    if target.capabilities.clock is None:
        return
    try:
        target.capabilities.clock.now()
    except NotRun as error:
        raise CouldNotRunError(error.reason) from None


def preflight(target: Target) -> None:
    """Send GET /v1/parameters and a run without inputs. Raises ``CouldNotRunError``.

    A host that responds to either as a Dify does can be checked, however it misbehaves: that is
    what the checks are for. From then on ``target`` probes it after doubtful responses.
    """
    info = parameters(target)
    if info.status is None or _is_down(info):
        raise _error(info)
    responses = [info]
    try:
        # An app that is not published says so only for empty inputs.
        unavailable = _code(info) == "app_unavailable"
        responses.append(changed_run(target, inputs={} if unavailable else LEFT_OUT))
    except NotRun:  # --max-runs forbids it
        pass
    run = responses[-1]
    if _is_down(run):
        raise _error(run)
    if all(map(_is_wrong, responses)):
        raise _error(info)
    _expect_a_workflow(info, run)
    _expect_that_runs_begin(target)
    if not _is_wrong(info):
        target.probe = lambda: cause_of(target.send_aside(info.request))


def cause_of(parameters: Exchange) -> str | None:
    """Why a host no longer works, by its response to GET /v1/parameters; None if it does."""
    works = not (_is_down(parameters) or _is_wrong(parameters))
    return None if works or parameters.status == _REPLAY_MISS else _cause(parameters)


def _error(exchange: Exchange) -> CouldNotRunError:
    return CouldNotRunError(_cause(exchange), exchange)


def _expect_a_workflow(info: Exchange, run: Exchange) -> None:
    if _code(run) == "not_workflow_app":
        cause = f"the key opens an app of another kind, such as a chat: {_quoted(run)}"
        raise CouldNotRunError(f"{cause}; name the key of a workflow app with --api-key", run)
    if _code(info) == "app_unavailable" and not is_accepted_run(run):
        errors = " and ".join(dict.fromkeys(map(_quoted, (info, run))))
        cause = f"the key opens an app whose workflow is not published: {errors}"
        fix = "publish it, or name the key of one that is, with --api-key"
        raise CouldNotRunError(f"{cause}; {fix}", info)


def _expect_that_runs_begin(target: Target) -> None:
    """A host without its Redis responds until it is to stop or begin a run."""
    stop = target.send(stop_request(target, "preflight"))
    if stop.status is None or stop.status < 500 or stop.status == _REPLAY_MISS:
        return
    try:
        runs = shared_runs(target)
    except NotRun:
        return
    if all((one.status or 0) >= 500 for one in (runs.blocking, runs.stream.exchange)):
        raise _error(runs.blocking)


# Causes


def _is_down(exchange: Exchange) -> bool:
    """Whether the host, or a proxy before it, says that it cannot respond now."""
    return not exchange.connected or exchange.status in (*_OVERLOADED, *_NO_UPSTREAM)


def _is_wrong(exchange: Exchange) -> bool:
    """Whether no Dify that knows our key and has our app responds so."""
    status, payload = exchange.status, exchange.json_object()
    if status is None or status in (401, 403, 404) or status >= 500:
        return True
    if status < 300:
        is_stream = exchange.media_type == EVENT_STREAM and b'"event"' in exchange.body
        is_run = is_accepted_run(exchange) and (is_stream or bool(_RUN & payload.keys()))
        return not (is_run or _PARAMETERS & payload.keys())
    is_error = isinstance(payload.get("code"), str) and isinstance(payload.get("message"), str)
    return status < 400 or not is_error


def _cause(exchange: Exchange) -> str:
    """What is wrong with a response, and what to do."""
    request = f"{exchange.request.method} {exchange.request.target}"
    quoted = _quoted(exchange)
    cause, fix = f"no Dify is at this address: {request} got {quoted}", "correct --base-url"
    if not exchange.connected:
        cause = f"no connection: {exchange.failure}"
        return f"{cause}; start the host, or name its address with --base-url"
    match exchange.status:
        case None:
            cause = f"{request} got no response: {exchange.failure}"
            fix = "is an HTTP server there, and awake?"
        case 502 | 504:
            server = _suffix("", exchange.header("server"))
            cause = f"a proxy{server} responds, but not the host behind it: {quoted}"
            fix = "start that host"
        case 429 | 503:
            retry = _suffix("Retry-After: ", exchange.header("retry-after"))
            cause = f"the host takes no requests now: {quoted}{retry}"
            fix = "wait, or lift its rate limit"
        case 401:
            cause, fix = _refused_key(exchange)
        case 403:
            cause = f"the host refuses the app of the key: {quoted}"
            fix = "enable the app, or name another --api-key"
        case 404 if _code(exchange) == "not_found":
            cause = f"the key's app is disabled or deleted: {request} got {quoted}"
            fix = "enable its API, or name another --api-key"
        case int(status) if 300 <= status < 400:
            cause, fix = _redirect(request, exchange)
        case int(status) if status >= 500:
            cause = f"the host fails: {request} got {quoted}"
            fix = "look into its log; its database or its Redis may be down"
    return f"{cause}; {fix}"


def _refused_key(exchange: Exchange) -> tuple[str, str]:
    challenge = exchange.header("www-authenticate", "")
    if challenge and not challenge.lower().startswith("bearer") and not exchange.json_object():
        cause = f"something before the host requires a login: {_quoted(exchange)} ({challenge})"
        return cause, "name the host's own address"
    message = exchange.json_object().get("message")
    reason = _one_line(message) if isinstance(message, str) else _quoted(exchange)
    cause = f"the host refuses the API key: 401 {reason.removeprefix('401 ')}"
    return cause, "name the key of a workflow app with --api-key"


def _redirect(request: str, exchange: Exchange) -> tuple[str, str]:
    location = exchange.header("location", "")
    try:
        parts = urlsplit(location)
    except ValueError:
        parts = urlsplit("")
    path = exchange.request.path
    fix = "name the address that responds"
    if parts.netloc and parts.path.endswith(path):
        base = parts.path.removesuffix(path).rstrip("/")
        fix = f"name --base-url {parts.scheme}://{parts.netloc}{base}"
    where = _one_line(location) or "nowhere"
    return f"{request} is redirected to {where} ({exchange.status})", fix


def _code(exchange: Exchange) -> object:
    return exchange.json_object().get("code")


def _quoted(exchange: Exchange) -> str:
    """A response in a few words: its status, and its message, title or text."""
    payload = exchange.json_object()
    message = payload.get("message")
    if isinstance(message, str):
        code = _one_line(payload.get("code") or "")
        return f"{exchange.status} {code} “{_one_line(message)}”"
    title = _TITLE.search(exchange.text[:65536])
    is_json = exchange.media_type == "application/json"
    text = title[1] if title else exchange.text[:_MAX_QUOTED] if is_json else ""
    quote = f" “{_one_line(text)}”" if text.strip() else ""
    return f"{exchange.status} {exchange.media_type or 'no content type'}{quote}"


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:_MAX_QUOTED]


def _suffix(name: str, value: str | None) -> str:
    return f" ({name}{_one_line(value)})" if value else ""


PREFLIGHT = Check(
    "host_can_be_checked",
    "The host is there, is a Dify, and the key opens a workflow app of it.",
    Level.DOCUMENT,
    "docs/contract.md, Exit codes",
    preflight,
    "preflight",
    uses=(),
)
"""Stands in a report for all checks if the host could not be checked."""
