"""Files: an image is fetched by its signed URL (FACTS 6), and a file is uploaded for a run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from fake_server.host_spec import HostErrors, HostSpec
from fake_server.host_state import HostState
from fake_server.http import error_pages
from fake_server.http.form import FilePart, Form
from fake_server.http.request import Request, endpoint
from fake_server.http.responses import Response, proxy_page
from fake_server.images import ImageRecord, render
from fake_server.runs.random_values import end_user_id
from fake_server.runs.run_body import check_storable, user_text
from fake_server.runs.signing import BadTimestampError, SignatureError
from fake_server.store import Upload

_CHUNK_BYTES = 4096
"""The host sends a file in pieces of this size (FACTS 6.2)."""


@endpoint("getToolFile")
async def get_tool_file(request: Request) -> ASGIApp:
    """``GET /files/tools/{file_id}.{extension}``: the image, whatever the extension says."""
    check_signature(request)
    file_id = request.parameters["file_id"].lower()
    stored = request.host.store.images.get(file_id)
    if stored is None:
        raise request.spec.errors("file_unknown")
    png: Sequence[bytes] = ()
    if request.scope["method"] != "HEAD":
        png = (await _png(request.host, file_id, stored.record),)
    for fault in (*stored.faults, *request.effects.image_faults):
        spoiled = await asyncio.to_thread(fault, png)
        if spoiled is None:  # FACTS 6.3
            return proxy_page(502, error_pages.nginx(502, request.spec.proxy_server))
        png = spoiled
    return ImageDownload(png, request)


def check_signature(request: Request) -> None:
    """Return if the query signs the file of the path and is not expired. Raises ``HostError``."""
    errors = request.spec.errors
    query = request.query()
    for name in request.operation.query:
        if name not in query:
            raise errors("query_parameter_missing", field=name)
    file_id, host = request.parameters["file_id"].lower(), request.host
    signature = (query["timestamp"], query["nonce"], query["sign"])
    try:
        host.signers.tool_file.verify(file_id, *signature, host.clock.now())
    except BadTimestampError as error:
        raise errors("value_error", message=error) from None
    except SignatureError:
        raise errors("signature_refused") from None


async def _png(host: HostState, file_id: str, record: ImageRecord) -> bytes:
    """The image's file, drawn when it is first fetched."""
    png = host.store.rendered.get(file_id)
    if png is None:
        png = await asyncio.to_thread(render, record)
        host.store.rendered[file_id] = png
    return png


class ImageDownload:
    """An image as an ASGI app: sent in the host's pieces and without a length."""

    def __init__(self, png: Sequence[bytes], request: Request) -> None:
        self._png = png
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = self._request.complete_headers((b"Content-Type", b"image/png"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for chunk in _chunks(self._png):
            if self._request.connection_closes:
                await self._request.disconnected()  # the rest would hold up all others
                return
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _chunks(parts: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for part in parts:
        content = rest + part
        whole = len(content) - len(content) % _CHUNK_BYTES
        for start in range(0, whole, _CHUNK_BYTES):
            yield content[start : start + _CHUNK_BYTES]
        rest = content[whole:]
    if rest:
        yield rest


@endpoint("getImagePreview")
async def get_image_preview(request: Request) -> Response:
    """``GET /files/{file_id}/image-preview``: always refused, since the fake shows no uploads."""
    errors = request.spec.errors
    query = request.query()
    if not all(query.get(name) for name in ("timestamp", "nonce", "sign")):
        raise errors("image_preview_without_arguments")
    raise errors("image_preview_refused")


_ANONYMOUS = "DEFAULT-USER"
_COLUMN_CHARACTERS = 255
"""Longer texts than this do not fit into the columns of the host's table of files (FACTS 12.14)."""


@endpoint("uploadFile")
async def upload_file(request: Request) -> Response:
    """Refuse or accept the part named ``file``; of two parts with that name the first counts."""
    app = request.app()
    spec, host = request.spec, request.host
    form = await request.form()
    user = user_text(form.fields.get("user"), request.operation.user_required, spec) or _ANONYMOUS
    file = _only_file(form, spec.errors)
    name, mime_type = file.filename, _mime_type(file)
    extension = name.split(".")[-1]  # the whole name where it has no dot [C: upload_noext]
    size = _checked_size(file, extension, spec)
    for text in (name, mime_type):
        check_storable(text, spec.errors)
        if len(text) > _COLUMN_CHARACTERS:
            raise spec.errors("internal_error")
    file_id = host.random.for_request("upload", app.app_id, user, name, size).uuid()
    owner = end_user_id(app.app_id, user)
    host.store.uploads[file_id] = Upload(file_id, app.app_id, owner, name, extension, mime_type)
    uploaded = {
        "id": file_id,
        "name": name,
        "size": size,
        "extension": extension,
        "mime_type": mime_type,
        "created_by": owner,
        "created_at": int(host.clock.now()),
    }
    return request.json_response(uploaded, 201)


def _only_file(form: Form, errors: HostErrors) -> FilePart:
    if "file" not in form.files:
        raise errors("upload_without_file")
    if not _mime_type(form.files["file"]):
        raise errors("upload_type_refused")
    if len(form.files) > 1:
        raise errors("upload_too_many_files")
    return form.files["file"]


def _mime_type(file: FilePart) -> str:
    return file.content_type.partition(";")[0].strip().lower()


def _checked_size(file: FilePart, extension: str, spec: HostSpec) -> int:
    kind = extension.lower()
    if kind in spec.image_extensions:
        limit = spec.limits.upload_image_bytes
    elif kind in spec.document_extensions:
        limit = spec.limits.upload_file_bytes
    else:
        raise spec.errors("upload_type_refused")
    if file.size > limit:
        raise spec.errors("upload_too_large", size=file.size, limit=limit)
    return file.size
