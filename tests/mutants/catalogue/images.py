"""The image behind a URL: broken, of another type, empty, or always the same."""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import count

from starlette.types import ASGIApp

from tests.mutants.edits import edit_frames
from tests.mutants.middleware import (
    Frames,
    Request,
    Response,
    ResponseChange,
    change_responses,
    cut_off,
)
from tests.mutants.mutant import Area
from tests.mutants.pngs import converted, small_png, with_size_in_header, with_text

AREA = Area("image")


def _served(request: Request, response: Response) -> bool:
    return request.is_file and request.method == "GET" and response.status == 200


def _body(name: str, breaks: str, killers: str, change: Callable[[bytes], bytes]) -> None:
    """Each image as ``change`` makes it."""
    _changed(name, breaks, killers, lambda response: response.with_body(change(response.body)))


def _changed(
    name: str,
    breaks: str,
    killers: str,
    change: Callable[[Response], Response],
    *,
    strict: bool = False,
) -> None:
    """Each response with an image as ``change`` makes it."""

    def change_response(request: Request, response: Response) -> Response:
        return change(response) if _served(request, response) else response

    AREA.add(name, breaks, killers, change_responses(lambda: change_response), strict=strict)


def _always_the_first() -> ResponseChange:
    first: list[bytes] = []

    def change_response(request: Request, response: Response) -> Response:
        if not _served(request, response):
            return response
        first.append(response.body)
        return response.with_body(first[0])

    return change_response


def _never_the_same() -> ResponseChange:
    number = count()
    return lambda request, response: (
        response.with_body(with_text(response.body, str(next(number))))
        if _served(request, response)
        else response
    )


def _streamed_images_cut(app: ASGIApp) -> ASGIApp:
    """The second half of each image whose URL a stream has sent is missing."""
    streamed: set[str] = set()

    async def remember(frames: Frames) -> Frames:
        async for frame in frames:
            streamed.update(re.findall(r"/files/tools/[0-9a-f-]{36}\.png", frame.decode()))
            yield frame

    def change_response(request: Request, response: Response) -> Response:
        cut = request.path in streamed and response.status == 200
        return response.with_body(response.body[: len(response.body) // 2]) if cut else response

    return change_responses(lambda: change_response)(edit_frames(remember)(app))


# fmt: off
_body("image_truncated", "The second half of the image is missing.", "image_decodes",
      lambda png: png[: len(png) // 2])
_body("image_without_end", "The last chunk of the PNG is missing.",
      "image_ends_where_its_format_ends", lambda png: png[:-12])
_body("image_empty", "The image has no bytes.", "url_serves_the_image_without_a_key",
      lambda _: b"")
_body("image_only_signature", "The image is a PNG signature and no more.", "image_decodes",
      lambda png: png[:8])
_body("image_damaged", "The image's data is damaged in the middle.", "image_decodes",
      lambda png: png[: len(png) // 2] + b"\0" * 64 + png[len(png) // 2 + 64 :])
_body("image_with_tail", "Bytes follow the image's end.", "image_ends_where_its_format_ends",
      lambda png: png + b"\r\n--boundary--\r\n")
_body("image_wrong_size_in_header", "The PNG's header has another size than its data has.",
      "image_decodes", lambda png: with_size_in_header(png, 4096))
_body("image_a_jpeg", "A JPEG says it is a PNG.", "image_is_what_its_content_type_says",
      lambda png: converted(png, "JPEG"))
_body("image_a_gif", "A GIF says it is a PNG.", "image_is_what_its_content_type_says",
      lambda png: converted(png, "GIF"))
_body("image_html", "A page says it is a PNG.", "image_decodes",
      lambda _: b"<!doctype html><p>not found")
_body("image_json", "JSON says it is a PNG.", "image_decodes", lambda _: b'{"code": "not_found"}')
_body("image_base64", "The image comes in base64.", "image_decodes", base64.b64encode)
_body("image_gzipped", "The image is gzipped and does not say so.", "image_decodes",
      gzip.compress)
_body("image_one_pixel", "The image is a single pixel.", "image_is_large_enough_to_be_seen",
      lambda _: small_png())
_body("image_one_colour", "The image is of one colour.", "image_is_not_of_one_colour",
      lambda _: small_png((512, 512), "gray"))
_body("image_black", "The image is black, as a safety filter leaves it.",
      "image_is_not_of_one_colour", lambda _: small_png((512, 512), "black"))
_changed("image_gzip_encoded", "The image is sent gzipped though no encoding was accepted.",
           "image_decodes",
           lambda response: response.with_body(gzip.compress(response.body)).with_header(
               "Content-Encoding", "gzip"
           ))
_changed("image_as_octets", "The image says it is application/octet-stream.",
           "image_content_type_is_png",
           lambda response: response.with_header("Content-Type", "application/octet-stream"))
_changed("image_as_jpeg", "The image says it is a JPEG.", "image_content_type_is_png",
           lambda response: response.with_header("Content-Type", "image/jpeg"))
_changed("image_as_html", "The image says it is HTML.", "image_content_type_is_png",
           lambda response: response.with_header("Content-Type", "text/html"))
_changed("image_without_type", "The image says no type.", "image_content_type_is_png",
           lambda response: response.without_header("Content-Type"))
_changed("image_status_206", "The image comes as a part.",
           "url_serves_the_image_without_a_key", lambda response: replace(response, status=206))
_changed("image_redirected", "The image is elsewhere.", "url_serves_the_image_without_a_key",
           lambda response: (
               replace(response, status=302)
               .with_header("Location", "/files/tools/elsewhere.png")
               .with_body(b"")
           ))
AREA.add("image_same_for_all_runs", "Every run has the same image.",
         "each_run_has_an_image_of_its_own", change_responses(_always_the_first))
AREA.add("image_new_each_time", "Each fetch of an image brings other bytes.",
         "url_serves_the_same_bytes_again", change_responses(_never_the_same))
AREA.add("image_cut_off", "The connection is closed in the middle of the image.",
         "image_comes_whole", cut_off(lambda request: request.is_file and request.method == "GET"))
_changed("image_may_be_cached", "The image may be cached for a day.",
           "image_has_no_caching_headers",
           lambda response: response.with_header("Cache-Control", "max-age=86400"), strict=True)
_changed("image_tells_its_length", "The image's length is sent, as later versions do.",
           "image_has_a_length_where_the_host_sends_one",
           lambda response: response.with_header("Content-Length", str(len(response.body))))
_changed("image_type_with_parameter", "A proxy adds a charset to the image's content type.",
           "image_has_the_files_mime_type",
           lambda response: response.with_header("Content-Type", "image/png; charset=binary"))
AREA.add("image_of_a_stream_truncated", "The second half of a streamed run's image is missing.",
         "image_of_a_stream_decodes", _streamed_images_cut)
# fmt: on
