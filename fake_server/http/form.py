"""The form of an upload, as Werkzeug sees it on the host: whole or not at all.

python-multipart parses it. A form that breaks off or cannot be read has no fields and no files, and
is not an error by itself. Of a file larger than ``CONTENT_BYTES`` only the size is kept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import parse_qsl

from dify_wire.content_disposition import parse_options

FORM_PARTS = 1_000
"""More parts than these are refused with 413, as Werkzeug does by default. A url-encoded form with
more fields has none."""

FORM_BYTES = 1 << 16
"""A url-encoded form beyond this has no fields: parsing it would hold up everybody."""


CONTENT_BYTES = 1 << 24
"""A file beyond this has no content: an upload takes no more memory than this."""


class FormTooLargeError(Exception):
    """A multipart form with more parts than ``FORM_PARTS``."""


class NamelessPartError(Exception):
    """A part without Content-Disposition."""


class FilePart(NamedTuple):
    """A part with a file name. ``content_type`` is "" where the part has none; ``content`` is None
    where it is too large to keep.
    """

    filename: str
    content_type: str
    size: int
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """The fields and files by name; of a name that is given twice the first counts."""

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, FilePart] = field(default_factory=dict)


async def read_form(body: AsyncIterator[bytes], content_type: str) -> Form:
    """The form in ``body``; an empty one where it cannot be read. Raises ``FormTooLargeError``."""
    kind, parameters = parse_options(content_type)
    if kind.lower() == "application/x-www-form-urlencoded":
        return Form(_url_encoded(await _short_body(body)))
    from python_multipart.exceptions import FormParserError  # with the first form: see test_layers

    boundary = parameters.get("boundary", "")
    if kind.lower() != "multipart/form-data" or not boundary or not boundary.isascii():
        return Form()
    reading = None
    try:
        reading = _Reading(boundary.encode())
        async for chunk in body:
            reading.write(chunk)
    except (FormParserError, NamelessPartError, UnicodeDecodeError):
        return Form()
    finally:
        if reading is not None:
            del reading.write  # a circle, which would keep the files until it is collected
    return reading.form if reading.ended else Form()


async def _short_body(body: AsyncIterator[bytes]) -> bytes:
    """The whole of ``body``, read to its end; nothing where it is larger than ``FORM_BYTES``."""
    body_start, size = bytearray(), 0
    async for chunk in body:
        size += len(chunk)
        body_start += chunk[: max(0, FORM_BYTES - len(body_start))]
    return bytes(body_start) if size <= FORM_BYTES else b""


def _url_encoded(body: bytes) -> dict[str, str]:
    text = body.decode("utf-8", "replace")
    try:
        return dict(reversed(parse_qsl(text, keep_blank_values=True, max_num_fields=FORM_PARTS)))
    except ValueError:
        return {}


class _Reading:
    """A multipart body as it comes: the events of the parser made into parts."""

    def __init__(self, boundary: bytes) -> None:
        from python_multipart.multipart import MultipartParser

        self.form = Form()
        self.ended = False
        self._headers: dict[str, bytes] = {}
        self._disposition: dict[str, str] = {}
        self._name = self._value = b""
        self._content, self._size = bytearray(), 0
        self._parts = 0
        callbacks: dict[str, Callable[..., None]] = {
            "on_part_begin": self._part_begins,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_ends,
            "on_headers_finished": self._read_disposition,
            "on_part_data": self._data,
            "on_part_end": self._part_ends,
            "on_end": self._ends,
        }
        self.write = MultipartParser(boundary, callbacks).write  # type: ignore[arg-type]

    def _part_begins(self) -> None:
        self._headers = {}
        self._content, self._size = bytearray(), 0
        self._parts += 1
        if self._parts > FORM_PARTS:
            raise FormTooLargeError

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        self._headers[self._name.decode().strip().lower()] = self._value.strip()
        self._name = self._value = b""

    def _read_disposition(self) -> None:
        if "content-disposition" not in self._headers:
            raise NamelessPartError
        self._disposition = parse_options(self._headers["content-disposition"].decode())[1]

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if "filename" not in self._disposition or self._size <= CONTENT_BYTES:
            self._content += data[start:end]
        else:
            self._content.clear()

    def _part_ends(self) -> None:
        name, filename = self._disposition.get("name", ""), self._disposition.get("filename")
        if filename is not None:
            kind = self._headers.get("content-type", b"").decode()
            content = bytes(self._content) if self._size <= CONTENT_BYTES else None
            self.form.files.setdefault(name, FilePart(filename, kind, self._size, content))
        else:
            self.form.fields.setdefault(name, self._content.decode("utf-8", "replace"))

    def _ends(self) -> None:
        self.ended = True
