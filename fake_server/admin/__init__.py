"""The API of the fake itself, under ``/__admin/``: nothing of it is the host's. ``admin.yaml``
describes it.

    access    who may call it at all
    asked     what a call says, checked; and refusals as values
    routes    the table of paths; the only place that knows Starlette's routing
    server    health, settings, description, reset
    rules     scenarios
    received  the journal (``listing``: which of its entries a query asks for)
    moving    the clock
    metrics   the counters as Prometheus reads them

Imported with the first call: a fake that nobody steers does not pay for it.
"""

from fake_server.admin.routes import admin_app

__all__ = ["admin_app"]
