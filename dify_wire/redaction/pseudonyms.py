"""What replaces a secret.

In a recording a pseudonym: of the secret's form, equal where it was equal, and of no use to
anybody. Its salt lives as long as the recorder and is written nowhere, so that nobody can try
secrets out on a recording. In a log, the journal and a report the same mark for all.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets

GONE = "redacted"
"""In a recording, in place of what nobody needs to tell apart."""

REDACTED = "[redacted]"
"""In a log, the journal and a report, in place of any secret."""

USER = re.compile(r"user-[0-9a-f]{8}")
"""The pseudonym of a caller's user."""

KEY = re.compile(r"\{\{key:([^{}]*)\}\}")
"""The pseudonym of an API key; its group is the label."""

_HEX = re.compile(r"[0-9a-f]+")
_LONGEST_USER = 255


def is_a_name(user: str) -> bool:
    """Whether ``user`` may be somebody: the database takes no longer one and no NUL (FACTS 3)."""
    return 0 < len(user) <= _LONGEST_USER and "\0" not in user


class Marks:
    """The same mark for every secret."""

    gone = REDACTED
    keeps_padding = False
    """Whether a signature's padding stays."""

    def key(self, key: str, label: str | None) -> str:
        """In place of an API key."""
        return self.gone

    def user(self, user: str) -> str:
        """In place of a caller's user."""
        return self.gone

    def token(self, token: str) -> str:
        """In place of a nonce, or of a signature without its padding."""
        return self.gone


class Pseudonyms(Marks):
    """The same pseudonyms for the same ``salt``: a key's label in braces, tokens as long as they
    were and of the same alphabet.
    """

    gone = GONE
    keeps_padding = True

    def __init__(self, salt: bytes | None = None) -> None:
        self._salt = salt or secrets.token_bytes(32)

    def key(self, key: str, label: str | None) -> str:
        return f"{{{{key:{label or 'unknown-' + self._digest('key', key).hex()[:8]}}}}}"

    def user(self, user: str) -> str:
        return f"user-{self._digest('user', user).hex()[:8]}"

    def token(self, token: str) -> str:
        digest = hashlib.shake_256(self._digest("token", token)).digest(len(token))
        is_hex = _HEX.fullmatch(token)
        letters = digest.hex() if is_hex else base64.urlsafe_b64encode(digest).decode()
        return letters[: len(token)]

    def _digest(self, kind: str, secret: str) -> bytes:
        message = f"{kind}\0{secret}".encode("utf-8", "surrogateescape")
        return hmac.digest(self._salt, message, "sha256")
