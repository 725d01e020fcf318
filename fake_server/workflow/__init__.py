"""An app of the host as data: its description, its start variables and its graph of nodes.

The files speak the vocabulary of Dify's own app export (``app``, ``workflow.features``,
``workflow.graph`` with nodes and edges); what an export does not know, how long a node takes and
what its model would have said, stands beside it under ``x-fake``.
"""
