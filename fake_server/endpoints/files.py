"""Files: what users upload for later runs, and by their signed URLs that and the images of tools
(FACTS 6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from starlette.types import ASGIApp, Receive, Scope, Send

from fake_server.host_spec import HostSpec
from fake_server.http import error_pages
from fake_server.http.form import FilePart, Form
from fake_server.http.query import read_query
from fake_server.http.request import Request, endpoint
from fake_server.http.responses import Response, proxy_page
from fake_server.runs.random_values import TENANT_ID, image_name
from fake_server.runs.run_body import check_storable, user_text
from fake_server.runs.signing import BadTimestampError, FileSigner, SignatureError
from fake_server.store import Upload

_CHUNK_BYTES = 4096
"""The host sends a file in pieces of this size (FACTS 6.2)."""

_OCTETS = "application/octet-stream"
_SEEKABLE = frozenset(
    (
        *("audio/mpeg", "audio/wav", "audio/mp4", "audio/ogg", "audio/flac", "audio/aac"),
        *("audio/x-m4a", "video/mp4", "video/webm", "video/quicktime"),
    )
)
"""Media of which the host says that it sends ranges; it does not [C: prev_file_mp4]."""

_WITH_CHARSET = ("application/xml", "application/javascript", "application/ecmascript")

_ANONYMOUS = "DEFAULT-USER"
_COLUMN_CHARACTERS = 255
"""Longer texts than this do not fit into the columns of the host's table of files (FACTS 12.14)."""

_MEGABYTE = 1 << 20


@endpoint("getToolFile")
async def get_tool_file(request: Request) -> ASGIApp:
    """``GET /files/tools/{file_id}.{extension}``: the image, whatever the extension says."""
    query = check_signature(request)
    host, rules = request.host, request.spec.files
    file_id = request.parameters["file_id"].lower()
    stored = host.store.images.get(file_id)
    if stored is None:
        await host.store.settled()
        stored = host.store.images.get(file_id)
    if stored is None:
        raise request.spec.errors("file_unknown")
    drawn = request.scope["method"] != "HEAD" or rules.content_length
    png: Sequence[bytes] = (await host.store.png(file_id, stored.record),) if drawn else ()
    for fault in (*stored.faults, *request.effects.image_faults):
        spoiled = await asyncio.to_thread(fault.spoil, png)
        if spoiled is None:  # FACTS 6.3
            return _lost(request)
        png = spoiled
    headers = []
    if query.get("as_attachment") and rules.disposition:
        headers.append(_disposition(rules.disposition, image_name(file_id)))
    return FileDownload("image/png", png, request, headers, rules.content_length)


def check_signature(request: Request) -> dict[str, Any]:
    """The query, if it signs the file of the path and is not expired. Raises ``HostError``."""
    query = read_query(request)
    _verify(request, request.host.signers.tool_file, query, "signature_refused")
    return query


def _verify(request: Request, signer: FileSigner, query: Mapping[str, Any], refusal: str) -> None:
    file_id, errors = request.parameters["file_id"].lower(), request.spec.errors
    signature = (query["timestamp"], query["nonce"], query["sign"])
    try:
        signer.verify(file_id, *signature, request.host.clock.now())
    except BadTimestampError as error:
        raise errors("value_error", message=error) from None
    except SignatureError:
        raise errors(refusal) from None


@endpoint("getImagePreview")
async def get_image_preview(request: Request) -> ASGIApp:
    """``GET /files/{file_id}/image-preview``: an uploaded image, and nothing else."""
    if request.operation.query_model is None:  # this host looks for the arguments itself
        query: Mapping[str, Any] = request.query()
        _check_arguments(request, query)
    else:
        query = read_query(request)
    upload = await _signed_upload(request, request.host.signers.uploaded_image, query)
    if upload.extension.lower() not in request.spec.image_extensions:
        raise request.spec.errors("upload_type_refused")
    content = request.host.store.upload_contents.get(upload.file_id)
    if content is None:
        return _lost(request)
    return FileDownload(_content_type(upload.mime_type), (content,), request)


@endpoint("getFilePreview")
async def get_file_preview(request: Request) -> ASGIApp:
    """``GET /files/{file_id}/file-preview``: any uploaded file."""
    query = read_query(request)
    if request.operation.query_model is None:
        _check_arguments(request, query)
    upload = await _signed_upload(request, request.host.signers.tool_file, query)
    content = request.host.store.upload_contents.get(upload.file_id)
    if content is None:
        return _lost(request)
    rules = request.spec.files
    kind = _content_type(upload.mime_type)
    headers = [(b"Accept-Ranges", b"bytes")] if upload.mime_type in _SEEKABLE else []
    if query["as_attachment"]:
        headers.append(_disposition("attachment; filename*=UTF-8''{name}", upload.name))
        kind = _OCTETS
    if rules.preview_type is not None:
        kind = rules.preview_type
        if upload.mime_type in ("text/html", "application/xhtml+xml"):
            headers = [
                *(header for header in headers if header[0] != b"Content-Disposition"),
                _disposition("attachment; filename*=UTF-8''{name}", upload.name),
                (b"X-Content-Type-Options", b"nosniff"),
            ]
    return FileDownload(kind, (content,), request, headers, sized=bool(content))


def _check_arguments(request: Request, query: Mapping[str, Any]) -> None:
    if not all(query.get(name) for name in ("timestamp", "nonce", "sign")):
        raise request.spec.errors("image_preview_without_arguments")


async def _signed_upload(request: Request, signer: FileSigner, query: Mapping[str, Any]) -> Upload:
    _verify(request, signer, query, "image_preview_refused")
    file_id, store = request.parameters["file_id"].lower(), request.host.store
    if file_id not in store.uploads:
        await store.settled()
    upload = store.uploads.get(file_id)
    if upload is None:
        raise request.spec.errors("image_preview_refused")
    return upload


def _lost(request: Request) -> Response:
    """The response for a file whose content is gone: the host's process dies on it (FACTS 6.3)."""
    return proxy_page(502, error_pages.nginx(502, request.spec.proxy_server))


def _disposition(template: str, name: str) -> tuple[bytes, bytes]:
    return b"Content-Disposition", template.replace("{name}", quote(name)).encode("latin-1")


def _content_type(mime_type: str) -> str:
    """The type with the charset that Werkzeug adds to text."""
    text = mime_type.startswith("text/") or mime_type.endswith("+xml")
    return f"{mime_type}; charset=utf-8" if text or mime_type in _WITH_CHARSET else mime_type


class FileDownload:
    """A file as an ASGI app, sent in the host's pieces; without a length where it is not
    ``sized``.
    """

    def __init__(
        self,
        content_type: str,
        parts: Sequence[bytes],
        request: Request,
        headers: Iterable[tuple[bytes, bytes]] = (),
        sized: bool = False,
    ) -> None:
        self._parts = parts if request.scope["method"] != "HEAD" else ()
        self._request = request
        length = str(sum(map(len, parts))).encode()
        self._headers = [
            (b"Content-Type", content_type.encode("latin-1")),
            *([(b"Content-Length", length)] if sized else ()),
            *headers,
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = self._request.complete_headers(*self._headers)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for chunk in _chunks(self._parts):
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


# Uploads
# ------------------------------------------------------------------------------------------------


@endpoint("uploadFile")
async def upload_file(request: Request) -> Response:
    """Refuse or accept the part named ``file``; of two parts with that name the first counts."""
    app = request.app()
    spec, host = request.spec, request.host
    form = await request.form()
    given = user_text(form.fields.get("user"), request.operation.user_required, spec)
    user = given or _ANONYMOUS
    file = _only_file(form, spec)
    mime_type = _mime_type(file)
    name, extension = _name_and_extension(file.filename, spec)
    _check_size(file, extension, spec)
    for text in (name, mime_type):
        check_storable(text, spec.errors)
        if len(text) > _COLUMN_CHARACTERS:
            raise spec.errors("internal_error")
    random = await host.random.of_occurrence("upload", app.app_id, user, name, file.size)
    file_id, now = random.uuid(), int(host.clock.now())
    owner = host.store.see_user(app.app_id, user, now, anonymous=not given)
    nonce, quoted = random.nonce(), spec.files.upload_sign_quoted
    query = host.signers.tool_file.query(file_id, now, nonce, quoted)
    path = spec.paths.get("getFilePreview", "").replace("{file_id}", file_id)
    source_url = f"{host.settings.files_url}{path}?{query}" if path else ""
    host.store.uploads[file_id] = Upload(
        file_id, app.app_id, owner, name, extension, mime_type, file.size, source_url
    )
    if file.content is not None:
        host.store.upload_contents[file_id] = file.content
    uploaded = {
        "id": file_id,
        "name": name,
        "size": file.size,
        "extension": extension,
        "mime_type": mime_type,
        "created_by": owner,
        "created_at": now,
        "preview_url": None,
        "source_url": source_url,
        "original_url": None,
        "user_id": None,
        "tenant_id": TENANT_ID,
        "conversation_id": None,
        "file_key": None,
    }
    fields = spec.fields["UploadedFile"]
    return request.json_response({field: uploaded[field] for field in fields}, 201)


def _only_file(form: Form, spec: HostSpec) -> FilePart:
    errors = spec.errors
    if "file" not in form.files:
        raise errors("upload_without_file")
    file = form.files["file"]
    if not _mime_type(file):
        raise errors("upload_type_refused")
    if len(form.files) > 1:
        raise errors("upload_too_many_files")
    if not file.filename and spec.files.nameless_error is not None:
        raise errors(spec.files.nameless_error)
    return file


def _mime_type(file: FilePart) -> str:
    return file.content_type.partition(";")[0].strip().lower()


def _name_and_extension(name: str, spec: HostSpec) -> tuple[str, str]:
    """The name and the extension that the host keeps. Raises ``HostError`` for a bad name."""
    rules = spec.files
    stem, dot, extension = name.rpartition(".")
    if not dot or (not stem and not rules.dotless_extension):
        extension = name if rules.dotless_extension else ""  # [C: upload_noext]
    if rules.lower_extension:
        extension = extension.lower()
    if set(name) & set(rules.forbidden_characters):
        raise spec.errors("value_error", message="Filename contains invalid characters")
    if rules.longest_name is not None and len(name) > rules.longest_name:
        name = f"{name.split('.', maxsplit=1)[0][: rules.longest_name]}.{extension}"
    return name, extension


def _check_size(file: FilePart, extension: str, spec: HostSpec) -> None:
    kind = spec.upload_kind(extension)
    if kind is None and spec.files.program_error is not None:
        raise spec.errors(spec.files.program_error)
    limit = spec.limits.upload_file_bytes
    if kind == "image":
        limit = spec.limits.upload_image_bytes
    elif kind in ("video", "audio"):
        limit = int(spec.app.system_parameters[f"{kind}_file_size_limit"]) * _MEGABYTE
    if file.size > limit:
        raise spec.errors("upload_too_large", size=file.size, limit=limit)


@endpoint("getFileOfMessage")
async def get_file_of_message(request: Request) -> Response:
    """``GET /v1/files/{file_id}/preview``: for files of chats, which no app here has."""
    request.app()
    await request.user()
    raise request.spec.errors("file_absent")
