"""``POST /v1/files/upload``: checked as the host does; the content is discarded (FACTS 7)."""

from __future__ import annotations

from fake_server.host_spec import HostSpec
from fake_server.http.errors import HostErrors
from fake_server.http.form import FilePart, Form
from fake_server.http.request import Request, endpoint
from fake_server.http.responses import Response
from fake_server.runs.random_values import end_user_id
from fake_server.runs.request import check_storable, user_text
from fake_server.store import Upload

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
