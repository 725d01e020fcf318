r"""Reads ``Content-Disposition`` and other headers with parameters as Werkzeug reads them on the
host.

Names in any letter case, values quoted or bare, RFC 2231's ``name*=utf-8''…`` and ``name*0=…;
name*1=…``. As in Werkzeug 3.0, which the host has, a backslash escapes a quotation mark or a
backslash and nothing else, so that ``C:\a.png`` stays whole; later versions drop any.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

_WORD = r"[\w!#$%&'*+\-.^`|~]+"
_PARAMETER = re.compile(rf'({_WORD})=(?:({_WORD})|("(?:\\[\\"]|[^"])*+"))?', re.ASCII)
_DELIMITER = re.compile(r";[ \t]*")
_MARK = re.compile(r"(\*[0-9]+)?(\*)?$")
_CHARSET = re.compile(r"([\w!#$%&*+\-.^`|~]*)'[\w!#$%&*+\-.^`|~]*'(.+)$", re.ASCII)
_ESCAPED = re.compile(r'\\([\\"])')
_CHARSETS = ("ascii", "us-ascii", "utf-8", "iso-8859-1")


def parse_options(header: str) -> tuple[str, dict[str, str]]:
    """The value before the first semicolon, and the parameters after it by their names in lower
    case.

    What is not a parameter is passed over; nothing after a quotation mark that is never closed
    counts.
    """
    value, _, rest = header.partition(";")
    value = value.strip(" \t")
    options: dict[str, str] = {}
    continued: dict[str, str] = {}
    charsets: dict[str, str] = {}
    for marked, raw in _parts(rest.strip(" \t")) if value else ():
        mark = _MARK.search(marked)
        assert mark is not None  # it finds the empty text at the end of any name
        name, (number, star) = marked[: mark.start()], mark.groups()
        charset, text = "", raw
        if star:
            if with_charset := _CHARSET.match(raw):
                charset, text = with_charset[1].lower(), with_charset[2]
            charset = charset or (charsets.get(name, "") if number else "")
            text = unquote(text, charset) if charset in _CHARSETS else text
        else:
            quoted = raw.startswith('"')
            text = (_ESCAPED.sub(r"\1", raw[1:-1]) if quoted else raw).replace("%22", '"')
        if not number:
            if continued.pop(name, None) is not None:
                charsets.pop(name, None)
            options[name] = text
            continue
        options.pop(name, None)
        continued[name] = continued.get(name, "") + text
        if charset:
            charsets[name] = charset
    return value, options | continued


def _parts(rest: str) -> list[tuple[str, str]]:
    """The parameters as they stand, names in lower case, values with their quotation marks."""
    parts, at = [], 0
    while at < len(rest):
        if found := _PARAMETER.match(rest, at):
            at = found.end(1) + 1
            if found[2] is not None:
                parts.append((found[1].lower(), found[2]))
            elif found[3] is not None:
                parts.append((found[1].lower(), found[3]))
                at = found.end()
            elif rest.startswith('"', at):
                break
        delimiter = _DELIMITER.search(rest, at)
        if delimiter is None:
            break
        at = delimiter.end()
    return parts
