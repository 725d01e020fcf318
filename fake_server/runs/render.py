"""The end of a run as the host writes it: one JSON object, with its files, in the style of the
version.

What an object holds, and in which order, is the version's: its fields are those that the spec
requires of it (``HostSpec.fields``). The URL of a file is signed anew each time (FACTS 5.6).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor
from typing import Any, NamedTuple, Protocol

from fake_server.host_spec import FileRules, HostSpec
from fake_server.runs.events import WorkflowFinished, WorkflowPaused
from fake_server.runs.random_values import image_name
from fake_server.runs.values import FileRef, InputFile

# JSON
# --------------------------------------------------------------------------------------------------

_EXPONENT = re.compile(r'"(?:[^"\\]|\\.)*"|(?<![\w.+-])(-?)(\d)(?:\.(\d+))?e([+-]\d+)')
"""A string, or a number with an exponent and the parts of that."""

_MAY_BE_EXPONENT = re.compile(r"e[+-]\d+[,}\]]")
"""What is in each text with such a number, and in few others: most ids have an ``e-``."""

_FIRST_EXPONENT = -5
"""Numbers from this exponent on are written without one."""

_SPACED = json.JSONEncoder(check_circular=False)
_COMPACT = json.JSONEncoder(check_circular=False, ensure_ascii=False, separators=(",", ":"))


def spaced(message: Mapping[str, Any]) -> bytes:
    """``", "`` and ``": "``, and only ASCII (FACTS 1.7)."""
    return _SPACED.encode(message).encode("ascii")


def compact(message: Mapping[str, Any]) -> bytes:
    """No blanks, and UTF-8; a lone surrogate, which UTF-8 cannot write, is a question mark."""
    text = _COMPACT.encode(message)
    if _MAY_BE_EXPONENT.search(text):
        text = _EXPONENT.sub(_number, text)
    return text.encode("utf-8", "replace")


def _number(found: re.Match[str]) -> str:
    """A number with Python's exponent as orjson has it: ``1e-5`` as 0.00001, ``1e+16`` as 1e16."""
    if found[4] is None:
        return found[0]
    sign, first, rest, exponent = found[1], found[2], found[3] or "", int(found[4])
    if _FIRST_EXPONENT <= exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{first}{rest}"
    return f"{sign}{first}{'.' + rest if rest else ''}e{exponent}"


WRITERS = {"spaced": spaced, "compact": compact}
"""By the style's name in ``x-host.stream.json``."""

# Files
# --------------------------------------------------------------------------------------------------

AnyFile = FileRef | InputFile

PLAIN = frozenset((str, int, float, bool, type(None)))
"""Types of values without files; a run has hundreds of them."""

FILES = frozenset((FileRef, InputFile))


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
        if kind is dict:
            if PLAIN.issuperset(map(type, value.values())):
                return value
            return {
                name: entry if type(entry) in PLAIN else self.value(entry)
                for name, entry in value.items()
            }
        if kind is list:
            if PLAIN.issuperset(map(type, value)):
                return value
            return [self.value(entry) for entry in value]
        if kind in FILES:
            return self._object(value)
        return self.value(dict(value)) if isinstance(value, Mapping) else value

    def text(self, value: Any) -> str:
        """``value`` as an End node puts it into text [C: types_all_stream, iter_json_stream]."""
        if value is None:
            return ""
        if isinstance(value, FileRef | InputFile):
            url = self._url(value) or ""
            if isinstance(value, FileRef):
                name = tool_file_name(value.file_id, value.extension, self.rules)
            else:
                name = value.filename or ""
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
            if type(value) in PLAIN:
                continue
            for entry in value if isinstance(value, list) else [value]:
                kind = type(entry)
                if kind in FILES or (kind is dict and self.rules.mark.items() <= entry.items()):
                    found.append(self.value(entry))
        return found

    def _object(self, file: AnyFile) -> dict[str, Any]:
        """The host's file object, its keys in wire order (FACTS 4)."""
        if isinstance(file, FileRef):
            method, size = "tool_file", self.sizes.get(file.file_id)
            name: str | None = tool_file_name(file.file_id, file.extension, self.rules)
        else:
            method, size, name = file.transfer_method, file.size, file.filename
        known: dict[str, Any] = {
            **self.rules.mark,
            "id": None,
            "tenant_id": self.tenant_id,
            "type": file.type,
            "transfer_method": method,
            "related_id": file.file_id,
            "filename": name,
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

    def _url(self, file: AnyFile) -> str | None:
        if isinstance(file, FileRef):
            return self.urls.tool_file(file.file_id, file.extension)
        return self.urls.uploaded(file.file_id) if file.file_id else file.url

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


# Runs
# --------------------------------------------------------------------------------------------------

EXPIRES_S = "expires_s"
"""A form's own name for its expiration_time, in seconds of the run."""

Change = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Changes what is about to be rendered, as JSON data."""


class RunFacts(NamedTuple):
    """The run as a whole. ``started_at`` is the unix time of the timeline's second 0."""

    task_id: str
    workflow_run_id: str
    workflow_id: str
    sequence_number: int
    end_user_id: str
    user: str
    started_at: float


@dataclass(slots=True)
class Renderer:
    """Renders the end of one run; ``changes`` are applied to the whole response."""

    facts: RunFacts
    spec: HostSpec
    files: FileWriter
    ping_frame: bytes
    changes: Sequence[Change] = ()

    def blocking(self, end: WorkflowFinished | WorkflowPaused) -> bytes:
        """The whole response of a blocking run, without a newline at its end."""
        if isinstance(end, WorkflowPaused):
            data, fields = self.paused_run(end), self.spec.fields["PausedRunData"]
        else:
            data = self.ended_run(end, self.files.value(end.outputs))
            fields = self.spec.fields["RunData"]
        known = {
            "task_id": self.facts.task_id,
            "workflow_run_id": self.facts.workflow_run_id,
            "data": picked(data, fields),
        }
        message: Mapping[str, Any] = picked(known, self.spec.fields["RunResponse"])
        for change in self.changes:
            message = change(message)
        return spaced(message)

    def ended_run(self, event: WorkflowFinished, outputs: Any) -> dict[str, Any]:
        """What a blocking response and workflow_finished have, with the rendered ``outputs``."""
        rules, digits = self.spec.run, self.spec.run.elapsed_digits
        return {
            "id": self.facts.workflow_run_id,
            "workflow_id": self.facts.workflow_id,
            "status": event.status,
            "outputs": outputs or ({} if rules.empty_outputs == "object" else None),
            "error": rules.no_error if event.error is None else event.error or rules.empty_error,
            "elapsed_time": event.elapsed_s if digits is None else round(event.elapsed_s, digits),
            "total_tokens": event.total_tokens,
            "total_steps": event.total_steps,
            "created_at": self.created_at(0.0),
            "finished_at": floor(self.facts.started_at + event.elapsed_s),
        }

    def paused_run(self, event: WorkflowPaused) -> dict[str, Any]:
        """What a blocking response and workflow_paused have."""
        outputs = self.files.value(event.outputs)
        end = WorkflowFinished(
            "paused", event.outputs, None, event.elapsed_s, event.total_tokens, event.total_steps
        )
        reason_fields = self.spec.fields.get("PauseReason", ())
        return {
            **self.ended_run(end, outputs),
            "workflow_run_id": self.facts.workflow_run_id,
            "paused_nodes": list(event.paused_nodes),
            "reasons": [
                picked({"TYPE": "human_input_required", **self.form(one)}, reason_fields)
                for one in event.reasons
            ],
            "finished_at": None,
        }

    def form(self, form: Mapping[str, Any]) -> dict[str, Any]:
        """``form`` with the time at which it expires."""
        known = dict(form)
        if EXPIRES_S in known:
            known["expiration_time"] = floor(self.facts.started_at + known[EXPIRES_S])
        return known

    def created_at(self, offset_s: float) -> int:
        """The database of early versions rounds, so up to 0.5 s ahead (FACTS 4)."""
        if self.spec.stream.created_at_rounded:
            offset_s += 0.5
        return floor(self.facts.started_at + offset_s)


_NOT_KNOWN = dict.fromkeys(
    ("inputs_truncated", "process_data_truncated", "outputs_truncated"), False
)
"""Nothing is ever too long to be shown whole."""


def picked(known: dict[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """The values of ``fields``; null where the fake does not know the field."""
    if len(known) == len(fields) and tuple(known) == fields:
        return known
    return {name: known[name] if name in known else _NOT_KNOWN.get(name) for name in fields}
