"""What a team wants out of its recordings besides keys, signatures, cookies and users: rules of one
line each.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from dify_wire.strict import closest

KINDS = ("header", "field", "text")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class RuleError(ValueError):
    """A rule that cannot be used; as text, what is wrong with it and how to write it."""


class Rule(NamedTuple):
    """``header:NAME`` empties headers; ``field:NAME`` and ``field:/a/pointer`` fields of bodies and
    queries; ``text:REGEX`` takes out what a regular expression finds.
    """

    kind: str
    what: str

    @property
    def name(self) -> str:
        """How a recording names it."""
        return f"{self.kind}:{self.what}"

    @property
    def pointer(self) -> tuple[str, ...]:
        """The steps of a JSON pointer; empty for a plain name, which counts everywhere."""
        if self.kind != "field" or not self.what.startswith("/"):
            return ()
        return tuple(
            part.replace("~1", "/").replace("~0", "~") for part in self.what[1:].split("/")
        )


def parse_rule(text: str) -> Rule:
    """The rule in ``text``. Raises ``RuleError``."""
    kind, colon, what = text.partition(":")
    if not colon or kind not in KINDS:
        near = closest(kind, KINDS)
        hint = f"; did you mean {near}:{what or '...'}?" if near else ""
        raise RuleError(
            f"{text!r} is not a valid rule: write header:NAME, field:NAME, field:/a/json/pointer "
            f"or text:REGEX{hint}"
        )
    if not what:
        raise RuleError(f"{text!r} does not say which {kind}; write it after the colon")
    if kind == "header" and not _TOKEN.fullmatch(what):
        raise RuleError(f"{what!r} is not a header name; write one such as X-Tenant")
    if kind == "text":
        try:
            found = re.compile(what.encode()).search(b"")
        except re.error as error:
            message = f"{what!r} is not a valid regular expression ({error}); correct it"
            raise RuleError(message) from None
        if found:
            message = f"{what!r} finds text of no length, so everywhere"
            raise RuleError(f"{message}; make it find at least one character")
    last = what.rpartition("/")[2]
    if kind == "field" and what.startswith("/") and (not last or last.isdecimal()):
        raise RuleError(
            f"{what!r} has to end with the name of a field; name the field that holds the list"
        )
    return Rule(kind, what)
