"""Forms of an image's URL that the host refuses: a changed signature, a missing parameter, another
path.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from functools import partial

from contract.check import Level, add_check, check
from contract.errors import Error, error, expect_error, expect_status
from contract.evidence import blocking, fetch_file, image_url
from contract.pydantic_text import missing
from contract.result import Skipped
from contract.signature import PARAMETERS, SignedUrl, file_request, other_digit, parse_url
from contract.target import Target
from contract.trace import shared_trace
from dify_wire.exchange import Request

_BAD_URL = error("signature_refused")


def _refuse(
    name: str,
    claim: str,
    request: Callable[[SignedUrl], Request],
    expected: Error | Callable[[SignedUrl], Error] = _BAD_URL,
    *,
    source: str = "FACTS 6.3",
    level: Level = Level.HOST,
) -> None:
    """A check that the host refuses a form of the image's URL."""

    def run(target: Target) -> None:
        url = image_url(target)
        wanted = expected if isinstance(expected, Error) else expected(url)
        expect_error(target.send(request(url)), wanted, target.basis)

    add_check(name, claim, level, source, run)


def _changed(part: str, change: Callable[[str], str]) -> Callable[[SignedUrl], Request]:
    """The URL with one part changed and its signature left as it was."""
    return lambda url: file_request(url.but(**{part: change(getattr(url, part))}))


def _missing(names: tuple[str, ...], url: SignedUrl) -> Error:
    """The error of a URL without the parameters ``names``."""
    sent = {name: getattr(url, name) for name in PARAMETERS if name not in names}
    fields = (missing(name, sent) for name in names)
    return error("query_parameter_missing", *fields, model="ToolFileQuery", field=names[0])


def _only(*parameters: str) -> Callable[[SignedUrl], Request]:
    return lambda url: file_request(url, url.query(*parameters))


# fmt: off
_refuse("changed_sign_is_403", "A sign with one character changed is refused.",
        _changed("sign", other_digit))
_refuse("sign_in_another_case_is_403", "Upper and lower case make a difference in sign.",
        _changed("sign", str.swapcase), source="FACTS 6.1 and 6.3")
_refuse("empty_sign_is_403", "An empty sign is refused.", _changed("sign", lambda _: ""))
_refuse("unpadded_sign_is_403", "A sign without its = is refused.",
        _changed("sign", lambda sign: sign.rstrip("=")), source="FACTS 6.1")
_refuse("changed_nonce_is_403", "A changed nonce is refused.", _changed("nonce", other_digit))
_refuse("empty_nonce_is_403", "An empty nonce is refused.", _changed("nonce", lambda _: ""))
_refuse("changed_timestamp_is_403",
        "A changed timestamp is refused, so that a URL cannot be made to last.",
        _changed("timestamp", lambda timestamp: str(int(timestamp) + 1)))
_refuse("unsigned_text_as_timestamp_is_403",
        "A timestamp that is not a number is refused for its signature, which is checked first.",
        _changed("timestamp", lambda _: "abc"))
for _name in PARAMETERS:
    _refuse(f"missing_{_name}_is_400",
            f"A URL without {_name} is refused by that parameter's name.",
            _only(*(name for name in PARAMETERS if name != _name)),
            partial(_missing, (_name,)),
            source="FACTS 6.3 and 9.2", level=Level.VERSION)
# fmt: on


@check(Level.HOST, "FACTS 6.1")
def sign_in_the_other_alphabet_is_403(target: Target) -> None:
    """A sign in the alphabet with + and / is refused: only the one with - and _ is the host's."""
    url = next((url for url in _good_urls(target) if set("-_") & set(url.sign)), None)
    if url is None:
        raise Skipped("no signature of this host has - or _", blocking(target))
    sign = url.sign.replace("-", "%2B").replace("_", "%2F")
    expect_error(fetch_file(target, url.but(sign=sign)), _BAD_URL, target.basis)


def _good_urls(target: Target) -> Iterator[SignedUrl]:
    """URLs that the host would serve: its own, and with its secret some of ours."""
    own, secret = image_url(target), target.capabilities.secret
    yield own
    yield from (own.signed(secret, nonce=f"{at:032x}") for at in range(100) if secret)


@check(Level.HOST, "FACTS 6.3")
def sign_of_another_file_is_403(target: Target) -> None:
    """A signature is good for its own file only: another id is refused, whether there is such a
    file or not.
    """
    url = image_url(target)
    unknown = fetch_file(target, url.but(file_id=str(uuid.uuid4())))
    expect_error(unknown, _BAD_URL, target.basis)
    other = parse_url(str(next(shared_trace(target).files(), {}).get("url")))
    if other is not None and other.file_id != url.file_id:
        response = fetch_file(target, url.but(file_id=other.file_id))
        expect_error(response, _BAD_URL, target.basis)


@check(Level.VERSION, "FACTS 6.3 and 9.2")
def missing_parameters_are_named_in_their_order(target: Target) -> None:
    """Of several missing parameters the first of timestamp, nonce, sign is named, or all."""
    url = image_url(target)
    for there in ((), ("timestamp",)):
        names = tuple(name for name in PARAMETERS if name not in there)
        response = target.send(file_request(url, url.query(*there) if there else ""))
        expect_error(response, _missing(names, url), target.basis)


@check(Level.HOST, "FACTS 6.3")
def file_id_that_is_no_uuid_is_404(target: Target) -> None:
    """A path whose id is not a uuid, or one without its dashes, is not found."""
    url = image_url(target)
    for file_id in ("notauuid", url.file_id.replace("-", "")):
        expect_status(fetch_file(target, url.but(file_id=file_id)), 404)


@check(Level.HOST, "FACTS 6.3")
def file_without_extension_is_404(target: Target) -> None:
    """A path without an extension is not found."""
    url = image_url(target)
    expect_status(target.send(Request("GET", url.path.replace(f".{url.extension}?", "?"))), 404)


@check(Level.HOST, "FACTS 2")
def files_are_not_under_v1(target: Target) -> None:
    """The URL is not part of the API: under /v1 it is not found."""
    expect_status(target.send(Request("GET", f"/v1{image_url(target).path}")), 404)
