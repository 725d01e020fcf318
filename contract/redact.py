"""Nothing secret leaves in a report: keys, signatures, nonces, cookies, in whatever form a host gives them back.

``dify_wire.redact`` knows the forms.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from dify_wire.redact import CUT, DIFY_KEY, FIELD, LEAST_CUT, PARAMETER, SECRET_HEADERS, any_form, credentials, cut_form

REDACTED = "[redacted]"
_PARAMETER = re.compile(PARAMETER)
_FIELD = re.compile(FIELD, re.IGNORECASE)
_DIFY_KEY = re.compile(DIFY_KEY)
_SIGNED = re.compile(r"(?:sign|nonce)=([^&#\s]{16,})")


class Redactor:
    """Replaces ``secrets`` in text, and all that looks like a signature, a nonce or an app's key."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = sorted({secret for secret in secrets if secret}, key=len, reverse=True)
        self._forms = [re.compile(any_form(secret)) for secret in self._secrets]
        self._starts = [re.compile(cut_form(secret)) for secret in self._secrets if len(secret) > LEAST_CUT]

    def text(self, text: str) -> str:
        """``text`` without secrets."""
        for form in self._forms:
            text = form.sub(REDACTED, text)
        if CUT in text:
            for start in self._starts:
                text = start.sub(REDACTED, text)
        text = _DIFY_KEY.sub(REDACTED, text)
        text = _PARAMETER.sub(rf"\g<name>={REDACTED}", text)
        return _FIELD.sub(rf"\g<before>{REDACTED}", text)

    def header(self, name: str, value: str) -> str:
        """A header's value without secrets; of one that carries nothing else, only the scheme or the name is left."""
        if name.lower() not in SECRET_HEADERS:
            return self.text(value)
        if name.lower() in ("cookie", "set-cookie"):
            start = "^" if name.lower() == "set-cookie" else ""  # attributes follow its one pair
            return re.sub(start + r"([^=;\s]+=)[^;\s]+", rf"\g<1>{REDACTED}", self.text(value))
        scheme, _ = credentials(value)
        return scheme + (REDACTED if value.strip() else "")

    def data(self, data: bytes) -> bytes:
        """``data`` without the secrets in it."""
        for secret in self._secrets:
            data = data.replace(secret.encode("utf-8", "surrogateescape"), REDACTED.encode())
        return data


def signed_parts(paths: Iterable[str]) -> set[str]:
    """The signatures and nonces in ``paths``, which a check may quote without the name of their parameter."""
    return {part for path in paths for part in _SIGNED.findall(path)}
