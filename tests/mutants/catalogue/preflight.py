"""Hosts that cannot be checked at all: the error names the cause."""

from __future__ import annotations

from dataclasses import replace

from tests.mutants.middleware import Request, Response, change_responses
from tests.mutants.mutant import Area

AREA = Area("preflight")
_JSON = ((b"content-type", b"application/json"),)
_PAGE = ((b"content-type", b"text/html"), (b"server", b"nginx/1.22.1"))


def _refused(name: str, breaks: str, cause: str, response: Response) -> None:
    """Every response but those that move the clock is this one."""

    def change_response(request: Request, own: Response) -> Response:
        return own if request.path.startswith("/__admin") else response

    AREA.add(
        name,
        breaks,
        "host_can_be_checked",
        change_responses(lambda: change_response, streams=True),
        refused=cause,
    )


def _chat(request: Request, response: Response) -> Response:
    body = (
        b'{"code": "not_workflow_app", "message": "Please check your app mode.", "status": 400}\n'
    )
    return Response(400, _JSON, body) if request.is_run else response


# fmt: off
_refused("proxy_without_a_host", "A proxy responds to everything with 502.",
         "a proxy (nginx/1.22.1) responds, but not the host behind it: 502",
         Response(502, _PAGE, b"<html><head><title>502 Bad Gateway</title></head></html>"))
_refused(
    "rate_limited",
    "A proxy lets no request through its rate limit.",
    "the host takes no requests now: 503",
    Response(
        503, _PAGE, b"<html><head><title>503 Service Temporarily Unavailable</title></head></html>"
    ),
)
_refused("database_down", "The host fails over every request.",
         "the host fails: GET /v1/parameters got 500 unknown",
         Response(500, _JSON, b'{"message": "Internal Server Error", "code": "unknown"}\n'))
_refused("every_key_refused", "The host refuses every key.",
         "the host refuses the API key: 401 Access token is invalid",
         Response(
             401,
             _JSON,
             b'{"code": "unauthorized", "message": "Access token is invalid", "status": 401}\n',
         ))
_refused(
    "moved_to_https",
    "Every request is redirected to https.",
    "is redirected to https://dify.example/v1/parameters (301); name --base-url "
    "https://dify.example",
    replace(
        Response(301, _PAGE, b""),
        headers=(*_PAGE, (b"location", b"https://dify.example/v1/parameters")),
    ),
)
_refused("another_site", "There is a web site and no Dify.",
         "no Dify is at this address: GET /v1/parameters got 200 text/html “Welcome”",
         Response(200, _PAGE, b"<!doctype html><title>Welcome</title>"))
AREA.add("every_app_is_a_chat", "The key opens a chat app.", "host_can_be_checked",
         change_responses(lambda: _chat, streams=True),
         refused="the key opens an app of another kind, such as a chat: 400 not_workflow_app")
# fmt: on
