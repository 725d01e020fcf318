"""The kinds of app that an exchange can belong to."""

from __future__ import annotations

from enum import StrEnum

MAIN = "main"
"""The label of the default app."""


class AppKind(StrEnum):
    """``deleted`` is a key that outlived its app."""

    WORKFLOW = "workflow"
    CHAT = "chat"
    UNPUBLISHED = "unpublished"
    DISABLED = "disabled"
    DELETED = "deleted"


OTHER_APP_KINDS: tuple[str, ...] = tuple(kind for kind in AppKind if kind != AppKind.WORKFLOW)
"""The kinds that cannot run a workflow."""
