"""The report of the contract suite that ``--contract-report`` names: the JSON of ``contract run``.

The suite writes it, and may write it again while the server runs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from dify_wire.strict import Field
from dify_wire.text_file import SpecError, file_errors, read_text

FORMAT = 3
"""The format of the suite's reports that is read here."""

STATUSES = ("failed", "not run", "follows", "differs", "skipped", "passed")
_HINT = "write it with contract run --json FILE"


@dataclass(frozen=True, slots=True)
class ContractReport:
    """A report and when its file was written, in unix seconds."""

    written_at: float
    value: dict[str, Any]


def read_report(path: Path) -> ContractReport:
    """The report, read once per state of the file. Raises ``SpecError`` where the file is none."""
    try:
        state = path.stat()
    except (OSError, ValueError):
        return _read(path, 0, 0)  # which says what is wrong
    return _read(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1)
def _read(path: Path, changed_ns: int, size: int) -> ContractReport:
    text = read_text(path, "JSON")
    with file_errors(path, "a report of contract run"):
        try:
            value = json.loads(text)
        except ValueError as error:
            message = f"it cannot be read as JSON ({error}); {_HINT}"
            raise SpecError(path, "the file", message) from None
        _check(Field(value, error=lambda place, message: SpecError(path, place, message)))
    return ContractReport(changed_ns / 1e9, value)


def _check(report: Field) -> None:
    if not isinstance(report.value, dict) or not {"format", "checks"} <= report.value.keys():
        report.fail(f"this is not a report of contract run; {_HINT}")
    if report["format"].value != FORMAT:
        report["format"].fail(
            f"it is of format {report.value['format']!r}, and only {FORMAT} can be read; {_HINT}"
        )
    report["passed"].boolean()
    for check in report["checks"].entries():
        for name in ("name", "claim"):
            check[name].text()
        check["status"].choice(STATUSES, "status")
