"""Fetching a picture by its signed URL (FACTS 6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

from starlette.types import Receive, Scope, Send

from fake_server.endpoints.call import Call, Host
from fake_server.http import error_pages
from fake_server.http.responses import Answer, ProxyPage, RawHeaders
from fake_server.http.scope import CONNECTION
from fake_server.images import ImageRecord, render
from fake_server.runs.signing import BadTimestampError, SignatureRefusedError

_CHUNK_BYTES = 4096
"""The host sends a file in pieces of this size (FACTS 6.2)."""


async def get_tool_file(call: Call) -> PictureDownload | ProxyPage:
    """``GET /files/tools/{file_id}.{extension}``: the picture, whatever the extension says."""
    check_signature(call)
    file_id = call.parameters["file_id"].lower()
    kept = call.host.store.pictures.get(file_id)
    if kept is None:
        raise call.host.spec.errors("file_unknown")
    png: Sequence[bytes] = (
        () if call.scope["method"] == "HEAD" else (await _png(call.host, file_id, kept.picture),)
    )
    for blob in (*kept.blobs, *call.effects.blobs):
        spoiled = await asyncio.to_thread(blob.spoil, png)
        if spoiled is None:
            return ProxyPage(502, error_pages.nginx(502, call.host.spec.proxy_server))  # FACTS 6.3
        png = spoiled
    own = [(b"Content-Type", b"image/png")]
    return PictureDownload(png, call.host.headers.complete(own, call.request_headers, shared=True))


def check_signature(call: Call) -> None:
    """Return if the query signs the file of the path, and not too long ago. Raises
    ``HostError``.
    """
    errors = call.host.spec.errors
    query = call.query()
    for name in call.operation.query:
        if name not in query:
            raise errors("query_parameter_missing", field=name)
    file_id, signer = call.parameters["file_id"].lower(), call.host.signers.tool_file
    try:
        signer.verify(
            file_id, query["timestamp"], query["nonce"], query["sign"], call.host.clock.now()
        )
    except BadTimestampError as error:
        raise errors("value_error", message=error) from None
    except SignatureRefusedError:
        raise errors("signature_refused") from None


async def _png(host: Host, file_id: str, picture: ImageRecord) -> bytes:
    """The picture's file, drawn when it is first fetched."""
    png = host.store.rendered.get(file_id)
    if png is None:
        png = await asyncio.to_thread(render, picture)
        host.store.rendered[file_id] = png
    return png


class PictureDownload:
    """A picture, in parts, as an ASGI app: sent in the host's pieces and without a length."""

    def __init__(self, png: Sequence[bytes], headers: RawHeaders) -> None:
        self._png = png
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = scope.get("state", {}).get(CONNECTION)
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        async for chunk in _chunks(self._png):
            if (
                transport is not None and transport.is_closing()
            ):  # the rest of a large file would hold up all others
                while (await receive())["type"] != "http.disconnect":
                    pass
                return
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _chunks(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    for part in parts:
        content = rest + part
        whole = len(content) - len(content) % _CHUNK_BYTES
        for start in range(0, whole, _CHUNK_BYTES):
            yield content[start : start + _CHUNK_BYTES]
        rest = content[whole:]
    if rest:
        yield rest


async def get_image_preview(call: Call) -> Answer:
    """``GET /files/{file_id}/image-preview``: no upload of this fake is ever shown, so every
    signature is refused.
    """
    errors = call.host.spec.errors
    query = call.query()
    if not all(query.get(name) for name in ("timestamp", "nonce", "sign")):
        raise errors("image_preview_without_arguments")
    raise errors("image_preview_refused")
