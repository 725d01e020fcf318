"""Paths, methods and what CORS adds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from tests.mutants.edits import edit_responses
from tests.mutants.middleware import RUN_PATH, Request, Response, change_requests
from tests.mutants.mutant import Area

AREA = Area("routing and CORS")
_BODY = {"inputs": {"prompt": "a man"}, "response_mode": "blocking", "user": "anonymous"}


def _request(name: str, breaks: str, killers: str, change: Callable[[Request], Request]) -> None:
    AREA.add(name, breaks, killers, change_requests(lambda: change))


def _response(
    name: str,
    breaks: str,
    killers: str,
    when: Callable[[Request, Response], bool],
    change: Callable[[Response], Response],
) -> None:
    AREA.add(
        name,
        breaks,
        killers,
        edit_responses(
            lambda request, response: change(response) if when(request, response) else response
        ),
    )


def _as_run(request: Request) -> Request:
    """A request that runs the workflow, whatever was sent."""
    whole = (
        request
        if isinstance(request.json, dict)
        else request.with_json(_BODY).with_header("content-type", "application/json")
    )
    return replace(whole, method="POST", path=RUN_PATH)


def _other_method(_: Request, response: Response) -> bool:
    return response.status == 405


def _unknown_path(request: Request, response: Response) -> bool:
    return response.status == 404 and (response.header("content-type") or "").startswith(
        "text/html"
    )


def _json(status: int, value: object) -> Callable[[Response], Response]:
    def change(response: Response) -> Response:
        body = json.dumps(value).encode() + b"\n"
        return (
            replace(response, status=status)
            .with_header("Content-Type", "application/json")
            .with_body(body)
        )

    return change


_NOT_FOUND = {"code": "not_found", "message": "Not Found", "status": 404}
_ORIGIN = "Access-Control-Allow-Origin"


def _any_answer(_: Request, response: Response) -> bool:
    return response.header(_ORIGIN) is not None


def _preflight(request: Request, _: Response) -> bool:
    return request.method == "OPTIONS"


def _echo_headers(request: Request, response: Response) -> Response:
    wanted = request.header("access-control-request-headers")
    return (
        response if wanted is None else response.with_header("Access-Control-Allow-Headers", wanted)
    )


# fmt: off
for _method in ("GET", "PUT", "DELETE", "PATCH"):
    _request(
        f"{_method.lower()}_runs",
        f"{_method} runs the workflow too.",
        f"{_method.lower()}_on_the_run_path_is_405",
        lambda request, method=_method: (
            _as_run(request) if request.method == method and request.path == RUN_PATH else request
        ),  # type: ignore[misc]
    )
_request(
    "trailing_slash_accepted", "The run's path may end in a slash.",
    "run_path_with_a_slash_at_its_end_is_404",
    lambda request: replace(request, path=RUN_PATH) if request.path == RUN_PATH + "/" else request)
_request("double_slash_accepted", "Two slashes in the path are as good as one.",
         "doubled_slash_redirects_to_the_run_path",
         lambda request: replace(request, path=request.path.replace("//", "/")))
_response("app_headers_lost", "No response says in which environment the host runs.",
          "response_has_the_headers_of_the_version", _any_answer,
          lambda response: response.without_header("X-Env"))
_response("other_method_without_allow", "A 405 has no Allow.", "get_on_the_run_path_is_405",
          _other_method, lambda response: response.without_header("Allow"))
_response("other_method_with_wrong_allow", "A 405's Allow lists GET.", "get_on_the_run_path_is_405",
          _other_method, lambda response: response.with_header("Allow", "GET, HEAD, OPTIONS"))
_response("other_method_with_empty_allow", "A 405's Allow is empty.", "get_on_the_run_path_is_405",
          _other_method, lambda response: response.with_header("Allow", ""))
_response(
    "other_method_html", "A 405 is a page.", "get_on_the_run_path_is_405", _other_method,
    lambda response: response.with_header("Content-Type", "text/html").with_body(b"<h1>405</h1>"))
_response("other_method_501", "Another method is not implemented.", "get_on_the_run_path_is_405",
          _other_method, lambda response: replace(response, status=501))
_response("unknown_path_json", "An unknown path is JSON.", "unknown_path_is_an_html_404",
          _unknown_path, _json(404, _NOT_FOUND))
_response("unknown_path_200", "An unknown path is a page with 200.", "unknown_path_is_an_html_404",
          _unknown_path, lambda response: replace(response, status=200))
_response("unknown_path_401", "An unknown path asks for a key.",
          "unknown_path_is_an_html_404 unknown_path_needs_no_key", _unknown_path,
          _json(401, {"code": "unauthorized", "message": "no", "status": 401}))
_response(
    "unknown_path_text",
    "An unknown path is plain text.",
    "unknown_path_is_an_html_404",
    _unknown_path,
    lambda response: response.with_header("Content-Type", "text/plain; charset=utf-8").with_body(
        b"Not Found"
    ),
)
_response("unknown_path_redirected", "An unknown path leads to the front page.",
          "unknown_path_is_an_html_404", _unknown_path,
          lambda response: replace(response, status=302).with_header("Location", "/"))
_response("trailing_slash_redirected", "A final slash too much is redirected.",
          "run_path_with_a_slash_at_its_end_is_404",
          lambda request, response: request.path == RUN_PATH + "/",
          lambda response: replace(response, status=308).with_header("Location", RUN_PATH))

# CORS
_response("cors_missing", "No response may be read by pages of other origins.",
          "response_without_origin_allows_any", _any_answer,
          lambda response: response.without_header(_ORIGIN))
_response("cors_wildcard_for_an_origin", "An origin gets *.", "origin_is_echoed",
          lambda request, response: (
              request.header("origin") is not None and _any_answer(request, response)
          ), lambda response: response.with_header(_ORIGIN, "*"))
_response("cors_own_origin", "Whatever origin asks, the host's own is allowed.", "origin_is_echoed",
          _any_answer, lambda response: response.with_header(_ORIGIN, "http://localhost"))
_response("cors_null", "Whatever origin asks, null is allowed.", "origin_is_echoed", _any_answer,
          lambda response: response.with_header(_ORIGIN, "null"))
_response("cors_without_vary", "A response to an origin does not vary by it.",
          "echoed_origin_varies", _any_answer, lambda response: response.without_header("Vary"))
_response("cors_missing_on_refusals", "Refusals may not be read by pages of other origins.",
          "response_without_origin_allows_any origin_is_echoed",
          lambda request, response: response.status >= 400 and _any_answer(request, response),
          lambda response: response.without_header(_ORIGIN))
_response("cors_with_credentials", "Cookies are allowed to every origin.",
          "credentials_are_not_allowed", _any_answer,
          lambda response: response.with_header("Access-Control-Allow-Credentials", "true"))
_response("cors_missing_on_runs",
          "Successful blocking runs may not be read by pages of other origins.",
          "responses_of_runs_are_for_any",
          lambda request, response: request.is_run and response.status == 200,
          lambda response: response.without_header(_ORIGIN))
_response("preflight_without_methods", "A preflight gets no methods.",
          "preflight_allows_the_six_methods", _preflight,
          lambda response: response.without_header("Access-Control-Allow-Methods"))
_response("preflight_without_post", "A preflight gets GET only.",
          "preflight_allows_the_six_methods", _preflight,
          lambda response: response.with_header("Access-Control-Allow-Methods", "GET"))
_response("preflight_without_headers", "A preflight gets no headers.",
          "preflight_allows_key_and_json", _preflight,
          lambda response: response.without_header("Access-Control-Allow-Headers"))
_response("preflight_without_authorization", "A preflight does not get Authorization.",
          "preflight_allows_key_and_json", _preflight,
          lambda response: response.with_header("Access-Control-Allow-Headers", "content-type"))
_response("preflight_without_origin", "A preflight gets no origin.",
          "preflight_allows_the_origin", _preflight,
          lambda response: response.without_header(_ORIGIN))
_response("preflight_405", "A preflight is another method like any.", "preflight_is_200_and_empty",
          _preflight, lambda response: replace(response, status=405))
_response("preflight_401", "A preflight needs a key.", "preflight_is_200_and_empty", _preflight,
          lambda response: replace(response, status=401))
_response("preflight_with_body", "A preflight gets JSON.", "preflight_is_200_and_empty",
          _preflight, _json(200, {"ok": True}))
_response("root_not_redirected", "/v1 does not exist.", "root_without_slash_redirects",
          lambda request, response: request.path == "/v1" and response.status == 308,
          lambda response: replace(response, status=404).without_header("Location"))
_response("root_redirected_elsewhere", "/v1 leads to a page of documentation.",
          "root_without_slash_redirects",
          lambda request, response: request.path == "/v1" and response.status == 308,
          lambda response: response.with_header("Location", "/docs"))
_response("cors_null_not_echoed", "The Origin null is not echoed.", "origin_null_is_echoed",
          lambda request, response: request.header("origin") == "null",
          lambda response: response.without_header(_ORIGIN))
_response("cors_missing_on_401", "A 401 may not be read by pages of other origins.",
          "refused_key_echoes_the_origin",
          lambda request, response: response.status == 401 and request.header("origin") is not None,
          lambda response: response.without_header(_ORIGIN))
_response("cors_missing_on_refused_files",
          "The refusal of a file may not be read by pages of other origins.",
          "refused_file_echoes_the_origin",
          lambda request, response: request.is_file and response.status >= 400,
          lambda response: response.without_header(_ORIGIN))
_response("cors_missing_on_images",
          "Images themselves may not be read by pages of other origins.",
          "image_allows_any_origin",
          lambda request, response: request.is_file and response.status == 200,
          lambda response: response.without_header(_ORIGIN))
_response("cors_on_unknown_paths", "A proxy adds CORS headers to unknown paths too.",
          "unknown_path_allows_no_origin", _unknown_path,
          lambda response: response.with_header(_ORIGIN, "*"))
_response("cors_on_refused_methods", "A proxy adds CORS headers to refused methods too.",
          "refused_method_allows_no_origin", _other_method,
          lambda response: response.with_header(_ORIGIN, "*"))
_response("other_origins_refused",
          "A filter in front of the host sends other origins 403 where the host sends 400.",
          "every_status_is_documented",
          lambda request, response: request.header("origin") is not None and response.status == 400,
          lambda response: replace(response, status=403))
AREA.add("preflight_allows_any_header", "A preflight allows whatever headers it asks for.",
         "preflight_allows_no_other_headers", edit_responses(_echo_headers))
_response("refused_key_challenged", "A proxy adds a challenge to a 401.",
          "wrong_key_gets_the_hosts_challenge", lambda request, response: response.status == 401,
          lambda response: response.with_header("WWW-Authenticate", 'Basic realm="Restricted"'))
_response("head_on_the_run_path_is_200", "A proxy responds to HEAD on the run's path with 200.",
          "head_on_the_run_path_is_405_without_body",
          lambda request, response: request.method == "HEAD" and request.path == RUN_PATH,
          lambda response: replace(response, status=200))
_response("options_without_origin_is_401", "OPTIONS that is not a preflight needs a key.",
          "options_needs_no_key",
          lambda request, response: (
              request.method == "OPTIONS"
              and request.path == RUN_PATH
              and request.header("origin") is None
          ), _json(401, {"code": "unauthorized", "message": "no", "status": 401}))
_response("unknown_path_without_key_is_401", "An unknown path asks for a key where there is none.",
          "unknown_path_needs_no_key",
          lambda request, response: (
              _unknown_path(request, response) and request.header("authorization") is None
          ), _json(401, {"code": "unauthorized", "message": "no", "status": 401}))
_response("post_to_an_unknown_path_is_json", "POST to an unknown path gets JSON.",
          "post_to_an_unknown_path_is_an_html_404",
          lambda request, response: (
              _unknown_path(request, response)
              and request.method == "POST"
              and request.path != f"{RUN_PATH}/"
          ), _json(404, _NOT_FOUND))
_request(
    "greeting_can_be_posted", "POST on the API's root is as good as GET.",
    "post_to_the_root_is_405",
    lambda request: replace(request, method="GET", body=b"") if request.path == "/v1/" else request)
# fmt: on
