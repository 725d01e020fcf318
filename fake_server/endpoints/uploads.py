"""``POST /v1/files/upload``: checked and counted as the host does it, the content itself thrown
away (FACTS 7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fake_server.endpoints.call import Call
from fake_server.http.errors import HostErrors
from fake_server.http.responses import Answer, json_answer
from fake_server.runs.request import check_storable, user_text
from fake_server.spec import HostSpec
from fake_server.store import Upload

if TYPE_CHECKING:
    from fake_server.endpoints.form import FilePart, Form

_ANONYMOUS = "DEFAULT-USER"
_COLUMN_CHARACTERS = 255
"""Longer texts than this do not fit into the columns of the host's table of files (FACTS 12.14)."""


async def upload_file(call: Call) -> Answer:
    """Refuse or accept the part named ``file``; of two parts with that name the first counts."""
    app = call.app()
    spec = call.host.spec
    form = await call.form()
    user = user_text(form.fields.get("user"), call.operation.user_required, spec) or _ANONYMOUS
    file = _only_file(form, spec.errors)
    name, mime_type = file.filename, _mime_type(file)
    extension = name.split(".")[
        -1
    ]  # all of it after the last dot, or the whole name [C: upload_noext]
    size = _checked_size(file, extension, spec)
    for text in (name, mime_type):
        check_storable(text, spec.errors)
        if len(text) > _COLUMN_CHARACTERS:
            raise spec.errors("internal_error")
    draw = call.host.draws.for_request(f"upload|{app.app_id}|{user}|{name}|{size}")
    upload = Upload(
        draw.uuid(), app.app_id, call.host.end_user_id(app, user), name, extension, mime_type
    )
    call.host.store.uploads[upload.file_id] = upload
    shown = {
        "id": upload.file_id,
        "name": name,
        "size": size,
        "extension": extension,
        "mime_type": mime_type,
        "created_by": upload.end_user_id,
        "created_at": int(call.host.clock.now()),
    }
    return json_answer(shown, 201)


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
