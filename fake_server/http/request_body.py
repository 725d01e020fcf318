"""A request's body as it comes in.

Starlette's ``Request`` reads it in the same way; importing that is a tenth of the start of the
server.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from starlette.types import Receive


class ClientLeftError(Exception):
    """The client left before it had said everything, or before it was answered."""


async def chunks(receive: Receive) -> AsyncGenerator[bytes]:
    """The pieces of the body. Raises ``ClientLeftError``."""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientLeftError
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


async def whole(receive: Receive) -> bytes:
    """The body in one piece. Raises ``ClientLeftError``."""
    return b"".join([chunk async for chunk in chunks(receive)])
