"""Parallel branches, in the versions whose streams have events of them
[C: parallel_nodes_stream].

A fork begins them, one for each edge; a branch ends with the last of its nodes, and a node that
several branches lead to runs outside of them, after the node of the fork.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fake_server.runs.events import Place
from fake_server.runs.values import Values


class Branch:
    """One branch: what runs in it is counted, its inner branches included."""

    __slots__ = ("active", "forked_at", "parent", "place")

    def __init__(self, place: Place, parent: Branch | None, forked_at: str) -> None:
        self.place, self.parent, self.forked_at = place, parent, forked_at
        self.active = 0

    @property
    def metadata(self) -> Values:
        """What the metadata of each of its nodes says of it."""
        place = self.place
        found = {
            "parallel_id": place.parallel_id,
            "parallel_start_node_id": place.parallel_start_node_id,
            "parent_parallel_id": place.parent_parallel_id,
            "parent_parallel_start_node_id": place.parent_parallel_start_node_id,
        }
        return {name: value for name, value in found.items() if value is not None}

    def outward(self) -> Iterator[Branch]:
        """The branch and those around it."""
        branch: Branch | None = self
        while branch is not None:
            yield branch
            branch = branch.parent


class Fork:
    """The branches that begin after the node ``node_id``, which runs in the branch ``around``."""

    def __init__(self, node_id: str, around: Branch | None, parallel_id: str, place: Place) -> None:
        self._node_id, self._around, self._id = node_id, around, parallel_id
        self._place = place

    def branch(self, start: str) -> Branch:
        place = self._place._replace(parallel_id=self._id, parallel_start_node_id=start)
        if self._around is not None:
            self._around.active += 1
            outer = self._around.place
            place = place._replace(
                parent_parallel_id=outer.parallel_id,
                parent_parallel_start_node_id=outer.parallel_start_node_id,
            )
        return Branch(place, self._around, self._node_id)


def joined(arrivals: Sequence[tuple[Branch | None, str]]) -> tuple[Branch | None, str]:
    """The branch in which a node runs that edges from ``arrivals`` lead to (branch and node), and
    its predecessor. A branch that has ended does not count.
    """
    last, previous = arrivals[-1]
    around = [set(branch.outward()) if branch else set[Branch]() for branch, _ in arrivals]
    for branch in last.outward() if last else ():
        if branch.active and all(branch in others for others in around):
            return branch, previous
        previous = branch.forked_at
    return None, previous
