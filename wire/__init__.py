"""What fake and contract toolkit must agree on. Imports neither of them.

- ``wire.spec``: the spec with its overlays, loaded, merged and checked;
- ``wire.overlay``: the OpenAPI Overlay 1.0 applier that the loader uses.

Modules are imported by name, so that a program pays only for what it uses.
"""

__all__ = ["overlay", "spec"]
