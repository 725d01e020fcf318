"""Fetching an image by its signed URL (FACTS 6)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from fake_server.host_state import HostState
from fake_server.http import error_pages
from fake_server.http.request import Request, endpoint
from fake_server.http.responses import Response, proxy_page
from fake_server.images import ImageRecord, render
from fake_server.runs.signing import BadTimestampError, SignatureError

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
