"""Values of a run: JSON data, and files. An image is a ``FileRef`` in outputs, an uploaded one an
``InputFile`` in inputs; only a renderer turns them into the host's file object, signing the URL
then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fake_server.images import ImageRecord

Values = Mapping[str, Any]


@dataclass(slots=True, unsafe_hash=True)  # not frozen: made in each run, in half the time
class FileRef:
    """A file made by a tool node, an image as a rule; ``remote_url`` is where the tool took it
    from.
    """

    file_id: str
    record: ImageRecord
    type: str = "image"
    extension: str = ".png"
    mime_type: str = "image/png"
    remote_url: str | None = None


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that a user sent along; ``url`` is None where the host signs one for it, and
    ``source_url`` is the one that it signed when the file was uploaded, where the version keeps it.
    """

    transfer_method: str
    url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    extension: str | None = None
    mime_type: str | None = None
    type: str = "image"
    size: int | None = None
    source_url: str = ""
