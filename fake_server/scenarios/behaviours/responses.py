"""Behaviours that respond in the host's place: errors of the host, of its proxy, and of what stands
before it.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, Literal

from fake_server.http import error_pages
from fake_server.http.responses import HTML, JSON, proxy_page
from fake_server.scenarios.behaviour import Scope, behaviour
from fake_server.scenarios.effects import (
    Effects,
    Gateway,
    InterceptedRequest,
    ResponseApp,
    change_nodes,
)
from fake_server.scenarios.parameters import Count, Index, Seconds, Status
from fake_server.workflow.behaviour import NodeBehaviour
from fake_server.workflow.model import Node

_WITHOUT_BODY = (204, 205, 304)
"""Statuses whose responses never have a body (RFC 9110, 15.3.5, 15.3.6 and 15.4.5)."""

_PAST_S = 30.0
"""How much longer than the gateway's patience a run takes."""


@behaviour(excludes="response", scope=Scope.ANYTHING, without_cors={"body": "html"})
def http_error(
    status: Status = 500,
    body: Literal["envelope", "html", "empty", "malformed"] = "envelope",
    code: str | None = None,
    message: str | None = None,
) -> Effects:
    """The response is an error with ``status``: with the host's JSON, with HTML, with nothing, or
    with broken JSON.

    ``code`` and ``message`` are put into the JSON; by default those that the host has for that
    status. A request that the host rejects by itself, such as one with a wrong key, it still
    rejects by itself.

    Complaint: the client shows "Unexpected token < in JSON" for what was a plain 502.
    Survive: look at the status first, then at the content type, and only then parse.
    """

    def respond(request: InterceptedRequest) -> ResponseApp:
        if body == "empty" or status in _WITHOUT_BODY:
            return request.response(status, HTML, b"")
        if body == "html":
            return proxy_page(status, error_pages.nginx(status, request.spec.proxy_server))
        envelope = _envelope(request, status, code, message)
        if body == "malformed":
            return request.response(status, JSON, json.dumps(envelope).encode()[:-7])
        return request.json_response(envelope, status)

    return Effects(responses=(respond,))


@behaviour(excludes="response", without_cors={})
def gateway_timeout(after_s: Seconds = 100.0, status: Literal["504", "524"] = "504") -> Effects:
    """A proxy gives up after ``after_s`` seconds and responds with HTML of its own, while the run
    goes on to its end.

    The run is stretched past that time. A stream gets the same response: such a proxy holds streams
    back.

    Complaint: the document itself warns of Cloudflare's 100 s; a retry after it makes, and pays
    for, a second image.
    Survive: use streaming for long runs; after a 504 or 524 do not retry blindly, for the run was
    not stopped.
    """

    def stretch(node: Node) -> NodeBehaviour:
        seconds = max(node.behaviour.seconds, after_s + _PAST_S)
        return node.behaviour._replace(seconds=seconds, spread=0.0)

    page = error_pages.nginx_timeout if status == "504" else error_pages.cloudflare_timeout
    gateway = Gateway(after_s, int(status), page)
    return Effects(workflow=(change_nodes(None, stretch),), gateway=(gateway,))


@behaviour(excludes="response", scope=Scope.ANYTHING, without_cors={"form": "cloudflare"})
def rate_limited(
    retry_after_s: Index = 30, form: Literal["host", "cloudflare"] = "host"
) -> Effects:
    """The response is 429 with Retry-After: with JSON like later versions of Dify, or Cloudflare's
    page.

    ``form`` decides; Cloudflare responds before the host sees the request.

    Complaint: the client retries at once and is locked out for longer.
    Survive: wait as long as Retry-After says; without it, longer each time.
    """
    retry = (b"Retry-After", str(retry_after_s).encode())
    if form == "cloudflare":
        page = proxy_page(429, error_pages.CLOUDFLARE_1015, b"text/html; charset=UTF-8", [retry])
        return Effects(early_responses=(lambda request: page,))
    error = {"code": "rate_limit_error", "message": "Rate Limit Error", "status": 429}
    return Effects(responses=(lambda request: request.json_response(error, 429, retry),))


@behaviour(excludes="response")
def concurrency_limit(limit: Count | None = None) -> Effects:
    """More than ``limit`` runs of an app at once give 429; without ``limit`` every run does.

    Complaint: a page that asks for four images at once gets one, and three errors.
    Survive: queue in the client, and take this 429 as "later" (FACTS 9.2 has its text).
    """

    def respond(request: InterceptedRequest) -> ResponseApp | None:
        app_id = request.app_id
        if limit is not None and request.running_runs() < limit:
            return None
        message = (
            "Too many requests. Please try again later. "
            f"The current maximum concurrent requests allowed for {app_id} is {limit or 1}."
        )
        return request.json_response(
            {"code": "too_many_requests", "message": message, "status": 429}, 429
        )

    return Effects(responses=(respond,))


def _envelope(
    request: InterceptedRequest, status: int, code: str | None, message: str | None
) -> dict[str, Any]:
    """The host's own JSON for ``status`` where it has one, the same form for any other."""
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unknown Error"
    if code is None:
        code = "_".join(phrase.lower().replace("-", " ").replace("'", "").split())
    own = request.spec.errors.by_code(code, status)
    envelope = {"code": code, "message": phrase, "status": status} if own is None else dict(own)
    return envelope if message is None else {**envelope, "message": message}
