"""What each operation of the spec does once its request has reached the app."""

from __future__ import annotations

from fake_server.endpoints.call import Call, Handler, Host
from fake_server.endpoints.table import HANDLERS, refuse

__all__ = ["HANDLERS", "Call", "Handler", "Host", "refuse"]
