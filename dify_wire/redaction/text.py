"""Takes secrets out of a text that is shown: a log, the journal, a report, a comparison.

It knows the secrets of the settings, and finds by itself signatures, nonces, fields for keys, and
whatever has the form of an app's key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from dify_wire.exchange import UUID
from dify_wire.redaction.headers import COOKIES, SECRET_HEADERS, credentials, without_cookies
from dify_wire.redaction.needles import encoded
from dify_wire.redaction.pseudonyms import REDACTED, Marks
from dify_wire.redaction.rules import Rule
from dify_wire.redaction.search import LEAST_CUT, Search

_REMEMBERED = 512
_LONGEST_REMEMBERED = 256

_SIGNED_URL = re.compile(
    rf"(/files/(?:tools/)?{UUID}[./a-z-]{{0,20}}\?timestamp=[0-9]{{1,12}}&nonce=)"
    r"[0-9a-f]{32}&sign=[A-Za-z0-9_-]{43}="
)
"""What a log shows most often: it is redacted in a fraction of the time."""


class TextRedactor:
    """Replaces ``secrets``, and what is secret by its form or its field.

    ``rules`` name more of it. Users stay, unless ``keep_user`` is false: a log and a journal are
    there to be searched for them.
    """

    def __init__(
        self, secrets: Iterable[str] = (), rules: Sequence[Rule] = (), keep_user: bool = True
    ) -> None:
        self._rules = tuple(rules)
        known = tuple(filter(None, secrets))
        self._lowered = tuple(secret.lower() for secret in known)
        self._search = Search(Marks(), dict.fromkeys(known, ""), rules, keep_user)
        self._short = lru_cache(_REMEMBERED)(self._redacted)

    def text(self, text: str) -> str:
        """``text`` without secrets."""
        plain = _SIGNED_URL.fullmatch(text)
        if plain and not any(secret in plain[1] for secret in self._lowered):
            return f"{plain[1]}{REDACTED}&sign={REDACTED}"
        return self._short(text) if len(text) <= _LONGEST_REMEMBERED else self._redacted(text)

    def header(self, name: str, value: str) -> str:
        """A header's value without secrets; of one that is a secret only the scheme is left."""
        name = name.lower()
        if any(rule.kind == "header" and rule.what.lower() == name for rule in self._rules):
            return REDACTED if value else value
        if name in COOKIES:
            return without_cookies(name, value, REDACTED)
        if name in SECRET_HEADERS:
            scheme, _ = credentials(value)
            return scheme + (REDACTED if value.strip() else "")
        return self.text(value)

    def data(self, data: bytes) -> bytes:
        """``data``, which may be no text, without secrets."""
        search = self._search.fresh()
        return search.edits(search.read(data), ellipses=True).apply(data)

    def value(self, value: Any) -> Any:
        """A value of JSON without secrets in its texts and names."""
        if isinstance(value, dict | list):
            data = json.dumps(value).encode()
            redacted = self.data(data)
            try:
                return value if redacted == data else json.loads(redacted)
            except ValueError:  # what was replaced goes beyond one text
                pass
        if isinstance(value, dict):
            return {self.text(name): self.value(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.value(inner) for inner in value]
        return self.text(value) if isinstance(value, str) else value

    def without_cut_secret(self, text: str) -> str:
        """``text`` that was cut short, without the beginning of a secret at its end."""
        data = encoded(text)
        cut = self._search.cut(data, len(data), LEAST_CUT)
        if cut is None:
            return text
        return data[: cut.start].decode("utf-8", "surrogateescape") + REDACTED

    def _redacted(self, text: str) -> str:
        data = encoded(text)
        redacted = self.data(data)
        return text if redacted == data else redacted.decode("utf-8", "surrogateescape")
