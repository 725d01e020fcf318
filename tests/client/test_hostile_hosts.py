"""``fake-server request`` at hosts that are no Dify, or send what no Dify sends: one line that says
what to do, never a traceback, and nothing written where it does not belong.
"""

from __future__ import annotations

import io
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fake_server.client.saving import inline_image
from tests.client.running import Request
from tests.contract.hosts import FORM, answer, host

pytestmark = pytest.mark.server

PAGE = answer(b"<html><title>Log in</title></html>", content_type="text/html")
DEEP = b"[" * 100_000
FILE = {"type": "image", "url": "/f.png", "extension": ".png", "filename": "a.png"}


def image(kind: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8)).save(content, kind)
    return content.getvalue()


def response(content: Any, status: str = "200 OK") -> bytes:
    return answer(json.dumps(content).encode(), status)


def redirect(location: str) -> bytes:
    return answer(b"", "301 Moved Permanently", "text/html", f"Location: {location}")


def event(name: str, **data: Any) -> dict[str, Any]:
    return {"event": name, "task_id": "t", "data": data}


def finished(**data: Any) -> dict[str, Any]:
    return event("workflow_finished", status="succeeded", elapsed_time=1, **data)


def with_files(*files: dict[str, Any]) -> bytes:
    return stream(finished(outputs={"files": [{**FILE, **one} for one in files]}))


def stream(*events: Any) -> bytes:
    texts = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in events]
    return answer(
        b"".join(b"data: %b\n\n" % one for one in texts), content_type="text/event-stream"
    )


@contextmanager
def scripted(
    run: bytes = b"", form: bytes | None = None, file: bytes | None = None, upload: bytes = b""
) -> Iterator[tuple[str, list[bytes]]]:
    """The address of a host with these responses, and the requests that it gets."""
    requests = []
    responses = {
        b"/v1/parameters": response(FORM) if form is None else form,
        b"/v1/workflows/run": run or with_files({}),
        b"/v1/files/upload": upload,
        b"/f.png": file or answer(image("PNG"), content_type="image/png"),
    }

    def behave(connection: socket.socket, request: bytes) -> None:
        requests.append(request)
        path = request.split()[1].partition(b"?")[0]
        connection.sendall(responses.get(path, answer(b"", "404 NOT FOUND")))

    with host(behave) as url:
        yield url, requests


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (PAGE, "is not a JSON object: Log in; check --base-url"),
        (answer(DEEP), "is not a JSON object: [[["),
        (response([]), "is not a JSON object: []"),
        (response({}), "describes no inputs of an app; is this Dify?"),
        (response({"user_input_form": None}), "describes no inputs"),
        (response({"user_input_form": [{"paragraph": {}}]}), "describes no inputs"),
        (redirect("https://dify.example/v1/parameters?x"), "https://dify.example/v1/parameters wi"),
        (redirect("/loop"), "redirects to /loop with 301; give --base-url the address"),
    ],
)
def test_what_is_no_form(form: bytes, message: str, request_: Request) -> None:
    with scripted(form=form) as (url, requests):
        ended = request_("x", to=url)
    assert (ended.code, message in ended.err, len(requests)) == (2, True, 1), ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("mode", "run", "message"),
    [
        ([], PAGE, "the response is no stream of events"),
        ([], redirect("/v1/"), "redirects to /v1/ with 301"),
        ([], stream(b"[1]"), "an event is not a JSON object: [1]"),
        ([], stream(DEEP), "an event is not a JSON object: [[["),
        ([], stream(event("workflow_finished", status=["x"])), "how the run ended"),
        ([], stream({"event": "error", "message": ["x"]}), "with an error: None: ['x']"),
        (["--blocking"], PAGE, "the response is not a JSON object: Log in; check --base-url"),
        (["--blocking"], response({}), "does not say how the run ended"),
        (["--blocking"], redirect("/v1/"), "redirects to /v1/ with 301"),
    ],
)
def test_what_is_no_run(mode: list[str], run: bytes, message: str, request_: Request) -> None:
    with scripted(run) as (url, _):
        ended = request_("x", *mode, to=url)
    assert (ended.code, message in ended.err) == (2, True), ended.err
    assert ended.err.count("\n") == 1


def test_odd_values_of_nodes_and_totals(request_: Request) -> None:
    events = [
        event("node_started", id=1, title={"a": 1}),
        event("node_finished", id=1, status=None, elapsed_time="x", execution_metadata="y"),
        event("node_started", id=2, title="[red]\x1b[2J[/nope]\ud800"),
        event("node_finished", id=2, status="failed", execution_metadata={"total_tokens": [1]}),
        {"event": ["x"]},
        finished(total_tokens="x", outputs={"text": "\x1b[2J", "number": 5}),
    ]
    with scripted(stream(*events)) as (url, _):
        ended = request_("x", to=url)
    assert ended.code == 0
    assert "\x1b" not in ended.err + ended.out
    assert "[red]\\x1b[2J[/nope]\\ud800" in ended.err
    assert ended.err.endswith("succeeded in 1.0 s, 0 tokens\n")


@pytest.mark.parametrize(
    ("file_url", "message"),
    [
        ("http://127.0.0.1:9/f.png", "reached at http://127.0.0.1:9 ("),
        ("http://127.0.0.1:9/f.png", "set FILES_URL of the host"),
        ("ftp://127.0.0.1/f.png", "ftp://127.0.0.1 is no address of a host"),
        ("http://a..b/f.png", "http://a..b is no address of a host"),
        ("http://127.0.0.1:x/f.png", "is no address of a host"),
        ("http://[::1/f.png", "the URL of the file is not valid"),
        ("/f.png?\n", "is no address of a host"),
        ("", "does not serve the file: it responds with 404, an empty body"),
    ],
)
def test_urls_of_files(file_url: str, message: str, request_: Request, tmp_path: Path) -> None:
    with scripted(with_files({"url": file_url})) as (url, _):
        ended = request_("x", "--json", to=url)
    assert (ended.code, message in ended.err) == (2, True), ended.err
    assert json.loads(ended.out)["status"] == "succeeded"
    assert not list(tmp_path.iterdir())


def test_no_key_goes_with_the_request_for_a_file(request_: Request) -> None:
    with scripted(file=redirect("/f2.png")) as (url, requests):
        request_("x", "--api-key", "app-secret", to=url)
    assert [b"app-secret" in one for one in requests] == [True, True, False, False]
    assert b"authorization" not in b"".join(requests[2:]).lower()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (image("PNG")[:50], "an image that cannot be read"),
        (b"", "serves no image: the file begins ''"),
        (b"<html>", "serves no image: the file begins '<html>'"),
    ],
)
def test_files_that_are_no_image(file: bytes, message: str, request_: Request) -> None:
    with scripted(file=answer(file)) as (url, _):
        ended = request_("x", to=url)
    assert (ended.code, message in ended.err) == (2, True), ended.err


@pytest.mark.parametrize(
    ("name", "extension", "saved"),
    [
        ("../../etc/passwd", ".png", "passwd.png"),
        ("..", ".png", "image.png"),
        ("猫" * 200, ".png", "猫" * 60 + ".png"),
        (None, ".png", "image.png"),
        ("x", "/../../y", "x....y"),
        ("x", None, "x"),
        ("-rf", ".png", "rf.png"),
    ],
)
def test_names_of_files(
    name: str, extension: str, saved: str, request_: Request, tmp_path: Path
) -> None:
    with scripted(with_files({"filename": name, "extension": extension})) as (url, _):
        assert request_("x", to=url).code == 0
    assert [path.name for path in tmp_path.iterdir()] == [saved]


def test_numbered_files_overwrite_only_by_force(request_: Request, tmp_path: Path) -> None:
    (tmp_path / "o-2.png").write_bytes(b"mine")
    with scripted(with_files({}, {})) as (url, _):
        assert request_("x", "-o", "o.png", to=url).out == "o.png\no-3.png\n"
        assert (tmp_path / "o-2.png").read_bytes() == b"mine"
        assert request_("x", "-o", "o.png", "--force", to=url).out == "o.png\no-2.png\n"


def test_outputs_that_cannot_be_written_are_found_before_a_run(
    request_: Request, tmp_path: Path
) -> None:
    (tmp_path / "link.png").symlink_to("no/such/file")
    with scripted() as (url, requests):
        ended = request_("x", "-o", "link.png", to=url)
        assert (ended.code, "link.png exists; --force" in ended.err) == (2, True)
        ended = request_("x", "-o", "link.png", "--force", to=url)
        assert (ended.code, "link.png cannot be written: no such" in ended.err) == (2, True)
        ended = request_("x", "-o", "a" * 300, to=url)
        assert (ended.code, "cannot be written: file name too long" in ended.err) == (2, True)
        ended = request_("x", "-o", "-", "--json", to=url)
        assert (ended.code, "both write to stdout" in ended.err) == (2, True)
    assert requests == []


def test_inputs_that_cannot_be_sent(request_: Request, tmp_path: Path) -> None:
    kinds = {"file": "f", "json_object": "o", "paragraph": "prompt"}
    form = response({"user_input_form": [{one: {"variable": kinds[one]}} for one in kinds]})
    (tmp_path / "folder").mkdir()
    with scripted(form=form, upload=response({}, "201 CREATED")) as (url, requests):
        for arguments, message in {
            ("--input", "f=@"): "takes a file: write f=@FILE",
            ("--input", "f=@folder"): "folder is not a file",
            ("--input", f"f=@{os.devnull}"): "is not a file",
            ("--input", f"f=@{__file__}"): "the upload has no id",
            ("--input", "o={"): "takes JSON, such as o='{",
            ("a\udcff",): "a\\udcff is not UTF-8 text",
            ("--user", "\udcff"): "is not UTF-8 text",
            ("--api-key", "猫"): "has characters that no header can carry",
            ("--timeout", "inf"): "inf is not a valid number of seconds",
        }.items():
            ended = request_(*arguments, to=url)
            assert (ended.code, message in ended.err) == (2, True), ended.err
        assert request_("--input", 'o={"a": [1]}', to=url).code == 0
    runs = [one for one in requests if one.startswith(b"POST /v1/workflows/run ")]
    assert [json.loads(one.partition(b"\r\n\r\n")[2])["inputs"] for one in runs] == [
        {"o": {"a": [1]}}
    ]


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("proxy", ["socks4://x", "http://[::"])
def test_a_proxy_that_cannot_be_used(variable: str, proxy: str, request_: Request) -> None:
    environ = {variable: proxy, "NO_PROXY": "", "no_proxy": ""}
    ended = request_("x", "--api-key", "k", to="http://dify.invalid", **environ)
    assert (ended.code, "the proxy that the environment names" in ended.err) == (2, True), ended.err


def test_a_proxy_that_does_not_let_requests_through(request_: Request) -> None:
    with host(lambda connection, _: connection.sendall(answer(b"", "403 Forbidden"))) as proxy:
        environ = {"HTTPS_PROXY": proxy, "NO_PROXY": "", "no_proxy": ""}
        ended = request_("x", "--api-key", "k", to="https://dify.invalid", **environ)
    assert ended.code == 2
    assert "the proxy of the environment does not let https://dify.invalid through" in ended.err


def test_an_image_that_cannot_be_decoded_is_not_shown() -> None:
    assert inline_image(image("JPEG")[:-50], {"TERM": "xterm-kitty"}) == ""


def test_an_image_of_another_format_is_shown_as_png() -> None:
    shown = inline_image(image("JPEG"), {"TERM": "xterm-kitty"})
    assert shown.startswith("\x1b_Gf=100,a=T,c=40,m=0;iVBOR")  # base64 of PNG's first bytes
