"""Nothing secret leaves in a report: keys, signatures, nonces, cookies, in whatever form a host gives them back.

A secret is found raw, escaped for JSON, Python, HTML or a URL (also twice, also in part of its characters), and cut
short by an ellipsis. Signatures are found by their parameter's name, keys that nobody told us by the form of Dify's.
"""

from __future__ import annotations

import html.entities
import re
from collections.abc import Iterable

REDACTED = "[redacted]"
_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "x-admin-token"})
_EQUALS = r"(?:=|%(?:25)*3[dD]|\\+u003[dD]|\\+x3[dD]|&#x3[dD];|&#61;|&equals;)"
_VALUE = r"(?:[A-Za-z0-9_\-+/=~.]|%(?:25)*(?!26)[0-9A-Fa-f]{2}|\\+u00(?!26)[0-9A-Fa-f]{2}|\\+x(?!26)[0-9A-Fa-f]{2})+"
_PARAMETER = re.compile(rf"(sign|nonce){_EQUALS}{_VALUE}")
_SIGNED = re.compile(r"(?:sign|nonce)=([^&#\s]{16,})")
_QUOTE = r"""\\*["']"""
_FIELD = re.compile(
    rf"""({_QUOTE}(?:sign|nonce|api_key|secret_key|authorization){_QUOTE}\s*:\s*{_QUOTE})[^"'\\]+""", re.IGNORECASE
)
_DIFY_KEY = re.compile(r"\bapp-[A-Za-z0-9]{24}(?![A-Za-z0-9])", re.IGNORECASE)
_SHORT = 8
_CUT = "…"
_LEAST_CUT = 4


class Redactor:
    """Replaces ``secrets`` in text, and all that looks like a signature, a nonce or an app's key."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = sorted({secret for secret in secrets if secret}, key=len, reverse=True)
        self._forms = [_any_form(secret) for secret in self._secrets]
        self._starts = [_cut_form(secret) for secret in self._secrets if len(secret) > _LEAST_CUT]

    def text(self, text: str) -> str:
        """``text`` without secrets."""
        for form in self._forms:
            text = form.sub(REDACTED, text)
        if _CUT in text:
            for start in self._starts:
                text = start.sub(REDACTED, text)
        text = _DIFY_KEY.sub(REDACTED, text)
        text = _PARAMETER.sub(rf"\g<1>={REDACTED}", text)
        return _FIELD.sub(rf"\g<1>{REDACTED}", text)

    def header(self, name: str, value: str) -> str:
        """A header's value without secrets; of one that carries nothing else, only the scheme or the name is left."""
        if name.lower() not in _HEADERS:
            return self.text(value)
        if name.lower() in ("cookie", "set-cookie"):
            start = "^" if name.lower() == "set-cookie" else ""  # attributes follow its one pair
            return re.sub(start + r"([^=;\s]+=)[^;\s]+", rf"\g<1>{REDACTED}", self.text(value))
        scheme = re.match(r"(?:Basic|Bearer|Token)\s+(?=\S)", value, re.IGNORECASE)
        return (scheme[0] if scheme else "") + (REDACTED if value.strip() else "")

    def data(self, data: bytes) -> bytes:
        """``data`` without the secrets in it."""
        for secret in self._secrets:
            data = data.replace(secret.encode("utf-8", "surrogateescape"), REDACTED.encode())
        return data


def signed_parts(paths: Iterable[str]) -> set[str]:
    """The signatures and nonces in ``paths``, which a check may quote without the name of their parameter."""
    return {part for path in paths for part in _SIGNED.findall(path)}


def _any_form(secret: str) -> re.Pattern[str]:
    whole = "".join(map(_any_character, secret))
    return re.compile(rf"(?<!\w){whole}(?!\w)" if len(secret) < _SHORT else whole)


def _cut_form(secret: str) -> re.Pattern[str]:
    """The first characters of ``secret``, at least four, before an ellipsis."""
    rest = ""
    for character in reversed(secret[_LEAST_CUT:]):
        rest = f"(?:{_any_character(character)}{rest})?"
    return re.compile("".join(map(_any_character, secret[:_LEAST_CUT])) + rest + f"(?={_CUT})")


def _any_character(character: str) -> str:
    """A pattern for ``character`` as it is and in every escaped form."""
    code = ord(character)
    percent = "".join(rf"%(?:25)*{_hex(byte, 2)}" for byte in character.encode("utf-8", "surrogateescape"))
    forms = [re.escape(character), percent, rf"&#0*{code};", rf"&#[xX]0*{_hex(code, 1)};"]
    if code > 0xFFFF:
        high, low = divmod(code - 0x10000, 0x400)
        forms.append(rf"\\+u{_hex(0xD800 + high, 4)}\\+u{_hex(0xDC00 + low, 4)}")
        forms.append(rf"\\+U{_hex(code, 8)}")
    else:
        forms += [rf"\\+u{_hex(code, 4)}"]
    if code < 0x100:
        forms.append(rf"\\+x{_hex(code, 2)}")
    if character == " ":
        forms.append(r"\+")
    if character in "\"'\\/":
        forms.append(rf"\\+{re.escape(character)}")
    if code in html.entities.codepoint2name:
        forms.append(f"&{html.entities.codepoint2name[code]};")
    return f"(?:{'|'.join(forms)})"


def _hex(code: int, digits: int) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{code:0{digits}x}")
