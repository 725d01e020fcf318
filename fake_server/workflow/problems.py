"""What is wrong with an app file: every error of it at once, and warnings, which let it load."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dify_wire.strict import Field
from dify_wire.text_file import SpecError
from fake_server.workflow.model import Problem

_MOST = 50
"""The most errors, and the most warnings, of one file."""


class WorkflowError(SpecError):
    """An app file that cannot be used: names the file, the place in it and the correction."""


class NotWorkflowError(WorkflowError):
    """An export of an app of another mode; ``app`` is its description of itself."""

    def __init__(self, path: Path, place: str, mode: str, app: Mapping[str, Any]) -> None:
        super().__init__(
            path,
            place,
            f"this is an app of mode {mode!r}, and only workflow apps run here; as --app KEY=FILE "
            "it is served as a host serves it, which refuses its runs with not_workflow_app",
        )
        self.app = app


class Problems:
    """Errors and warnings of one app, collected while its files are read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._errors: list[SpecError] = []
        self.warnings: list[Problem] = []

    @contextlib.contextmanager
    def collected(self) -> Iterator[None]:
        """Keep the error that ends the block; reading goes on behind it."""
        try:
            yield
        except WorkflowError as error:
            self._errors += error.all

    @property
    def full(self) -> bool:
        """Whether no further warning is kept, so that none needs to be looked for."""
        return len(self.warnings) >= _MOST

    def warn(self, field: Field, message: str) -> None:
        if not self.full:
            error = field.error(field.path, message)  # which knows the file that the field is in
            path = error.path if isinstance(error, SpecError) else self._path
            self.warnings.append(Problem(path, field.path, message))

    def raise_errors(self) -> None:
        """Raise what was collected, each once, as one ``WorkflowError``, if it is anything."""
        if self._errors:
            first, *others = {str(error): error for error in self._errors}.values()
            first.others = tuple(others[: _MOST - 1])
            raise first
