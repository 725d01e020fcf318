"""The image itself: that it is one, is what its headers say, and is made for its run."""

from __future__ import annotations

import hashlib
import io
import struct
from dataclasses import dataclass
from typing import Any

from PIL import Image, UnidentifiedImageError

from contract.check import Level, check
from contract.evidence import blocking_data, image, stream_image
from contract.result import NotRun, Skipped, expect, expect_equal
from contract.target import Target, files_within
from dify_wire.exchange import Exchange

_LEAST_SIDE = 64
_MOST_PIXELS = 50_000_000
"""More than any model makes; a body that says more is not unpacked."""

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}


@dataclass(frozen=True, slots=True)
class _Decoded:
    """An image's pixels, in short; ``fault`` says why there are none."""

    format: str = ""
    width: int = 0
    height: int = 0
    colours_differ: bool = False
    digest: str = ""
    fault: str = ""


def _served(response: Exchange) -> Exchange:
    if response.status != 200 or not response.body:
        raise NotRun("there is no image", response)
    return response


def _decoded(target: Target, response: Exchange) -> _Decoded:
    """What ``response`` has as an image, decoded once."""
    body = _served(response).body
    found: _Decoded = target.shared(f"decoded {id(response)}", lambda: _decode(body))
    return found


def _pixels(target: Target, response: Exchange) -> _Decoded:
    """As ``_decoded``. Raises ``NotRun`` where it has no pixels."""
    found = _decoded(target, response)
    if found.fault:
        raise NotRun(f"the image does not decode: {found.fault}", response)
    return found


def _decode(body: bytes) -> _Decoded:
    """Every pixel of ``body``, unless it says that there are too many."""
    too_large = _Decoded(fault="more pixels than anybody would send")
    if body.startswith(_PNG) and len(body) >= 24:
        width, height = struct.unpack(">II", body[16:24])
        if width * height > _MOST_PIXELS:
            return too_large
    try:
        with Image.open(io.BytesIO(body)) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                return too_large
            pixels = opened.convert("RGB")
            bands: Any = pixels.getextrema()
            differ = any(low != high for low, high in bands)
            digest = hashlib.sha256(pixels.tobytes()).hexdigest()
            return _Decoded(str(opened.format), opened.width, opened.height, differ, digest)
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        return _Decoded(fault=type(error).__name__)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        return _Decoded(fault=f"{error}")  # what Pillow raises for broken files


@check(
    Level.DOCUMENT,
    "document line 63; openapi.yaml#/paths/~1files~1tools~1{file_id}.{extension}/get/responses/200",
)
def image_content_type_is_png(target: Target) -> None:
    """The image's content type is image/png."""
    response = _served(image(target))
    expect_equal(response.media_type, "image/png", "media type", response)


@check(Level.HOST, "FACTS 6.2")
def image_has_the_files_mime_type(target: Target) -> None:
    """The image's content type is the mime_type of its file object, with nothing added."""
    response = _served(image(target))
    file = next(files_within(blocking_data(target).get("outputs")), {})
    expect_equal(response.header("content-type"), file.get("mime_type"), "content type", response)


@check(Level.HOST, "FACTS 6.2")
def image_comes_whole(target: Target) -> None:
    """The body of the image is not broken off."""
    response = image(target)
    expect(response.failure is None, "a whole image", response.failure, response)


@check(Level.DOCUMENT, "document line 75")
def image_decodes(target: Target) -> None:
    """The bytes behind the URL are an image, to its last pixel."""
    found = _decoded(target, image(target))
    expect(not found.fault, "an image", found.fault, image(target))


@check(
    Level.DOCUMENT, "document lines 19 and 75", follows_from=("url_serves_the_image_without_a_key",)
)
def image_of_a_stream_decodes(target: Target) -> None:
    """The bytes behind the stream's URL are an image, to its last pixel."""
    found = _decoded(target, stream_image(target))
    expect(not found.fault, "an image", found.fault, stream_image(target))


@check(Level.DOCUMENT, "document lines 62-63")
def image_is_what_its_content_type_says(target: Target) -> None:
    """The bytes are of the format that the content type names."""
    response = _served(image(target))
    expected = _FORMATS.get(response.media_type, response.media_type)
    expect_equal(_pixels(target, response).format, expected, "format", response)


@check(Level.HOST, "FACTS 6.2")
def image_ends_where_its_format_ends(target: Target) -> None:
    """A PNG ends with its last chunk: nothing is missing and nothing follows."""
    response = _served(image(target))
    if not response.body.startswith(_PNG):
        raise Skipped("the image is not a PNG", response)
    expect(response.body.endswith(_PNG_END), "the end of a PNG", response.body[-16:], response)


@check(Level.DOCUMENT, "document line 7")
def image_is_large_enough_to_be_seen(target: Target) -> None:
    """An image is at least 64 pixels wide and high, not a placeholder of one."""
    found = _pixels(target, image(target))
    size = f"{found.width} x {found.height}"
    large = min(found.width, found.height) >= _LEAST_SIDE
    expect(large, f"at least {_LEAST_SIDE} x {_LEAST_SIDE} pixels", size, image(target))


@check(Level.DOCUMENT, "document line 7")
def image_is_not_of_one_colour(target: Target) -> None:
    """An image made from a prompt shows something: not all of its pixels are alike."""
    found = _pixels(target, image(target))
    expect(found.colours_differ, "pixels that differ", "one colour", image(target))


@check(Level.DOCUMENT, "document line 7", follows_from=("url_serves_the_image_without_a_key",))
def each_run_has_an_image_of_its_own(target: Target) -> None:
    """Two runs with different models have images with different pixels."""
    response = stream_image(target)
    differ = _pixels(target, image(target)).digest != _pixels(target, response).digest
    expect(differ, "different pixels", "the same image for both runs", response)
