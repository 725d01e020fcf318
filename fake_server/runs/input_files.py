"""The files that a request names: those of its body and of its start variables.

What the host's file factory does with a mapping, on every version (FACTS 3.3 and 3.4 of 1.14.2).
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fake_server.host_spec import HostSpec, InputFileRules
from fake_server.runs.file_sources import FileSources, Owner, remote_info
from fake_server.runs.input_images import input_images
from fake_server.runs.values import FileRef, InputFile
from fake_server.workflow.model import StartVariable

FileValue = InputFile | FileRef

_LOCAL, _REMOTE, _TOOL = "local_file", "remote_url", "tool_file"
_TYPES = ("image", "document", "audio", "video", "custom")
_CUSTOM, _IMAGE = "custom", "image"
_REFERENCE = "dify-file-ref:"


class FileConfig(NamedTuple):
    """Which files an upload feature or a start variable takes. A limit of 0 means no limit."""

    types: Sequence[str]
    extensions: Sequence[str]
    methods: Sequence[str]
    image_methods: Sequence[str] = ()
    limit: int = 0
    image_limit: int | None = None


def upload_config(features: Mapping[str, Any]) -> FileConfig | None:
    """The app's upload feature, in its present or its former form; None where it is off."""
    upload = _mapping(features.get("file_upload"))
    image = _mapping(upload.get("image"))
    if image.get("enabled"):  # the former form, which the host reads as the present one
        limit, methods = _number(image, 1), _list(image, "transfer_methods")
        return FileConfig((_IMAGE,), (), methods, methods, limit, limit)
    if not upload.get("enabled"):
        return None
    methods = _list(upload, "allowed_file_upload_methods")
    return FileConfig(
        types=_list(upload, "allowed_file_types"),
        extensions=_list(upload, "allowed_file_extensions"),
        methods=methods,
        image_methods=methods,
        limit=_number(upload, 0),
        image_limit=_number(upload, 1),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(feature: Mapping[str, Any], key: str) -> Sequence[str]:
    value = feature.get(key)
    return value if isinstance(value, list) else ()


def _number(feature: Mapping[str, Any], default: int) -> int:
    limit = feature.get("number_limits")
    return limit if isinstance(limit, int) else default


class FileFinder(NamedTuple):
    """Finds the files of one request. Each method raises ``HostError``."""

    sources: FileSources
    owner: Owner
    spec: HostSpec

    @property
    def _rules(self) -> InputFileRules:
        return self.spec.input_files

    def body_files(self, files: Sequence[Any], features: Mapping[str, Any]) -> list[FileValue]:
        """The files of the body, ``sys.files``."""
        if self._rules.form == "images":
            image = _mapping(_mapping(features.get("file_upload")).get("image"))
            if not image.get("enabled"):
                return []
            return [*input_images(files, image, self.owner, self.sources, self.spec)]
        return self._found(files, upload_config(features), self._rules.types_checked)

    def file(self, variable: StartVariable, file: Mapping[str, Any]) -> FileValue:
        """The file of a start variable."""
        return self._built(file, _config_of(variable), self._rules.types_checked)

    def files(self, variable: StartVariable, files: Sequence[Mapping[str, Any]]) -> list[FileValue]:
        """Those of a variable that is a list; the type is not checked there [C: types_fl_10]."""
        return self._found(files, _config_of(variable), False)

    def _found(
        self, files: Sequence[Any], config: FileConfig | None, types_checked: bool
    ) -> list[FileValue]:
        errors = self.spec.errors
        found = [
            self._built(file, config, types_checked) for file in files if not self._dropped(file)
        ]
        if config and config.image_limit is not None:
            images = sum(file.type == _IMAGE for file in found)
            if images > config.image_limit:
                raise errors("files_too_many", limit=config.image_limit)
        if config and config.limit and len(found) > config.limit:
            raise errors("files_too_many_of_all", limit=config.limit)
        return found

    def _dropped(self, file: Any) -> bool:
        """Whether the host silently leaves out an entry of a list [C: filesin_bad_07]."""
        rules = self._rules
        if rules.without_method == "refused":
            self._check_mapping(file)
            return False
        if not file:
            return True
        self._check_mapping(file)
        if not file.get("transfer_method"):
            return True
        return (
            rules.without_url == "dropped"
            and file["transfer_method"] == _REMOTE
            and not (file.get("url") or file.get("remote_url"))
        )

    def _check_mapping(self, file: Any) -> None:
        if not isinstance(file, dict):
            raise self.spec.errors("internal_server_error")

    def _built(
        self, file: Mapping[str, Any], config: FileConfig | None, types_checked: bool
    ) -> FileValue:
        errors, method = self.spec.errors, file.get("transfer_method")
        if not method and self._rules.without_method == "dropped":
            raise errors("file_method_missing")
        if method not in self._rules.methods:
            raise errors("file_method_unknown", value=method, shown=repr(method))
        if method == _LOCAL:
            built: FileValue = self._local(file, types_checked)
        elif method == _REMOTE:
            built = self._remote(file, types_checked)
        else:
            built = self._made(file, types_checked)
        if config and not self._allowed(file.get("type", _CUSTOM), built, method, config):
            name = built.filename if isinstance(built, InputFile) else built.file_id
            raise errors("file_refused", filename=name)
        return built

    def _allowed(self, kind: Any, file: FileValue, method: str, config: FileConfig) -> bool:
        if kind == _CUSTOM:
            if file.extension not in config.extensions:
                return False
        elif config.types and kind not in config.types:
            return False
        if kind == _IMAGE:
            return not config.image_methods or method in config.image_methods
        checked = self._rules.upload_methods_checked and config.methods
        return not checked or method in config.methods

    def _local(self, file: Mapping[str, Any], types_checked: bool) -> InputFile:
        file_id = self._file_id(file, "upload_file_id")
        if not file_id:
            raise self.spec.errors("file_upload_id_missing")
        return self._uploaded(file_id, file.get("type", _CUSTOM), _LOCAL, types_checked)

    def _uploaded(self, file_id: str, kind: Any, method: str, types_checked: bool) -> InputFile:
        errors = self.spec.errors
        try:
            known = str(uuid.UUID(file_id))
        except ValueError:
            raise errors("file_upload_id_malformed") from None
        upload = self.sources.upload(known, self.owner, shared=self._rules.shared)
        if upload is None:
            raise errors("file_upload_invalid")
        extension = f".{upload.extension}"
        return InputFile(
            method,
            file_id=upload.file_id,
            filename=upload.name,
            extension=extension,
            mime_type=upload.mime_type,
            type=self._type(kind, extension, upload.mime_type, types_checked),
            size=upload.size,
            source_url=upload.source_url if self._rules.source_urls else "",
        )

    def _remote(self, file: Mapping[str, Any], types_checked: bool) -> InputFile:
        errors = self.spec.errors
        if file_id := self._rules.types_checked and self._file_id(file, "upload_file_id"):
            return self._uploaded(file_id, file.get("type"), _REMOTE, types_checked)
        url = file.get("url") or file.get("remote_url")
        if not url:
            raise errors("file_url_missing")
        if not isinstance(url, str):
            raise errors("internal_server_error")
        info = remote_info(url, self.sources, errors)
        return InputFile(
            _REMOTE,
            url=url,
            filename=info.filename,
            extension=info.extension,
            mime_type=info.mime_type,
            type=self._type(file.get("type"), info.extension, info.mime_type, types_checked),
            size=info.size,
        )

    def _made(self, file: Mapping[str, Any], types_checked: bool) -> FileRef:
        """A file that a tool made in an earlier run, named by the id in its URL."""
        name, kind = ("tool_file_id", "ToolFile")
        if file["transfer_method"] != _TOOL:
            name, kind = ("datasource_file_id", "DatasourceFile")
        file_id = self._file_id(file, name)
        image = self.sources.images.get(file_id) if file_id and kind == "ToolFile" else None
        if not file_id or image is None:
            raise self.spec.errors("made_file_absent", kind=kind, id=file_id)
        made = FileRef(file_id, image.record)
        self._type(file.get("type"), made.extension, made.mime_type, types_checked)
        return made

    def _file_id(self, file: Mapping[str, Any], name: str) -> str | None:
        """The id of a mapping, which later versions also take as a reference."""
        if not self._rules.references:
            value = file.get(name)
            if value and not isinstance(value, str):
                raise self.spec.errors("internal_server_error")
            return value or None
        for key in (name, "reference", "related_id"):
            value = file.get(key)
            if isinstance(value, str) and value:
                return _referred(value)
        return None

    def _type(self, specified: Any, extension: str, mime_type: str, checked: bool) -> str:
        """The type of a file: what the user says, or what the file itself is."""
        detected = self._detected(extension, mime_type)
        if checked and specified and specified != detected:
            raise self.spec.errors("file_type_mismatch")
        if not specified or specified == _CUSTOM:
            return detected
        if specified not in _TYPES:
            raise self.spec.errors("file_kind_unknown", shown=repr(specified))
        return str(specified)

    def _detected(self, extension: str, mime_type: str) -> str:
        ending = extension.lstrip(".")
        for kind, endings in self._rules.kinds.items():
            if ending in endings or (ending.isupper() and ending.lower() in endings):
                return str(kind)
        for kind, marks in _MARKS.items():
            if any(mark in mime_type for mark in marks):
                return kind
        return _CUSTOM


_MARKS = {_IMAGE: ("image",), "video": ("video",), "audio": ("audio",), "document": ("text", "pdf")}
"""The type of a file by a part of its MIME type, where the extension does not give it."""


def _config_of(variable: StartVariable) -> FileConfig:
    return FileConfig(variable.file_types, variable.file_extensions, variable.upload_methods)


def _referred(value: str) -> str | None:
    """The id in a reference such as the host gives out, or the id itself."""
    if not value.startswith(_REFERENCE):
        return value
    try:
        record = json.loads(base64.b64decode(value.removeprefix(_REFERENCE), validate=True))
        return str(record["record_id"])
    except (ValueError, binascii.Error, KeyError, TypeError):
        return value
