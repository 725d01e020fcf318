"""Every behaviour of the catalogue, one file for each stage at which it acts. Importing this
enters them all, in the order of the stages.

The first paragraph of a behaviour's docstring says what it does. "Complaint" says which trouble of
real clients it stands for, "Survive" what a client has to do about it; ``docs/scenarios.md`` is
made of them.
"""

# isort: off
from fake_server.scenarios.behaviours import responses, events, files, nodes, outcomes, segments
from fake_server.scenarios.behaviours import upstream

__all__ = ["events", "files", "nodes", "outcomes", "responses", "segments", "upstream"]
