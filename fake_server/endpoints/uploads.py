"""Uploading a file for a later run, and asking for one that was used in a chat."""

from __future__ import annotations

from fake_server.host_spec import HostSpec
from fake_server.http.form import FilePart, Form
from fake_server.http.request import Request, endpoint
from fake_server.http.responses import Response
from fake_server.runs.random_values import TENANT_ID
from fake_server.runs.run_body import check_storable, user_text
from fake_server.store import Upload

_ANONYMOUS = "DEFAULT-USER"
_COLUMN_CHARACTERS = 255
"""Longer texts than this do not fit into the columns of the host's table of files (FACTS 12.14)."""

_MEGABYTE = 1 << 20


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
    random = host.random.for_request("upload", app.app_id, user, name, file.size)
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
