"""Uploaded files: what each version keeps, refuses, and gives back for a signed URL."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from python_multipart.multipart import MultipartParser
from starlette.types import ASGIApp

from fake_server import create_app
from fake_server.bounded import BoundedBytes
from fake_server.clock import iso
from fake_server.http.form import read_form
from fake_server.runs.signing import FileSigners
from fake_server.settings import DEFAULT_API_KEY, Settings
from fake_server.store import UPLOAD_CONTENT_BYTES
from tests.asgi import AsgiAnswer, call
from tests.each import each

SECRET = "the secret of these tests"
AT = 1_800_000_000
SIGNERS = FileSigners(SECRET, 300)
PNG = b"\x89PNG and more"


def served(version: str) -> ASGIApp:
    return create_app(Settings(host_version=version, secret_key=SECRET, speed=None, clock=iso(AT)))


def upload(
    app: ASGIApp, name: str = "cat.png", content: bytes = PNG, kind: str = "image/png"
) -> AsgiAnswer:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="user"\r\n\r\nu\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="' + name.encode() + b'"\r\n'
        b"Content-Type: " + kind.encode() + b"\r\n\r\n" + content + b"\r\n--b--\r\n"
    )
    headers = {
        "Authorization": f"Bearer {DEFAULT_API_KEY}",
        "Content-Type": "multipart/form-data; boundary=b",
    }
    return call(app, "POST", "/v1/files/upload", headers, body)


def preview(
    app: ASGIApp, file_id: str, kind: str = "file", age_s: int = 0, more: str = ""
) -> AsgiAnswer:
    signer = SIGNERS.tool_file if kind == "file" else SIGNERS.uploaded_image
    query = signer.query(file_id, AT - age_s, "0" * 32)
    return call(app, "GET", f"/files/{file_id}/{kind}-preview?{query}{more}")


@each(
    "version, kind, mime_type, served_as",
    [
        ("0.6.4", "image", "image/png", "image/png"),
        ("1.4.3", "image", "image/svg+xml", "image/svg+xml; charset=utf-8"),
        ("1.4.3", "file", "text/plain", "text/plain; charset=utf-8"),
        ("1.4.3", "file", "video/mp4", "video/mp4"),
        ("1.10.1", "file", "image/png", "image/png"),
        ("1.14.2", "file", "image/png", "application/octet-stream"),
        ("1.14.2", "image", "image/png", "image/png"),
    ],
)
def test_an_upload_is_given_back(version: str, kind: str, mime_type: str, served_as: str) -> None:
    app = served(version)
    file_id = upload(app, kind=mime_type).json()["id"]
    answer = preview(app, file_id, kind)
    assert (answer.status, answer.body) == (200, PNG)
    assert answer.header("Content-Type") == served_as
    assert answer.header("Content-Length") == (str(len(PNG)) if kind == "file" else None)
    assert answer.header("Accept-Ranges") == ("bytes" if mime_type == "video/mp4" else None)


@each(
    "version, more, expected",
    [
        ("1.4.3", "&as_attachment=false", "attachment; filename*=UTF-8''a%20b.png"),
        ("1.4.3", "&as_attachment=", None),
        ("1.14.2", "&as_attachment=yes", "attachment; filename*=UTF-8''a%20b.png"),
        ("1.14.2", "&as_attachment=false", None),
    ],
)
def test_each_version_has_its_own_words_for_an_attachment(
    version: str, more: str, expected: str | None
) -> None:
    app = served(version)
    answer = preview(app, upload(app, "a b.png").json()["id"], more=more)
    assert answer.header("Content-Disposition") == expected


def test_html_is_never_shown_by_the_versions_that_send_octets() -> None:
    app = served("1.14.2")
    answer = preview(app, upload(app, "a.html", b"<b>", "text/html").json()["id"])
    assert answer.header("Content-Type") == "application/octet-stream"
    assert answer.header("Content-Disposition") == "attachment; filename*=UTF-8''a.html"
    assert answer.header("X-Content-Type-Options") == "nosniff"


ABSENT = {"code": "not_found", "message": "File not found or signature is invalid", "status": 404}


@each("version", ["0.15.3", "1.4.3", "1.10.1", "1.13.3", "1.14.2"])
def test_a_url_that_is_not_good_gets_nothing(version: str) -> None:
    app = served(version)
    file_id = upload(app).json()["id"]
    other = "11111111-1111-4111-8111-111111111111"
    bad = [
        preview(app, file_id, age_s=301),
        preview(app, other),
        call(app, "GET", preview_with_signature_of("image", file_id)),
    ]
    assert [(one.status, one.json()) for one in bad] == [(404, ABSENT)] * 3
    assert preview(app, file_id, age_s=300).status == 200
    assert preview(app, file_id.upper(), age_s=0).status == 404  # signed as it is written


def preview_with_signature_of(kind: str, file_id: str) -> str:
    signer = SIGNERS.uploaded_image if kind == "image" else SIGNERS.tool_file
    return f"/files/{file_id}/file-preview?{signer.query(file_id, AT, '0' * 32)}"


def test_only_an_image_has_an_image_preview() -> None:
    app = served("1.13.3")
    file_id = upload(app, "a.txt", b"a", "text/plain").json()["id"]
    assert preview(app, file_id, "image").status == 415


@each(
    "version, name, kept",
    [
        ("0.6.4", "Cat.PNG", ("Cat.PNG", "PNG")),
        ("0.6.4", "png", ("png", "png")),
        ("0.15.3", "Cat.PNG", ("Cat.PNG", "png")),
        ("0.15.3", "png", ("png", "png")),
        ("1.4.3", "png", ("png", "")),
        ("1.4.3", ".png", (".png", "")),
        ("1.14.2", "a.b.Png", ("a.b.Png", "png")),
        ("1.14.2", f"{'x' * 250}.png", (f"{'x' * 200}.png", "png")),
    ],
)
def test_names_and_extensions_are_kept_by_the_rules_of_the_version(
    version: str, name: str, kept: tuple[str, str]
) -> None:
    answer = upload(served(version), name)
    assert answer.status == 201, answer.body
    assert (answer.json()["name"], answer.json()["extension"]) == kept


@each(
    "version, name, kind, refused",
    [
        ("0.6.4", "x.exe", "image/png", (415, "unsupported_file_type")),
        ("0.6.4", "", "image/png", (415, "unsupported_file_type")),
        ("0.15.3", "", "image/png", (400, "filename_not_exists_error")),
        ("1.4.3", "a?b.png", "image/png", (400, "invalid_param")),
        ("1.14.2", "a.png", "", (415, "unsupported_file_type")),
    ],
)
def test_bad_uploads_are_refused(
    version: str, name: str, kind: str, refused: tuple[int, str]
) -> None:
    answer = upload(served(version), name, kind=kind)
    assert (answer.status, answer.json()["code"]) == refused


@each(
    "version, extension, megabytes, status",
    [
        ("0.15.3", "exe", 0, 201),
        ("1.10.1", "mp4", 16, 201),
        ("1.10.1", "mp3", 16, 201),
        ("1.10.1", "pdf", 15, 201),
        ("1.10.1", "pdf", 16, 413),
        ("1.10.1", "png", 11, 413),
        ("1.13.3", "mp3", 51, 413),
    ],
)
def test_each_kind_of_file_has_its_limit(
    version: str, extension: str, megabytes: int, status: int
) -> None:
    assert upload(served(version), f"a.{extension}", bytes(megabytes << 20)).status == status


FIELDS = "id name size extension mime_type created_by created_at"
LATER = "original_url user_id tenant_id conversation_id file_key"


@pytest.mark.parametrize(
    ("version", "fields"),
    [
        ("0.6.9", FIELDS),
        ("1.4.3", f"{FIELDS} preview_url"),
        ("1.10.1", f"{FIELDS} preview_url source_url"),
        ("1.14.2", f"{FIELDS} preview_url source_url {LATER}"),
    ],
)
def test_the_response_has_the_fields_of_the_version(version: str, fields: str) -> None:
    app = served(version)
    values: Mapping[str, Any] = upload(app).json()
    assert list(values) == fields.split()
    if url := values.get("source_url"):
        assert url.endswith("%3D")
        assert call(app, "GET", url).body == PNG


def test_contents_are_bounded_and_the_oldest_are_lost() -> None:
    contents = BoundedBytes(10)
    for name, size in (("a", 6), ("b", 4), ("a", 5), ("c", 2)):
        contents[name] = bytes(size)
    kept = {name: contents.get(name) for name in "abc"}
    assert {name: value and len(value) for name, value in kept.items()} == {
        "a": 5,
        "b": None,
        "c": 2,
    }


def test_a_file_too_large_to_keep_is_lost_like_one_whose_disk_is_gone() -> None:
    app = served("1.14.2")
    answer = upload(app, "a.mp4", bytes(17 << 20), "video/mp4")
    assert answer.status == 201
    assert answer.json()["size"] == 17 << 20 < UPLOAD_CONTENT_BYTES
    assert preview(app, answer.json()["id"]).status == 502


def test_what_read_a_form_is_gone_at_once() -> None:
    """It held the files until a full collection, which is long in coming."""

    async def body() -> AsyncIterator[bytes]:
        for part in (
            '--x\r\nContent-Disposition: form-data; name="user"\r\n\r\nu\r\n',
            "--x--\r\n",
        ):
            yield part.encode()

    gc.collect()
    gc.disable()
    try:
        form = asyncio.run(read_form(body(), "multipart/form-data; boundary=x"))
        readers = [one for one in gc.get_objects() if isinstance(one, MultipartParser)]
    finally:
        gc.enable()
    assert form.fields == {"user": "u"}
    assert readers == []
