"""What the host refuses, and in which words.

    HostError
        one refusal of one request: a status and the JSON body that goes with it

The words are not written here. They are data of the observed host (``x-host.errors`` of the
overlay), one entry a refusal, each with the recorded exchange that shows it; code names an entry
and fills its placeholders.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dify_wire.error_text import ErrorText


class HostError(Exception):
    """A refusal in the host's own words; ``body`` keeps the order of the keys on the wire."""

    def __init__(self, name: str, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(f"{name}: {status}")
        self.name = name
        self.status = status
        self.body = body


class HostErrors:
    """Every refusal of the host by name; calling it makes one, ready to raise.

    Raises ``KeyError`` for a name that the overlay does not have: a mistake in this package, which
    ``tests/test_errors.py`` looks for, never one of a request.
    """

    def __init__(self, templates: Mapping[str, ErrorText]) -> None:
        self._templates = templates

    def __call__(self, name: str, **values: object) -> HostError:
        template = self._templates[name]
        if values:
            return HostError(name, template.status, template.filled(**values))
        return HostError(name, template.status, template.body)

    def by_code(self, code: str, status: int) -> Mapping[str, Any] | None:
        """The first body with that code and status whose text has no placeholders."""
        for template in self._templates.values():
            body = template.body
            if (body.get("code"), template.status) == (code, status) and "{" not in str(
                body.get("message")
            ):
                return body
        return None

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._templates)
