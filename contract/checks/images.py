"""The picture itself: that it is one, is what its headers say, and is made for its run."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from contract.check import Level, check
from contract.evidence import blocking_data, image, stream_image
from contract.result import NotRun, Skipped, expect, expect_equal
from contract.shape import files_within
from contract.target import Target
from dify_wire.exchange import Exchange

_LEAST_SIDE = 64
_MOST_PIXELS = 50_000_000
"""More than any model makes; a body that says more is not unpacked."""

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}


@dataclass(frozen=True, slots=True)
class _Decoded:
    """A picture's pixels, in short; ``fault`` says why there are none."""

    format: str = ""
    width: int = 0
    height: int = 0
    colours_differ: bool = False
    digest: str = ""
    fault: str = ""


def _served(answer: Exchange) -> Exchange:
    if answer.status != 200 or not answer.body:
        raise NotRun("there is no picture to judge", answer)
    return answer


def _decoded(target: Target, name: str, fetched: Callable[[Target], Exchange]) -> _Decoded:
    """What the picture of that name holds, decoded once."""
    answer = _served(fetched(target))
    found: _Decoded = target.shared(f"decoded {name}", lambda: _decode(answer.body))
    return found


def _pixels(
    target: Target, name: str = "image", fetched: Callable[[Target], Exchange] = image
) -> _Decoded:
    """As ``_decoded``. Raises ``NotRun`` where it has no pixels."""
    found = _decoded(target, name, fetched)
    if found.fault:
        raise NotRun(f"the picture does not decode: {found.fault}", fetched(target))
    return found


def _decode(body: bytes) -> _Decoded:
    """Every pixel of ``body``, unless it says that there are too many."""
    if body.startswith(_PNG) and len(body) >= 24 and _area(*struct.unpack(">II", body[16:24])):
        return _Decoded(fault="more pixels than anybody would send")
    try:
        with Image.open(io.BytesIO(body)) as image:
            if _area(*image.size):
                return _Decoded(fault="more pixels than anybody would send")
            pixels = image.convert("RGB")
            differ = any(low != high for low, high in pixels.getextrema())  # type: ignore[misc]  # three bands, three pairs
            digest = hashlib.sha256(pixels.tobytes()).hexdigest()
            return _Decoded(str(image.format), image.width, image.height, differ, digest)
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        return _Decoded(fault=f"{type(error).__name__}")
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
    ) as error:  # what Pillow raises for broken files
        return _Decoded(fault=f"{error}")


def _area(width: int, height: int) -> bool:
    return width * height > _MOST_PIXELS


@check(
    Level.DOCUMENT,
    "document line 63; openapi.yaml#/paths/~1files~1tools~1{file_id}.{extension}/get/responses/200",
)
def image_content_type_is_png(target: Target) -> None:
    """The picture's content type is image/png."""
    answer = _served(image(target))
    expect_equal(answer.media_type, "image/png", "media type", answer)


@check(Level.HOST, "FACTS 6.2")
def image_has_the_files_mime_type(target: Target) -> None:
    """The picture's content type is the mime_type of its file object, with nothing added."""
    answer = _served(image(target))
    file = next(files_within(blocking_data(target).get("outputs")), {})
    expect_equal(answer.header("content-type"), file.get("mime_type"), "content type", answer)


@check(Level.HOST, "FACTS 6.2")
def image_comes_whole(target: Target) -> None:
    """The body of the picture is not broken off."""
    answer = image(target)
    expect(answer.failure is None, "a whole picture", answer.failure, answer)


@check(Level.DOCUMENT, "document line 75")
def image_decodes(target: Target) -> None:
    """The bytes behind the URL are a picture, to its last pixel."""
    found = _decoded(target, "image", image)
    expect(not found.fault, "a picture", found.fault, image(target))


@check(
    Level.DOCUMENT, "document lines 19 and 75", follows_from=("url_serves_the_image_without_a_key",)
)
def image_of_a_stream_decodes(target: Target) -> None:
    """The bytes behind the stream's URL are a picture, to its last pixel."""
    found = _decoded(target, "stream picture", stream_image)
    expect(not found.fault, "a picture", found.fault, stream_image(target))


@check(Level.DOCUMENT, "document lines 62-63")
def image_is_what_its_content_type_says(target: Target) -> None:
    """The bytes are of the format that the content type names."""
    answer = _served(image(target))
    found = _pixels(target)
    expect_equal(found.format, _FORMATS.get(answer.media_type, answer.media_type), "format", answer)


@check(Level.HOST, "FACTS 6.2")
def image_ends_where_its_format_ends(target: Target) -> None:
    """A PNG ends with its last chunk: nothing is missing and nothing follows."""
    answer = _served(image(target))
    if not answer.body.startswith(_PNG):
        raise Skipped("the picture is no PNG", answer)
    expect(answer.body.endswith(_PNG_END), "the end of a PNG", answer.body[-16:], answer)


@check(Level.DOCUMENT, "document line 7")
def image_is_large_enough_to_be_seen(target: Target) -> None:
    """A picture is at least 64 pixels wide and high, not a placeholder of one."""
    found = _pixels(target)
    size = f"{found.width} x {found.height}"
    large = min(found.width, found.height) >= _LEAST_SIDE
    expect(large, f"at least {_LEAST_SIDE} x {_LEAST_SIDE} pixels", size, image(target))


@check(Level.DOCUMENT, "document line 7")
def image_is_not_of_one_colour(target: Target) -> None:
    """A picture made from a prompt shows something: not all of its pixels are alike."""
    expect(_pixels(target).colours_differ, "pixels that differ", "one colour", image(target))


@check(Level.DOCUMENT, "document line 7", follows_from=("url_serves_the_image_without_a_key",))
def each_run_has_an_image_of_its_own(target: Target) -> None:
    """Two runs with different models have pictures with different pixels."""
    first, second = _pixels(target), _pixels(target, "stream picture", stream_image)
    expect(
        first.digest != second.digest,
        "different pixels",
        "the same picture for both runs",
        stream_image(target),
    )
