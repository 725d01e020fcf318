"""Behaviours of what stands behind the host: image server, model server, its own databases
(FACTS 3, 4.1).
"""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from fake_server.host_spec import HostError, HostErrors
from fake_server.http import error_pages
from fake_server.http.responses import proxy_page
from fake_server.scenarios.behaviour import Scope, behaviour
from fake_server.scenarios.effects import Effects, Responder, override

_TOOL_WAITS_S = 120.2
"""How long the tool waits for an image before it gives up [C: slow_block_130s]."""

_CONNECT_ERRORS = {
    "refused": "[Errno 111] Connection refused",
    "unknown_host": "[Errno -2] Name or service not known",
    "timeout": "[Errno 110] Connection timed out",
}


@behaviour(scope=Scope.ANYTHING, excludes="response", without_cors={"service": "api"})
def upstream_down(service: Literal["sd", "llm", "redis", "postgres", "api"] = "sd") -> Effects:
    """A service is down: the image server (sd), the language model's (llm), redis, postgres, or the
    app itself (api).

    Without sd or llm runs fail with HTTP status 200; without redis or postgres the host responds
    with 500, in two forms; without the app the proxy responds with 502 and HTML.

    Complaint: one outage has five faces, and only one of them is JSON with the error where the
    document says.
    Survive: handle a failed run, any 5xx status, and a body that is not JSON, each with a message
    of its own.
    """
    match service:
        case "sd":
            return _failing("tool", "tool")
        case "llm":
            return _failing("llm", "model_down")
        case "redis":
            return Effects(responses=(_error("internal_server_error"),))
        case "postgres":
            return Effects(responses=(_error("internal_error"),))
        case "api":
            return Effects(
                early_responses=(
                    lambda request: proxy_page(
                        502, error_pages.nginx(502, request.spec.proxy_server)
                    ),
                )
            )


@behaviour(excludes="node")
def sd_failed(
    how: Literal[
        "500", "404", "badjson", "noimages", "emptyimages", "badbase64", "close", "timeout"
    ] = "500",
) -> Effects:
    """The image server fails while it draws; whatever the way, the tool hides it, and the run
    succeeds.

    With "timeout" it does so when the tool has waited its 120 s. A client cannot distinguish the
    other ways. Where tools are plugins (from 1.4.3 on), one that drops the call ("close") fails the
    run, without a text.

    Complaint: only the empty list of files distinguishes a broken GPU from a finished image.
    Survive: as with tool_failed_silently; and with a timeout expect the response only after two
    minutes.
    """
    changes: dict[str, Any] = {"no_image": True, "outputs": None, "text": None}
    if how == "close":
        changes["fault"] = "tool_dropped"
    if how == "timeout":
        changes |= {"seconds": _TOOL_WAITS_S, "spread": 0.0}
    return Effects(workflow=(override("tool", **changes),))


@behaviour(excludes="node")
def sd_options_failed(how: Literal["500", "close"] = "500") -> Effects:
    """The image server fails to load the model; this the tool does report, and the run fails.

    A client cannot distinguish the two ways.

    Complaint: the error names a setting that no user of the API has ever seen.
    Survive: show it as the host's fault; another model may work.
    """
    return _failing("tool", "tool")


@behaviour(excludes="node")
def llm_failed(how: Literal["500", "close", "empty"] = "500") -> Effects:
    """The language model that translates the prompt fails: with an error, a dropped connection, or
    an empty text.

    An error fails the run. With an empty text it succeeds without an image.

    Complaint: data.error is a Python exception in brackets, far too long for a message box.
    Survive: show a short text of your own and write the error to the log.
    """
    if how == "empty":
        return Effects(workflow=(override("llm", reply="", completion_tokens=0),))
    return _failing("llm", "model" if how == "500" else "model_dropped")


@behaviour()
def remote_file_unreachable(
    how: Literal["refused", "unknown_host", "timeout", "absent"] = "refused",
) -> Effects:
    """The address of an image that a user sends along cannot be read, and the run is rejected.

    Nothing listens there, its name is unknown, nothing comes, or it gives 404 ("absent"). Acts on
    runs of an app with image upload that send a file with remote_url. The host connects from
    its own network: an address that works for the client may not work for the host. From 0.15.3 on
    an address that gives 404 is accepted where its name tells the type of the file.

    Complaint: 400 for a request that was right yesterday, with a Python exception in its message.
    Survive: upload the file instead, or report which address could not be read, and offer to try
    again.
    """

    def reject(address: str, errors: HostErrors) -> HostError:
        if how == "absent":
            return errors("file_remote_absent")
        reason = _not_connected(address, _CONNECT_ERRORS[how])
        return errors("file_remote_unchecked", reason=reason)

    return Effects(remote_file=(reject,))


def _not_connected(address: str, error: str) -> str:
    """The error of the host's HTTP client when it cannot connect."""
    url = urlsplit(address)
    kind, port = ("HTTPS", 443) if url.scheme == "https" else ("HTTP", 80)
    query = f"?{url.query}" if url.query else ""
    return (
        f"{kind}ConnectionPool(host='{url.hostname}', port={url.port or port}): "
        f"Max retries exceeded with url: {url.path or '/'}{query} "
        f"(Caused by NewConnectionError("
        f"'<urllib3.connection.{kind}Connection object at 0x7fa9dcafb490>: "
        f"Failed to establish a new connection: {error}'))"
    )


def _failing(node_type: str, fault: str) -> Effects:
    """What stands behind the nodes of a type fails, with the error ``fault`` of the version."""
    return Effects(workflow=(override(node_type, error=None, fault=fault, fails=None),))


def _error(name: str) -> Responder:
    return lambda request: request.error_response(request.spec.errors(name))
