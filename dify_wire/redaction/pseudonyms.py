"""What is written in place of a secret.

In a recording a pseudonym: of the secret's form, equal where it was equal, and of no use to
anybody. Its salt lives as long as the recorder and is written nowhere, so that nobody can try
secrets out on a recording. In a log, a journal and a report the same mark for all.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from typing import Protocol

GONE = "redacted"
"""In a recording, in place of what nobody needs to tell apart."""

REDACTED = "[redacted]"
"""In a log, a journal and a report, in place of any secret."""

USER = re.compile(r"user-[0-9a-f]{8}")
"""The pseudonym of a caller's user."""

KEY = re.compile(r"\{\{key:([^{}]*)\}\}")
"""The pseudonym of an API key; its group is the label."""

_HEX = re.compile(r"[0-9a-f]+")
_LONGEST_USER = 255
"""Of a longer one the database takes nothing, nor of one with a NUL in it (FACTS 3)."""


def is_a_name(user: str) -> bool:
    """Whether ``user`` may be somebody. What no host can keep is the point of its request, and
    nobody's name.
    """
    return 0 < len(user) <= _LONGEST_USER and "\0" not in user


class Names(Protocol):
    """Says what is written in place of a secret."""

    @property
    def gone(self) -> str: ...

    @property
    def keeps_padding(self) -> bool:
        """Whether a signature's padding stays as it is, beside what is written in place of the
        signature.
        """

    def key(self, key: str, label: str | None) -> str: ...

    def user(self, user: str) -> str: ...

    def token(self, token: str) -> str: ...


class Marks:
    """The same for every secret."""

    gone = REDACTED
    keeps_padding = False

    def key(self, key: str, label: str | None) -> str:
        return REDACTED

    def user(self, user: str) -> str:
        return REDACTED

    def token(self, token: str) -> str:
        return REDACTED


class Pseudonyms:
    """Makes pseudonyms: the same ones for the same ``salt``."""

    gone = GONE
    keeps_padding = True

    def __init__(self, salt: bytes | None = None) -> None:
        self._salt = salt or secrets.token_bytes(32)

    def key(self, key: str, label: str | None) -> str:
        """In place of an API key: its label in braces, or eight digits where it has none."""
        return f"{{{{key:{label or 'unknown-' + self._digest('key', key).hex()[:8]}}}}}"

    def user(self, user: str) -> str:
        return f"user-{self._digest('user', user).hex()[:8]}"

    def token(self, token: str) -> str:
        """In place of a nonce or a signature without its padding: as long, and of the same
        alphabet.
        """
        digest = hashlib.shake_256(self._digest("token", token)).digest(len(token))
        letters = (
            digest.hex() if _HEX.fullmatch(token) else base64.urlsafe_b64encode(digest).decode()
        )
        return letters[: len(token)]

    def _digest(self, kind: str, secret: str) -> bytes:
        message = f"{kind}\0{secret}".encode("utf-8", "surrogateescape")
        return hmac.digest(self._salt, message, "sha256")
