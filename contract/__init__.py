"""The contract suite: the same checks on the fake and on the real host.

``contract run --base-url URL --api-key KEY`` tells whether a host keeps the contract, and if not,
which promise it breaks. It judges with its own eyes: nothing of ``fake_server`` is imported, so
that one bug cannot hide another.
"""
