"""Every behaviour, one file for each stage at which it acts.

To add one, write a function with ``@behaviour`` in the file of its stage. The first paragraph of
its docstring says what it does, "Complaint" which problem of real users it reproduces, "Survive"
what a client has to do about it; ``make docs`` makes ``docs/scenarios.md`` of them.
"""

from collections.abc import Mapping

from dify_wire.strict import unknown
from fake_server.scenarios.behaviour import Behaviour
from fake_server.scenarios.behaviours import body, events, files, responses, runs, upstream
from fake_server.scenarios.parameters import ScenarioError

STAGES = (runs, responses, events, files, body, upstream)
"""In the order in which lists and docs show them."""

BEHAVIOURS: Mapping[str, Behaviour] = {
    one.name: one
    for module in STAGES
    for one in vars(module).values()
    if isinstance(one, Behaviour)
}


def find(name: str) -> Behaviour:
    """The behaviour ``name``. Raises ``ScenarioError`` with the nearest name."""
    if name not in BEHAVIOURS:
        raise ScenarioError(unknown("scenario", name, BEHAVIOURS))
    return BEHAVIOURS[name]
