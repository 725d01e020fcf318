"""An app of the host as data: its description, its start variables and its graph of nodes.

App files have the keys of Dify's own export (``app``, ``workflow.features``, ``workflow.graph``
with nodes and edges). What an export does not have, such as the duration of a node and the text of
its model, stands beside it under ``x-fake``.
"""
