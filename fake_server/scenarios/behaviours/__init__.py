"""Every behaviour of the catalogue, one file for each stage at which it acts. Importing this enters them all.

The first paragraph of a behaviour's docstring says what it does. "Complaint" says which trouble of real clients it
stands for, "Survive" what a client has to do about it; ``docs/scenarios.md`` is made of them.
"""

from fake_server.scenarios.behaviours import answers, events, files, nodes, outcomes, pieces, upstream

__all__ = ["answers", "events", "files", "nodes", "outcomes", "pieces", "upstream"]
