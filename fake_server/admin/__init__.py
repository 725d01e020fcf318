"""The API of the fake itself, under ``/__admin/``: nothing of it is the host's. ``admin.yaml``
describes it.

    api      the table of paths, access, errors, redaction
    call     what a call reads, checked, and what it gives back
    journal  received requests: listed, cleared, awaited, verified
    state    health, settings, scenarios, clock, reset
    metrics  the counters as Prometheus reads them

Imported with the first call: a fake without admin calls does not pay for it.
"""

from fake_server.admin.api import admin_app

__all__ = ["admin_app"]
