"""The connection beneath an answer, for what HTTP has no word for: ending it in the middle."""

from __future__ import annotations

import socket
import struct

from starlette.types import Receive, Scope

from fake_server.http.scope import BROKEN_OFF, CONNECTION

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


async def break_off(scope: Scope, receive: Receive, reset: bool = False) -> None:
    """Close the connection without the end of the answer, or reset it; return when the client is
    gone.

    Raises ``ConnectionResetError`` in process, where there is no connection.
    """
    transport = scope.get("state", {}).get(CONNECTION)
    if transport is None:
        raise ConnectionResetError("the answer breaks off here")
    scope[BROKEN_OFF] = True
    if transport.is_closing():
        pass  # the client has left before
    elif reset:
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
        )
        transport.abort()
    else:
        transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass  # of a body that nobody reads any more
