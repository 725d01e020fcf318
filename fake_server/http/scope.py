"""What the fake notes in the ASGI scope of a request, for those of its parts that do not know each
other.
"""

CONNECTION = "connection"
"""Where ``scope["state"]`` has the transport of the request's connection, if a server of ours
serves it.
"""

DUE = "due"
"""The clock's ticks at which what is sent now was due, where that was not the beginning of the
answer.
"""

BROKEN_OFF = "broken_off"
"""Set where it was not the client that left."""

OPERATION = "operation_id"
"""The operation of the spec that the request has found."""

NOTES = "notes"
"""What those who ordered scenarios should know of how they went."""

SCENARIOS = "scenarios"
"""The names of the scenarios that befell the request."""
