"""Requests for a file in unusual forms: parameters, paths, methods and headers that a host reads
otherwise.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode

from tests.mutants.edits import replace_requests, replace_responses
from tests.mutants.file_urls import (
    BAD_SIGN,
    age_s,
    has_good_sign,
    parameters_of,
    signed,
    with_parameters,
)
from tests.mutants.middleware import Request, RequestChange, Response, change_requests
from tests.mutants.mutant import Area

AREA = Area("requests for files")
_BARE_ID = re.compile(
    r"(/files/tools/)([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})(\.\w+)"
)
_DAY_S = 86400


def _refused(request: Request) -> Request:
    return with_parameters(request, sign=BAD_SIGN)


def _request(
    name: str,
    breaks: str,
    killers: str,
    when: Callable[[Request], bool],
    instead: Callable[[Request], Request],
) -> None:
    """A host that gets ``instead`` of a request for a file that ``when`` picks."""
    AREA.add(
        name,
        breaks,
        killers,
        replace_requests(lambda request: request.is_file and when(request), instead),
    )


def _response(
    name: str,
    breaks: str,
    killers: str,
    when: Callable[[Request], bool],
    instead: Callable[[Response], Response],
    *,
    strict: bool = False,
) -> None:
    """``instead`` of the image that a request which ``when`` picks would get."""

    def picks(request: Request, response: Response) -> bool:
        return request.is_file and response.status == 200 and when(request)

    AREA.add(name, breaks, killers, replace_responses(picks, instead), strict=strict)


def _one_nonce_a_file() -> RequestChange:
    first: dict[str, str] = {}

    def change(request: Request) -> Request:
        if not has_good_sign(request):
            return request
        nonce = parameters_of(request)["nonce"]
        return request if first.setdefault(request.path, nonce) == nonce else _refused(request)

    return change


def _part(response: Response) -> Response:
    span = f"bytes 0-99/{len(response.body)}"
    return (
        replace(response, status=206)
        .with_header("Content-Range", span)
        .with_body(response.body[:100])
    )


# fmt: off

# Parameters
_request("last_of_two_parameters_counts", "Of a parameter that is given twice the last counts.",
         "first_of_two_parameters_counts",
         lambda request: len(parse_qsl(request.query)) > len(parameters_of(request)),
         lambda request: replace(request, query=urlencode(dict(parse_qsl(request.query)))))
_request("sign_not_decoded", "Percent escapes in sign are not decoded.",
         "sign_may_be_percent_encoded", lambda request: request.query.endswith("%3D"), _refused)
_request("sign_in_both_alphabets", "A sign may be in the alphabet with + and / too.",
         "sign_in_the_other_alphabet_is_403",
         lambda request: bool(set("+/") & set(parameters_of(request).get("sign", ""))),
         lambda request: with_parameters(
             request, sign=parameters_of(request)["sign"].translate({43: "-", 47: "_"})
         ))
_request("nonce_empty_accepted", "An empty nonce is not checked.", "empty_nonce_is_403",
         lambda request: parameters_of(request).get("nonce") == "", signed)
_request("timestamp_read_before_sign",
         "A timestamp that is not a number is reported before a wrong sign.",
         "unsigned_text_as_timestamp_is_403",
         lambda request: parameters_of(request).get("timestamp", "0").isalpha(), signed)
_request("timestamp_text_is_403",
         "A signed timestamp that is not a number is refused as a bad URL is.",
         "signed_text_as_timestamp_is_400",
         lambda request: has_good_sign(request) and parameters_of(request)["timestamp"].isalpha(),
         _refused)
_request("age_without_its_days",
         "Of a URL's age the whole days are dropped, as timedelta.seconds does.",
         "url_of_last_year_is_403",
         lambda request: has_good_sign(request) and age_s(request) >= _DAY_S,
         lambda request: signed(request, timestamp=str(int(time.time() - age_s(request) % _DAY_S))))
AREA.add("file_served_by_one_url",
         "Of the URLs that were signed for a file only the first that is used works.",
         "every_url_of_a_stream_serves_one_image", change_requests(_one_nonce_a_file))

# Paths
_request("file_id_without_dashes_accepted", "The file's id may be written without its dashes.",
         "file_id_that_is_no_uuid_is_404",
         lambda request: _BARE_ID.fullmatch(request.path) is not None,
         lambda request: replace(request, path=_BARE_ID.sub(r"\1\2-\3-\4-\5-\6\7", request.path)))
_request("file_without_extension_accepted", "A file's path needs no extension.",
         "file_without_extension_is_404", lambda request: "." not in request.path,
         lambda request: replace(request, path=f"{request.path}.png"))
AREA.add("files_under_v1_too", "Files are served under /v1 too.", "files_are_not_under_v1",
         replace_requests(
             lambda request: request.path.startswith("/v1/files/tools/"),
             lambda request: replace(request, path=request.path.removeprefix("/v1")),
         ))

# Methods
_request("head_not_checked", "The sign of a HEAD request is not checked.",
         "head_of_a_url_is_its_get_without_a_body", lambda request: request.method == "HEAD",
         signed)
_response("options_of_a_file_without_allow", "OPTIONS on a file has no Allow.",
          "options_of_a_url_name_its_methods", lambda request: request.method == "OPTIONS",
          lambda response: response.without_header("Allow"))

# Headers
_response("range_answered_with_a_part",
          "A cache in front of the host sends a part for a Range header.", "range_is_ignored",
          lambda request: request.header("range") is not None, _part)
_response("condition_answered_with_304",
          "A cache in front of the host sends 304 for If-None-Match.", "conditions_are_ignored",
          lambda request: request.header("if-none-match") is not None,
          lambda response: replace(response, status=304).with_body(b""))
_response("as_attachment_names_a_file",
          "as_attachment gets a Content-Disposition, as later versions do.",
          "as_attachment_names_the_file_as_the_host_does",
          lambda request: "as_attachment" in parameters_of(request),
          lambda response: response.with_header(
              "Content-Disposition", "attachment; filename*=UTF-8''image.png"
          ))
AREA.add("missing_parameter_in_plain_text",
         "The JSON that names a missing parameter is called text/plain.",
         "every_content_type_is_documented",
         replace_responses(
             lambda request, response: request.is_file and b"in the query string" in response.body,
             lambda response: response.with_header("Content-Type", "text/plain"),
         ))
# fmt: on
