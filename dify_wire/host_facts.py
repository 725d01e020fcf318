"""Checks ``x-host``: every fact of a host that is data must be there, and of its type."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dify_wire.spec_error import SpecError

_LIMITS = (
    "request_body_bytes",
    "request_line_bytes",
    "header_line_bytes",
    "headers_bytes",
    "upload_image_bytes",
    "upload_file_bytes",
    "url_lifetime_s",
    "run_s",
    "run_steps",
    "user_characters",
)
_TEXT_LISTS = (("upload_extensions", "image"), ("upload_extensions", "document"), ("app_prefixes",))
_TOKEN_LISTS = (("cors", "methods"), ("cors", "headers"))
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_LEAST_PERIOD_S = 0.001
_GREATEST = 1e12


def check_host_facts(path: Path, host: Any) -> None:
    """Raise ``SpecError`` for the first fact in ``x-host`` that is missing or will not do; ``path``
    is only named.
    """
    _HostChecker(path, host).check()


class _HostChecker:
    """Checks that ``x-host`` has every fact that the fake is compiled from, each of its type."""

    def __init__(self, path: Path, host: Any) -> None:
        self._path = path
        self._host = host

    def check(self) -> None:
        for keys in (("version",), ("ping", "frame")):
            self._expect(keys, _is_text, "a text in quotes")
        self._expect(
            ("proxy", "server"),
            _is_server,
            "a text in quotes, of characters that a header may have",
        )
        for name in _LIMITS:
            whole = not name.endswith("_s")
            wanted = (
                f"a {'whole ' if whole else ''}number greater than 0, and at most {_GREATEST:.0f}"
            )
            self._expect(
                ("limits", name),
                lambda value, whole=whole: _is_amount(value, 0, whole=whole),
                wanted,
            )
        for name in ("first_s", "every_s"):
            wanted = f"a number greater than 0, at least {_LEAST_PERIOD_S}"
            self._expect(("ping", name), lambda value: _is_amount(value, _LEAST_PERIOD_S), wanted)
        for keys in _TEXT_LISTS:
            self._expect(keys, _texts, "a list of texts")
        for keys in _TOKEN_LISTS:
            self._expect(keys, _tokens, "a list of texts, each a name as headers have it")
        self._expect(
            ("headers",),
            _header_pairs,
            "a list of pairs [name, value], of characters that a header may have",
        )
        self._expect(
            ("errors",), lambda value: isinstance(value, dict), "a mapping of errors by name"
        )
        for name, error in self._host["errors"].items():
            self._error(name, error)

    def _expect(self, keys: Sequence[str], holds: Any, wanted: str) -> None:
        value: Any = self._host
        for index, key in enumerate(keys):
            place = ".".join(("x-host", *keys[: index + 1]))
            if not isinstance(value, dict) or key not in value:
                raise SpecError(
                    self._path, place, f"this fact of the host is missing; write {wanted}"
                )
            value = value[key]
        if not holds(value):
            raise SpecError(self._path, place, f"{value!r} will not do; write {wanted}")

    def _error(self, name: str, error: Any) -> None:
        place = f"x-host.errors.{name}"
        if (
            not isinstance(error, dict)
            or not isinstance(error.get("body"), dict)
            or not error["body"]
        ):
            raise SpecError(
                self._path,
                place,
                "an error has a status and a body with its keys in order; write both",
            )
        status = error.get("status")
        if not isinstance(status, int) or not 400 <= status <= 599:
            raise SpecError(
                self._path,
                f"{place}.status",
                f"{status!r} will not do; write a status from 400 to 599",
            )
        if error["body"].get("status", status) != status:
            raise SpecError(
                self._path,
                f"{place}.body.status",
                f"it differs from the status {status}; make them equal",
            )
        if not _texts(error.get("evidence", [])) or not ("evidence" in error or "source" in error):
            raise SpecError(
                self._path, f"{place}.evidence", "an error names its evidence or source; add one"
            )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != "" and not re.search("[\ud800-\udfff]", value)


def _is_server(value: Any) -> bool:
    return _is_text(value) and _HEADER_VALUE.fullmatch(value) is not None


def _is_amount(value: Any, least: float, *, whole: bool = False) -> bool:
    number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    return number and value > 0 and least <= value <= _GREATEST


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _tokens(value: Any) -> bool:
    return _texts(value) and all(_TOKEN.fullmatch(entry) for entry in value)


def _header_pairs(value: Any) -> bool:
    return isinstance(value, list) and all(
        _texts(pair)
        and len(pair) == 2
        and _TOKEN.fullmatch(pair[0])
        and _HEADER_VALUE.fullmatch(pair[1])
        for pair in value
    )
