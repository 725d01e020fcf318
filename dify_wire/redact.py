"""How secrets look, wherever a host, a language or a report gives them back.

A secret is found raw, escaped for JSON, Python, HTML or a URL (also twice, also in part of its characters), and cut
short by an ellipsis. Signatures are found by their parameter's name, keys that nobody told us by the form of Dify's.
Patterns are texts, to be compiled for ``str`` as they are, and for bytes after ``encode()``.
"""

from __future__ import annotations

import html
import html.entities
import json
import re
from urllib.parse import quote, quote_plus

SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-admin-token", "x-api-key"}
)
"""Headers that carry nothing but a secret, in lower case."""

_EQUALS = r"(?:=|%(?:25){0,8}3[dD]|\\{1,16}u003[dD]|\\{1,16}x3[dD]|&#x3[dD];|&#61;|&equals;)"
_ESCAPED = r"(?:%(?:25){0,8}|\\{1,16}u00|\\{1,16}x)(?!26)[0-9A-Fa-f]{2}"  # any character but an ampersand
_VALUE = rf"(?:[A-Za-z0-9_\-+/=~.]|{_ESCAPED})+"
_QUOTE = r"""\\{0,16}["']"""

PARAMETER = rf"(?P<name>sign|nonce)(?P<equals>{_EQUALS})(?P<value>{_VALUE})"
"""A signature or a nonce in a URL, however the URL is written."""

FIELD = (
    rf"""(?P<before>{_QUOTE}(?P<name>sign|nonce|api_key|secret_key|authorization){_QUOTE}\s*:\s*{_QUOTE})"""
    r"""(?P<value>(?:[^"'\\]|\\{1,16}[^"'\\])+)"""
)
"""A field of JSON, or of something like it, that holds a secret; in whatever case."""

DIFY_KEY = r"\b[aA][pP][pP]-[A-Za-z0-9]{24}(?![A-Za-z0-9])"
"""The key of an app, of which nobody has told."""

SHORT = 8
"""A secret of fewer characters is looked for as a word of its own only."""

LONG = 1_000
"""A pattern for every mixture of escapes in more characters than these would take seconds to make."""

_SCHEME = re.compile(r"(?:Basic|Bearer|Token)\s+(?=\S)", re.IGNORECASE)
_ONLY_SCHEME = re.compile(r"\s*(?:Basic|Bearer|Token|)\s*", re.IGNORECASE)

AFTER_ESCAPE = r"(?<=%[0-9A-Fa-f]{2})|(?<=\\[a-z])|(?<=\\u[0-9A-Fa-f]{4})|(?<=\\x[0-9A-Fa-f]{2})"
"""A word may begin where an escape ends: its last letters are none of the word's."""

CUT = "…"
LEAST_CUT = 4
"""Of a secret that was cut short, this many characters have to be there to know it."""


def credentials(value: str) -> tuple[str, str]:
    """The scheme of a header such as ``Authorization``, with the blanks after it, and the secret; each may be empty."""
    if _ONLY_SCHEME.fullmatch(value):
        return "", ""
    scheme = _SCHEME.match(value)
    return (scheme[0], value[scheme.end() :].strip()) if scheme else ("", value.strip())


def any_form(secret: str) -> str:
    """A pattern for ``secret`` as it is and in every escaped form; of a long one, with all of it escaped alike."""
    if len(secret) > LONG:
        return "(?:" + "|".join(map(re.escape, _written_alike(secret))) + ")"
    whole = "".join(map(_any_character, secret))
    return rf"(?:(?<!\w)|{AFTER_ESCAPE}){whole}(?!\w)" if len(secret) < SHORT else whole


def cut_form(secret: str) -> str:
    """A pattern for the first characters of ``secret``, at least four, before an ellipsis."""
    rest = ""
    for character in reversed(secret[LEAST_CUT:]):
        rest = f"(?:{_any_character(character)}{rest})?"
    return "".join(map(_any_character, secret[:LEAST_CUT])) + rest + f"(?={CUT})"


def _written_alike(secret: str) -> list[str]:
    escaped = [json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)]
    twice = [json.dumps(once, ensure_ascii=False)[1:-1] for once in escaped]
    bare = secret.encode("utf-8", "surrogateescape")
    quoted = [quote(bare, safe=""), quote(bare), quote_plus(bare), quote(quote(bare, safe=""))]
    in_html = [html.escape(secret, quote=with_quotes) for with_quotes in (True, False)]
    return list(dict.fromkeys([secret, *escaped, *twice, *quoted, *in_html]))


def _any_character(character: str) -> str:
    """A pattern for ``character`` as it is and in every escaped form."""
    code = ord(character)
    percent = "".join(rf"%(?:25){{0,8}}{_hex(byte, 2)}" for byte in character.encode("utf-8", "surrogateescape"))
    forms = [re.escape(character), percent, rf"&#0{{0,8}}{code};", rf"&#[xX]0{{0,8}}{_hex(code, 1)};"]
    if code > 0xFFFF:
        high, low = divmod(code - 0x10000, 0x400)
        forms.append(rf"\\\\{{0,15}}u{_hex(0xD800 + high, 4)}\\{{1,16}}u{_hex(0xDC00 + low, 4)}")
        forms.append(rf"\\\\{{0,15}}U{_hex(code, 8)}")
    else:
        forms += [rf"\\\\{{0,15}}u{_hex(code, 4)}"]
    if code < 0x100:
        forms.append(rf"\\\\{{0,15}}x{_hex(code, 2)}")
    if character == " ":
        forms.append(r"\+")
    if character in "\"'\\/":
        forms.append(rf"\\\\{{0,15}}{re.escape(character)}")
    if code in html.entities.codepoint2name:
        forms.append(f"&{html.entities.codepoint2name[code]};")
    return f"(?:{'|'.join(forms)})"


def _hex(code: int, digits: int) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{code:0{digits}x}")
