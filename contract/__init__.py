"""The contract suite: the same checks on the fake and on the real host.

``contract run --base-url URL --api-key KEY`` shows whether a host keeps the contract, and what it
breaks. Nothing of ``fake_server`` is imported, so that one bug cannot hide another.
"""
