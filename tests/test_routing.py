"""Routing: what a path and a method mean, as the host's own router decides it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server.host_spec import HostSpec, Operation
from fake_server.http.routing import Match, NoMatch, Router
from tests.each import each

RUN = "/v1/workflows/run"
FILE_ID = "8faea5f8-b5c9-498a-b557-a39c474f0e59"
FILE = f"/files/tools/{FILE_ID}.png"
METHODS = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "FOO"]


@pytest.fixture(scope="session")
def router(host_spec: HostSpec) -> Router:
    return Router(host_spec.operations)


@pytest.mark.parametrize(
    ("method", "path", "operation", "parameters"),
    [
        ("POST", RUN, "runWorkflow", {}),
        ("POST", f"/{RUN}", "runWorkflow", {}),
        ("POST", f"///{RUN}", "runWorkflow", {}),
        ("POST", "/v1/workflows/tasks/abc/stop", "stopWorkflowTask", {"task_id": "abc"}),
        ("POST", "/v1/workflows/tasks/a b/stop", "stopWorkflowTask", {"task_id": "a b"}),
        ("GET", FILE, "getToolFile", {"file_id": FILE_ID, "extension": "png"}),
        ("HEAD", FILE, "getToolFile", {"file_id": FILE_ID, "extension": "png"}),
        (
            "GET",
            f"/files/tools/{FILE_ID.upper()}.jpg",
            "getToolFile",
            {"file_id": FILE_ID.upper(), "extension": "jpg"},
        ),
        (
            "GET",
            f"/files/tools/{FILE_ID}.tar.gz",
            "getToolFile",
            {"file_id": FILE_ID, "extension": "tar.gz"},
        ),
        ("GET", f"/files/{FILE_ID}/image-preview", "getImagePreview", {"file_id": FILE_ID}),
        ("GET", "/v1/", "getIndex", {}),
        ("HEAD", "/v1/", "getIndex", {}),
    ],
)
def test_a_known_path_and_method_are_an_operation(
    router: Router, method: str, path: str, operation: str, parameters: dict[str, str]
) -> None:
    """FACTS 2 and 6.2: slashes before the path are nothing, HEAD is answered by GET, any extension
    will do.
    """
    routed = router.route(method, path)
    assert isinstance(routed, Match)
    assert (routed.operation.operation_id, routed.parameters) == (operation, parameters)


@each(
    "path",
    [
        f"{RUN}/",
        f"{RUN}x",
        "/v1/./workflows/run",
        "/v1///workflows/run",
        "/V1/workflows/run",
        "/v1/workflows",
        "/v1/workflows/run/some-id",
        "/v1/workflows/logs",
        "/v1/workflows/tasks//stop",
        "/v1/workflows/tasks/a/b/stop",
        "/v1x",
        "/v1/site",
        "/files",
        "/files/tools/",
        f"/files/tools/{FILE_ID}",
        f"/files/tools/{FILE_ID}.",
        f"/files/tools/{FILE_ID.replace('-', '')}.png",
        f"/files/tools/x{FILE_ID}.png",
        f"/files/tools/{FILE_ID[:-1]}.png",
        f"/files/tools/{FILE_ID}.png/x",
        "/files/tools/abc.png",
        f"{RUN}\n",
        "/",
        "",
    ],
)
@each("method", ["GET", "POST", "OPTIONS"])
def test_any_other_path_is_unknown(router: Router, method: str, path: str) -> None:
    """FACTS 2: whatever the method, and a superfluous final slash is no redirect."""
    assert router.route(method, path) == NoMatch()


@pytest.mark.parametrize(
    "method", [method for method in METHODS if method not in ("POST", "OPTIONS")]
)
def test_another_method_of_a_run_gets_a_list_of_them(router: Router, method: str) -> None:
    """FACTS 2: [C: method_*]."""
    assert router.route(method, RUN) == NoMatch(allow="POST, OPTIONS")


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        (RUN, {"POST", "OPTIONS"}),
        (FILE, {"GET", "HEAD", "OPTIONS"}),
        ("/v1/", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_options_is_answered_from_the_methods_there_are(
    router: Router, path: str, allow: set[str]
) -> None:
    """Compared as a set: its order on the host is not stable (FACTS 1.9)."""
    routed = router.route("OPTIONS", path)
    assert isinstance(routed, NoMatch)
    assert set((routed.allow or "").split(", ")) == allow


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_missing_final_slash_is_redirected_for_a_method_that_the_path_has(
    router: Router, method: str
) -> None:
    """[C: get_v1]; with another method the path is simply unknown [C: post_v1]."""
    assert router.route(method, "/v1") == NoMatch(redirect="/v1/")
    assert router.route("POST", "/v1") == NoMatch()
    assert router.route("POST", "/v1/") == NoMatch(allow="OPTIONS, GET, HEAD")


@pytest.mark.parametrize(
    ("method", "path", "routed"),
    [
        ("POST", "/v1//workflows/run", NoMatch(redirect=RUN)),
        ("POST", "/v1//workflows//run", NoMatch(redirect=RUN)),
        ("OPTIONS", "/v1//workflows/run", NoMatch(redirect=RUN)),
        ("GET", "/v1//workflows/run", NoMatch(crash=True)),
        ("GET", f"/files//tools/{FILE_ID}.png", NoMatch(redirect=FILE)),
        ("POST", "/v1//nothing", NoMatch()),
        ("POST", "/v1////workflows/run", NoMatch()),
    ],
)
def test_slashes_in_a_row_are_redirected_once(
    router: Router, method: str, path: str, routed: object
) -> None:
    """[C: path_double_slash]: each pair becomes one, once over."""
    assert router.route(method, path) == routed


@given(
    path=st.text(st.sampled_from("/v1workflsrunfiet.-8a{}%\n\u00e4"), max_size=30),
    method=st.sampled_from(METHODS),
)
def test_any_path_is_routed(router: Router, path: str, method: str) -> None:
    """Nothing on a request line makes the router stumble, and a redirect leads to a path that has
    the method.
    """
    routed = router.route(method, path)
    if isinstance(routed, NoMatch) and routed.redirect is not None:
        target = router.route(method, routed.redirect)
        assert isinstance(target, Match) or target.allow is not None


def test_every_operation_can_be_reached(host_spec: HostSpec, router: Router) -> None:
    """Each path of the spec, its parameters filled in, leads to its own operation."""
    for operation in host_spec.operations:
        values = dict.fromkeys(re.findall(r"\{(\w+)\}", operation.path), FILE_ID)
        path = operation.path.format_map(
            values | {"extension": "png", "task_id": "some-id", "batch": "some-batch"}
        )
        routed = router.route(operation.method, path)
        assert isinstance(routed, Match)
        assert routed.operation is operation


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "PATCH", "TRACE"])
def test_a_spec_may_use_any_method(host_spec: HostSpec, method: str) -> None:
    """A path of a user's own spec is listed with whatever methods it has."""
    own: Operation = host_spec.operations[0]._replace(method=method, path="/v1/own")
    routed = Router([own]).route("FOO", "/v1/own")
    assert isinstance(routed, NoMatch)
    assert {method, "OPTIONS"} <= set((routed.allow or "").split(", "))


@pytest.mark.parametrize("path", ["/v1/a.b", "/v1/a(b", "/v1/{x}.b+c"])
def test_a_path_is_no_pattern(host_spec: HostSpec, path: str) -> None:
    """Dots and brackets of a path mean themselves."""
    own = Router([host_spec.operations[0]._replace(method="GET", path=path, uuids=frozenset())])
    target = path.replace("{x}", "1")
    assert isinstance(own.route("GET", target), Match)
    assert own.route("GET", target.replace(".", "!").replace("(", "!")) == NoMatch()
