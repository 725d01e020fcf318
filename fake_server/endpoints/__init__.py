"""The endpoints of the host's API: a function for each operation of the spec, entered under its id.

A module of this package enters its own when it is imported. Only ``app_info`` is imported at the
start; the others are when one of them is first requested.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from dify_wire.text_file import SpecError, bundled
from fake_server.endpoints import app_info
from fake_server.host_spec import HostSpec
from fake_server.http.request import ENDPOINTS, Handler
from fake_server.settings import Settings

__all__ = ["ENDPOINTS", "Handlers", "load_all"]


def load_all() -> None:
    """Have every endpoint entered."""
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")


class Handlers(dict[str, Handler]):
    """The endpoint of each operation of ``spec`` by its id.

    Raises ``SpecError`` for an operation that has none, where ``settings`` name documents of their
    own.
    """

    def __init__(self, spec: HostSpec, settings: Settings) -> None:
        super().__init__()
        self._refused = {one.operation_id for one in spec.operations if one.refusal is not None}
        if settings.spec is None and not settings.overlays:
            return
        load_all()
        for one in spec.operations:
            if one.operation_id not in ENDPOINTS and one.refusal not in spec.errors.names:
                raise SpecError(
                    settings.spec or bundled("openapi.yaml"),
                    f"paths.{one.path}.{one.method.lower()}",
                    f"the fake has no endpoint for {one.operation_id!r}; remove the operation here "
                    "or in an overlay, name an error as x-refusal, or write one "
                    "(docs/contributing.md)",
                )

    def __missing__(self, operation_id: str) -> Handler:
        if operation_id not in ENDPOINTS:
            load_all()
        if operation_id not in ENDPOINTS and operation_id in self._refused:
            return app_info.refuse
        self[operation_id] = ENDPOINTS[operation_id]
        return self[operation_id]
