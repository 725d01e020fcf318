"""The form of an upload, read as Werkzeug reads it on the host: whole or not at all.

A form that breaks off, or that is none, has no fields and no files, and is no error by itself. What differs from the
usual parsers shows on the wire: an empty ``Content-Type:`` of a part is allowed, a missing end is not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from urllib.parse import parse_qsl

_WORD = r"[\w!#$%&'*+\-.^`|~]+"
_PARAMETER = re.compile(rf';\s*({_WORD})=(?:({_WORD})|"((?:\\["\\]|[^"])*)")', re.ASCII)


@dataclass(frozen=True, slots=True)
class FilePart:
    """A part with a file name. ``content_type`` is "" where the part says none."""

    filename: str
    content_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Form:
    """The fields and files by name; of a name that is given twice the first counts."""

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, FilePart] = field(default_factory=dict)


def read_form(body: bytes, content_type: str) -> Form:
    """The form in ``body``; an empty one where it cannot be read."""
    kind, parameters = _parameters(content_type)
    if kind == "application/x-www-form-urlencoded":
        return Form(dict(reversed(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))))
    if kind != "multipart/form-data" or not parameters.get("boundary"):
        return Form()
    form = Form()
    try:
        for part in _parts(body, parameters["boundary"].encode()):
            _add(form, *part)
    except ValueError:
        return Form()
    return form


def _parts(body: bytes, boundary: bytes) -> list[tuple[dict[str, str], bytes]]:
    """Head and content of each part. Raises ``ValueError`` for a form without its end."""
    delimiter = re.compile(rb"(?:\A|\r\n|\n|\r)--" + re.escape(boundary) + rb"(?:(--)|[^\S\r\n]*(?:\r\n|\n|\r))")
    marks = list(delimiter.finditer(body))
    last = next((index for index, mark in enumerate(marks) if mark[1]), None)
    if last is None:
        raise ValueError("the form breaks off")
    return [_part(body[mark.end() : after.start()]) for mark, after in pairwise(marks[: last + 1])]


def _part(raw: bytes) -> tuple[dict[str, str], bytes]:
    blank = re.search(rb"\r\n\r\n|\n\n|\r\r", raw)
    if blank is None:
        raise ValueError("a part without a blank line")
    lines = (line.strip().decode() for line in raw[: blank.start()].splitlines())
    head = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in head}, raw[blank.end() :]


def _add(form: Form, head: dict[str, str], content: bytes) -> None:
    if "content-disposition" not in head:
        raise ValueError("a part without a name")
    _, said = _parameters(head["content-disposition"])
    name = said.get("name", "")
    if "filename" in said:
        form.files.setdefault(name, FilePart(said["filename"], head.get("content-type", ""), len(content)))
    else:
        form.fields.setdefault(name, content.decode("utf-8", "replace"))


def _parameters(header: str) -> tuple[str, dict[str, str]]:
    """The value before the first semicolon, and the parameters after it."""
    value, semicolon, rest = header.partition(";")
    found = {}
    for match in _PARAMETER.finditer(semicolon + rest):
        quoted = match[3] or ""
        found[match[1].lower()] = match[2] or quoted.replace("\\\\", "\\").replace('\\"', '"').replace("%22", '"')
    return value.strip().lower(), found
