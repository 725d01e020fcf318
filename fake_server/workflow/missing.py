"""What is not installed on the host: a model, its provider or a tool (``x-fake.missing``).

The version says when it notices, and in which words [C: g_badmodel_block, g_noprovider_block,
g_badtool_block].
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from fake_server.host_spec import HostSpec
from fake_server.workflow.model import Node


class MissingReport(NamedTuple):
    """``when``: ``build``, before there is a run; ``node``, as the error of the node; ``crash``,
    with the host's own failure.
    """

    when: str
    text: str


def missing_report(node: Node, spec: HostSpec) -> MissingReport:
    """How the version reports what ``node`` misses, which has to miss something."""
    rule, data = spec.graph.missing[node.behaviour.missing or "model"], node.data
    model = data.get("model") or {}
    text = rule["text"].format(
        model=model.get("name", ""),
        provider=model.get("provider", ""),
        tool=data.get("provider_id", ""),
        request_id=sha256(node.node_id.encode()).hexdigest()[:10],
    )
    return MissingReport(rule["when"], text)
