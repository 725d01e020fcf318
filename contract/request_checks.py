"""Checks of a single request as rows of a table: what is sent, and what the response must be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from contract.check import Capability, Level, Phase, add_check
from contract.errors import Error, expect_error, expect_status
from contract.evidence import send_once
from contract.result import expect, expect_equal, expect_version
from contract.target import RUN_PATH, Target
from dify_wire.exchange import Exchange, Request
from dify_wire.profile import Profile

Headers = tuple[tuple[str, str], ...]
MakeRequest = Callable[[Target], Request]


@dataclass(frozen=True, slots=True)
class Row:
    """A check of one request, which no real host runs. What is left out is not compared.

    ``headers`` are exact values, None for one that must be missing; ``lists`` are headers whose
    words may come in any order. ``title`` is that of an HTML page, ``location`` the path of a
    redirect. Without a ``level`` an error that versions differ in is at level version, any other
    row at level host.
    """

    name: str
    claim: str
    source: str
    request: MakeRequest
    error: Error | None = None
    status: int | range | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    lists: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    title: str = ""
    location: str = ""
    level: Level | None = None
    needs: tuple[Capability, ...] = ()

    def run(self, target: Target) -> None:
        """Send the request, and raise ``Failed`` unless the response is as the row says."""
        error = self.error and self.error.filled(target)
        response = send_once(target, self.request(target))
        if error is not None:
            expect_error(response, error, target.basis)
        if self.status is not None:
            expect_status(response, self.status)
        for name, value in self.headers.items():
            expect_equal(response.header(name), value, name, response)
        for name, words in self.lists.items():
            if name == "Allow":
                expect_allow(response, words, target)
            else:
                expect_words(response, name, words)
        if self.body is not None:
            expect_equal(response.body, self.body, "body", response)
        if self.title:
            expect_equal(response.media_type, "text/html", "content type", response)
            title = f"<title>{self.title}</title>"
            expect(title in response.text, f"a page with {title}", response.text, response)
        if self.location:
            location = response.header("Location")
            path = urlsplit(location or "").path
            expected = f"a Location with the path {self.location}"
            expect(path == self.location, expected, location, response)


ROWS: dict[str, Row] = {}
"""Every row by its name."""


def add_rows(module: str, rows: Iterable[Row]) -> None:
    """Register ``rows`` as checks of the area that ``module`` is."""
    for row in rows:
        ROWS[row.name] = row
        varies = row.error is not None and row.error.varies()
        add_check(
            row.name,
            row.claim,
            row.level or (Level.VERSION if varies else Level.HOST),
            row.source,
            row.run,
            area=module.rpartition(".")[2],
            needs=row.needs,
            uses=(),
            phase=Phase.ERRORS,
        )


def expect_words(response: Exchange, name: str, words: str) -> None:
    """Raise ``Failed`` unless the header ``name`` is a list of just these words, in any order."""
    got = {word.strip() for word in (response.header(name) or "").split(",") if word.strip()}
    wanted = words.split()
    expect(got == set(wanted), f"{name}: {', '.join(wanted)}", response.header(name), response)


def expect_allow(response: Exchange, words: str, target: Target) -> None:
    """Raise ``Failed`` unless Allow names just these methods; later versions send it with OPTIONS
    alone.
    """
    if response.status == 405 and response.media_type != "text/html":
        got = response.header("Allow") is not None

        def is_sent(profile: Profile) -> bool:
            return bool(profile.fact("http.allow_with_405"))

        expect_version(got, is_sent, "an Allow header", target.basis, response)
        if not got:
            return
    expect_words(response, "Allow", words)


# Requests
# -------------------------------------------------------------------------------------------------


def run(app: Capability | None = None, **changes: Any) -> MakeRequest:
    """A run; ``changes`` replace fields of its body, with the key of another ``app``."""
    return lambda target: target.run_request(app and target.app_key(app), **changes)


def run_with(
    authorization: str | None = "Bearer KEY",
    content_type: str | None = "application/json",
    origin: str | None = None,
    body: bytes | None = None,
    app: Capability | None = None,
) -> MakeRequest:
    """A run with these headers, None for one that is left out, and a body of any bytes. ``KEY``
    stands for the target's key, or that of another ``app``.
    """

    def make(target: Target) -> Request:
        key = target.app_key(app) if app else target.capabilities.api_key
        headers = (
            ("Authorization", authorization and authorization.replace("KEY", key)),
            ("Content-Type", content_type),
            ("Origin", origin),
        )
        given = tuple((name, value) for name, value in headers if value is not None)
        return Request("POST", RUN_PATH, given, target.run_request().body if body is None else body)

    return make


def request(method: str, path: str, headers: Headers = (), body: bytes = b"") -> MakeRequest:
    """A request without a key."""
    return lambda _: Request(method, path, headers, body)


def with_key(method: str, path: str) -> MakeRequest:
    """A request without a body, with the target's key."""
    return lambda target: target.get_request(path, method=method)


def run_to(path: str) -> MakeRequest:
    """A run sent to another path."""
    return lambda target: replace(target.run_request(), target=path)
