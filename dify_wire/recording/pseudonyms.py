"""What stands in a recording in place of a secret: of its form, equal where it was equal, and of no use to anybody.

The salt lives as long as the recorder and is written nowhere, so that nobody can try secrets out on a recording.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets

GONE = "redacted"
"""In place of what nobody needs to tell apart."""

USER = re.compile(r"user-[0-9a-f]{8}")
"""The pseudonym of a caller's user."""

KEY = re.compile(r"\{\{key:([^{}]*)\}\}")
"""The pseudonym of an API key; its group is the label."""

_HEX = re.compile(r"[0-9a-f]+")


_LONGEST_USER = 255
"""Of a longer one the database takes nothing, nor of one with a NUL in it (FACTS 3)."""


def is_a_name(user: str) -> bool:
    """Whether ``user`` may be somebody. What no host can keep is the point of its request, and nobody's name."""
    return 0 < len(user) <= _LONGEST_USER and "\0" not in user


class Pseudonyms:
    """Makes pseudonyms: the same ones for the same ``salt``."""

    def __init__(self, salt: bytes | None = None) -> None:
        self._salt = salt or secrets.token_bytes(32)

    def key(self, key: str, label: str | None) -> str:
        """In place of an API key: its label in braces, or eight digits where it has none."""
        return f"{{{{key:{label or 'unknown-' + self._digest('key', key).hex()[:8]}}}}}"

    def user(self, user: str) -> str:
        return f"user-{self._digest('user', user).hex()[:8]}"

    def token(self, token: str) -> str:
        """In place of a nonce or a signature: as long, of the same alphabet, with the same padding."""
        bare = token.rstrip("=")
        digest = hashlib.shake_256(self._digest("token", token)).digest(len(bare))
        letters = digest.hex() if _HEX.fullmatch(bare) else base64.urlsafe_b64encode(digest).decode()
        return letters[: len(bare)] + token[len(bare) :]

    def _digest(self, kind: str, secret: str) -> bytes:
        message = f"{kind}\0{secret}".encode("utf-8", "surrogateescape")
        return hmac.new(self._salt, message, hashlib.sha256).digest()
