"""``POST /v1/files/upload``: checked and counted as the host does it, the content itself thrown away (FACTS 7)."""

from __future__ import annotations

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from fake_server.edge.answers import Answer, json_answer
from fake_server.errors import HostErrors
from fake_server.operations.call import Call
from fake_server.requests import user_text
from fake_server.spec import HostSpec
from fake_server.store import Upload

_ANONYMOUS = "DEFAULT-USER"
_NAME_CHARACTERS = 200


async def upload_file(call: Call) -> Answer:
    """Refuse or accept the part named ``file``; of two parts with that name the first counts."""
    app = call.app()
    spec = call.host.spec
    try:
        async with Request(call.scope, call.receive).form() as form:
            user = user_text(form.get("user"), call.operation.user_required, spec) or _ANONYMOUS
            file = _only_file(form, spec.errors)
            name, extension = _name(file)
            mime_type = (file.content_type or "").partition(";")[0].strip().lower()
            size = _checked_size(file, extension, spec)
    except MultiPartException:
        raise spec.errors("upload_without_file") from None
    draw = call.host.draws.for_request(f"upload|{app.app_id}|{user}|{name}|{size}")
    upload = Upload(draw.uuid(), app.app_id, call.host.end_user_id(app, user), name, extension, mime_type)
    call.host.store.uploads.put(upload.file_id, upload)
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


def _only_file(form: FormData, errors: HostErrors) -> UploadFile:
    files = {name: part for name, part in reversed(form.multi_items()) if isinstance(part, UploadFile)}
    if "file" not in files:
        raise errors("upload_without_file")
    if not files["file"].content_type:
        raise errors("upload_type_refused")
    if len(files) > 1:
        raise errors("upload_too_many_files")
    return files["file"]


def _name(file: UploadFile) -> tuple[str, str]:
    """The name as it is kept and its extension: all of it after the last dot, or the whole name [C: upload_noext]."""
    name = file.filename or ""
    extension = name.split(".")[-1]
    if len(name) > _NAME_CHARACTERS:
        name = f"{name.split('.')[0][:_NAME_CHARACTERS]}.{extension}"
    return name, extension


def _checked_size(file: UploadFile, extension: str, spec: HostSpec) -> int:
    kind = extension.lower()
    if kind in spec.image_extensions:
        limit = spec.limits.upload_image_bytes
    elif kind in spec.document_extensions:
        limit = spec.limits.upload_file_bytes
    else:
        raise spec.errors("upload_type_refused")
    size = file.size or 0
    if size > limit:
        raise spec.errors("upload_too_large", size=size, limit=limit)
    return size
