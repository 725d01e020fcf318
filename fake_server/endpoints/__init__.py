"""The endpoints of the host's API: a function for each operation of the spec, entered under its id.

Importing this package enters them all; a new module is imported here.
"""

from __future__ import annotations

from pathlib import Path

from dify_wire.text_file import SpecError, bundled
from fake_server.endpoints import app_info, files, human_input, records, workflows
from fake_server.host_spec import HostSpec
from fake_server.http.request import ENDPOINTS, Handler

__all__ = ["ENDPOINTS", "app_info", "files", "handlers", "human_input", "records", "workflows"]


def handlers(spec: HostSpec, path: Path | None) -> dict[str, Handler]:
    """The endpoint of each operation of ``spec``. Raises ``SpecError``, which names the document at
    ``path``, for an operation that has none.
    """
    found = {}
    for operation in spec.operations:
        operation_id = operation.operation_id
        if operation_id in ENDPOINTS:
            found[operation_id] = ENDPOINTS[operation_id]
        elif operation.refusal is not None and operation.refusal in spec.errors.names:
            found[operation_id] = app_info.refuse
        else:
            raise SpecError(
                path or bundled("openapi.yaml"),
                f"paths.{operation.path}.{operation.method.lower()}",
                f"the fake has no endpoint for {operation_id!r}; remove the operation here or in "
                "an overlay, name an error as x-refusal, or write one (docs/contributing.md)",
            )
    return found
