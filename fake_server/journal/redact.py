"""Nothing that opens anything leaves the journal: keys by their own text and form, signatures by their name.

A header that carries a key keeps its scheme, so that a missing ``Bearer`` can still be seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

REDACTED = "[redacted]"

_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "x-admin-token"})
_EQUALS = r"(?:=|%3[dD]|\\u003[dD])"
_PARAMETER = re.compile(rf"(?<![A-Za-z])(sign|nonce)({_EQUALS})(?:[A-Za-z0-9_\-=~.]|%3[dD]|\\u003[dD])+")
_DIFY_KEY = re.compile(r"\bapp-[A-Za-z0-9]{24}(?![A-Za-z0-9])")
_SCHEME = re.compile(r"\s*[A-Za-z]+\s+(?=\S)")
_SHORT = 8
"""A shorter key is only looked for as a whole word, for it may be part of any."""

_LEAST_CUT = 4


class Redactor:
    """Replaces ``secrets``, and all that looks like a signature, a nonce or an app's key."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {form for secret in secrets if secret for form in _forms(secret)}
        self._secrets = sorted(known, key=len, reverse=True)
        self._known = re.compile("|".join(map(_pattern, self._secrets)))

    def text(self, text: str) -> str:
        """``text`` without secrets."""
        if any(secret in text for secret in self._secrets):  # most texts hold none, and are found so in no time
            text = self._known.sub(REDACTED, text)
        if "app-" in text:
            text = _DIFY_KEY.sub(REDACTED, text)
        if "sign" in text or "nonce" in text:
            text = _PARAMETER.sub(rf"\g<1>\g<2>{REDACTED}", text)
        return text

    def header(self, name: str, value: str) -> str:
        """A header's value; of one that carries a key only the scheme is left."""
        if name.lower() not in _HEADERS:
            return self.text(value)
        scheme = _SCHEME.match(value) if name.lower().endswith("authorization") else None
        return (scheme[0] if scheme else "") + (REDACTED if value.strip() else "")

    def data(self, data: bytes) -> bytes:
        """``data`` that is no text, without the secrets in it."""
        return self.text(data.decode("latin-1")).encode("latin-1")

    def value(self, value: Any) -> Any:
        """A value of JSON without secrets in its texts and names."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(name): self.value(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.value(inner) for inner in value]
        return value

    def without_cut_secret(self, text: str) -> str:
        """``text`` that was cut short, without the beginning of a secret at its end."""
        for secret in self._secrets:
            for length in range(min(len(secret) - 1, len(text)), _LEAST_CUT - 1, -1):
                if text.endswith(secret[:length]):
                    return text[:-length] + REDACTED
        return text


def _forms(secret: str) -> set[str]:
    """``secret`` as it is, in JSON with and without escapes, in a URL, and as bytes that are read as Latin-1."""
    escaped = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    return {secret, quote(secret, safe=""), secret.encode("utf-8").decode("latin-1"), *escaped}


def _pattern(secret: str) -> str:
    return rf"(?<!\w){re.escape(secret)}(?!\w)" if len(secret) < _SHORT else re.escape(secret)
