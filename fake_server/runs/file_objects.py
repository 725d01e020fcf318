"""Files as they stand in a run's JSON and in its text: an object of the host, or a link.

The URL is signed anew each time (FACTS 5.6).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fake_server.host_spec import FileRules
from fake_server.runs.events import FileRef, InputFile
from fake_server.runs.random_values import image_name

AnyFile = FileRef | InputFile

_PLAIN = frozenset((str, int, float, bool, type(None)))
"""Types of values without files; a run has hundreds of them."""


class FileUrls(Protocol):
    """Makes the URL of a file id, signed anew at each call (FACTS 5.6)."""

    def tool_file(self, file_id: str, extension: str) -> str | None: ...

    def uploaded(self, file_id: str) -> str | None: ...


def tool_file_name(file_id: str, extension: str, rules: FileRules) -> str:
    """The name of a file that a tool made: the same for all, or 32 digits, by the version."""
    if rules.name_pattern.isalpha():
        return rules.name_pattern
    return image_name(file_id).removesuffix(".png") + extension


@dataclass(frozen=True, slots=True)
class FileWriter:
    """Writes the files of one run. ``fields`` are those of the host's file object, in their order;
    ``sizes`` the bytes of files of tools by their ids.
    """

    tenant_id: str
    fields: tuple[str, ...]
    rules: FileRules
    urls: FileUrls
    sizes: Mapping[str, int] = field(default_factory=dict)

    def value(self, value: Any) -> Any:
        """``value`` with its files as file objects."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is dict:
            return {
                name: entry if type(entry) in _PLAIN else self.value(entry)
                for name, entry in value.items()
            }
        if isinstance(value, FileRef | InputFile):
            return self._object(value)
        if isinstance(value, list):
            return [self.value(entry) for entry in value]
        if isinstance(value, Mapping):
            return {name: self.value(entry) for name, entry in value.items()}
        return value

    def text(self, value: Any) -> str:
        """``value`` as an End node puts it into text [C: types_all_stream, iter_json_stream]."""
        if value is None:
            return ""
        if isinstance(value, FileRef | InputFile):
            name, url = self._name(value) or "", self._url(value) or ""
            return f"![{name}]({url})" if value.type == "image" else f"[{name or url}]({url})"
        if isinstance(value, Mapping):
            return json.dumps(self.value(value), ensure_ascii=False, indent=2)
        if isinstance(value, list):
            if all(isinstance(entry, FileRef | InputFile) for entry in value):
                return "\n".join(map(self.text, value))
            return "\n".join(f"- {self.value(entry)}" for entry in value)
        return str(value)

    def in_outputs(self, outputs: Mapping[str, Any] | None) -> list[Any]:
        """The files among ``outputs``, each output a file or a list of them."""
        found: list[Any] = []
        for value in (outputs or {}).values():
            entries = value if isinstance(value, list) else [value]
            found += [self.value(entry) for entry in entries if self._is_file(entry)]
        return found

    def _is_file(self, value: Any) -> bool:
        if isinstance(value, Mapping):
            return self.rules.mark.items() <= value.items()
        return isinstance(value, FileRef | InputFile)

    def _name(self, file: AnyFile) -> str | None:
        if isinstance(file, FileRef):
            return tool_file_name(file.file_id, file.extension, self.rules)
        return file.filename

    def _url(self, file: AnyFile) -> str | None:
        if isinstance(file, FileRef):
            return self.urls.tool_file(file.file_id, file.extension)
        return self.urls.uploaded(file.file_id) if file.file_id else file.url

    def _object(self, file: AnyFile) -> dict[str, Any]:
        """The host's file object, its keys in wire order (FACTS 4)."""
        if isinstance(file, FileRef):
            method, size = "tool_file", self.sizes.get(file.file_id)
        else:
            method, size = file.transfer_method, file.size
        known: dict[str, Any] = {
            **self.rules.mark,
            "id": None,
            "tenant_id": self.tenant_id,
            "type": file.type,
            "transfer_method": method,
            "related_id": file.file_id,
            "filename": self._name(file),
            "extension": file.extension,
            "mime_type": file.mime_type,
            "size": size,
        }
        if "remote_url" in self.fields:
            known["remote_url"] = self._remote_url(file)
        if "reference" in self.fields:
            known["reference"] = _reference(file.file_id)
        known["url"] = self._url(file)
        return {name: known.get(name) for name in self.fields}

    def _remote_url(self, file: AnyFile) -> str | None:
        if isinstance(file, FileRef):
            return file.remote_url
        if file.file_id is None:
            return file.url
        match self.rules.upload_remote_url:
            case "signed":
                return self.urls.uploaded(file.file_id)
            case "empty":
                return ""
        return None


def _reference(file_id: str | None) -> str | None:
    """[C of 1.14.2: block_ok_doc_example, filesin_remote_stream]"""
    if file_id is None:
        return None
    record = json.dumps({"record_id": file_id}, separators=(",", ":"))
    return "dify-file-ref:" + base64.b64encode(record.encode()).decode()
