"""Routing: which methods and paths exist, and what the others get (FACTS 2)."""

from __future__ import annotations

from contract.check import Level, free_check
from contract.conformance import observed
from contract.errors import error, expect_json, expect_status
from contract.evidence import get_once
from contract.request_checks import Row, add_rows, request, run_to, with_key
from contract.result import Skipped, expect_equal
from contract.target import RUN_PATH, Target

_ROOT = "/v1/"
_NO_METHOD = error("method_not_allowed")
_POST_ONLY = {"Allow": "POST OPTIONS"}
_NOT_FOUND = "404 Not Found"

# fmt: off
add_rows(__name__, [
    Row("get_on_the_run_path_is_405", "GET does not run a workflow.",
        "FACTS 2 (recorded: method_GET)",
        with_key("GET", RUN_PATH), _NO_METHOD, lists=_POST_ONLY),
    Row("put_on_the_run_path_is_405", "PUT does not run a workflow.",
        "FACTS 2 (recorded: method_PUT)",
        with_key("PUT", RUN_PATH), _NO_METHOD, lists=_POST_ONLY),
    Row("delete_on_the_run_path_is_405", "DELETE does not run a workflow.",
        "FACTS 2 (recorded: method_DELETE)",
        with_key("DELETE", RUN_PATH), _NO_METHOD, lists=_POST_ONLY),
    Row("patch_on_the_run_path_is_405", "PATCH does not run a workflow.",
        "FACTS 2", with_key("PATCH", RUN_PATH), _NO_METHOD, lists=_POST_ONLY),
    Row("head_on_the_run_path_is_405_without_body", "HEAD is refused as GET is, without the body.",
        "FACTS 2 (recorded: method_HEAD)",
        with_key("HEAD", RUN_PATH), status=405, body=b"", lists=_POST_ONLY),
    Row("options_needs_no_key", "OPTIONS on the run's path gets 200, empty, with Allow.",
        "FACTS 2 (recorded: method_OPTIONS_noauth)",
        request("OPTIONS", RUN_PATH), status=200, body=b"", lists=_POST_ONLY),
    Row("run_path_with_a_slash_at_its_end_is_404",
        "The run's path with a slash at its end is another path, without a redirect.",
        "FACTS 2 (recorded: path_trailing_slash)",
        run_to(f"{RUN_PATH}/"), status=404, title=_NOT_FOUND),
    Row("unknown_path_is_an_html_404", "A path that does not exist gets an HTML page, not JSON.",
        "FACTS 2 (recorded: get_unknown)",
        with_key("GET", "/v1/nope"), status=404, title=_NOT_FOUND),
    Row("unknown_path_needs_no_key", "A path that does not exist is a 404 without a key too.",
        "FACTS 2 (recorded: get_unknown_noauth)",
        request("GET", "/v1/nope"), status=404, title=_NOT_FOUND),
    Row("post_to_an_unknown_path_is_an_html_404",
        "A run sent to a path that does not exist gets the same page.",
        "FACTS 2 (recorded: post_unknown)", run_to("/v1/nope"), status=404, title=_NOT_FOUND),
    Row("post_to_the_root_is_405", "The API's root can only be read.",
        "FACTS 2 (recorded: post_v1s)",
        run_to(_ROOT), status=405, lists={"Allow": "GET HEAD OPTIONS"}),
    Row("root_without_slash_redirects", "/v1 redirects to /v1/ permanently.",
        "FACTS 2 (recorded: get_v1)", with_key("GET", "/v1"), status=308, location=_ROOT),
    Row("doubled_slash_redirects_to_the_run_path",
        "The run's path with a doubled slash redirects to the right one, and runs nothing.",
        "FACTS 2 (recorded: path_double_slash)",
        run_to(RUN_PATH.replace("/v1/", "/v1//")), status=308, location=RUN_PATH),
])
# fmt: on


def _is_greeted(target: Target) -> bool:
    """Whether the version has a response of its own at the API's root, and not a page."""
    paths = observed(target.basis.version).document["paths"]
    return bool(paths.get(_ROOT, {}).get("get", {}).get("x-view") != "page")


@free_check(Level.HOST, "FACTS 2 (recorded: get_v1s)")
def root_is_as_on_the_host(target: Target) -> None:
    """The API's root says what it is; in later versions there is none."""
    response = get_once(target, _ROOT)
    if not _is_greeted(target):
        expect_status(response, 404)
        return
    expect_json(response)
    got = response.json_object()
    expect_equal(list(got), ["welcome", "api_version", "server_version"], "members", response)
    expect_equal(got.get("welcome"), "Dify OpenAPI", "welcome", response)
    expect_equal(got.get("api_version"), "v1", "api_version", response)


@free_check(Level.HOST, "FACTS 1.1 and 2 (recorded: get_v1s)")
def root_and_header_name_one_version(target: Target) -> None:
    """The version in the root's JSON is the one in the header X-Version."""
    if not _is_greeted(target):
        raise Skipped(f"Dify {target.basis.version} has no page at the API's root")
    response = get_once(target, _ROOT)
    version = response.json_object().get("server_version")
    expect_equal(version, response.header("X-Version"), "server_version", response)
