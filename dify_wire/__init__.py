"""What fake and contract toolkit must agree on. Imports neither of them.

- ``dify_wire.spec``: the spec with its overlays, loaded, merged and checked;
- ``dify_wire.overlay``: the OpenAPI Overlay 1.0 applier that the loader uses;
- ``dify_wire.recording``: recorded exchanges, their format, redaction and matching;
- ``dify_wire.redact``: how secrets look; ``dify_wire.ids``: how ids look;
- ``dify_wire.yaml_file``: YAML files as JSON data, strictly;
- ``dify_wire.contradictions``, ``dify_wire.host_facts``: what cannot hold in a merged document;
- ``dify_wire.spec_error``: what all of them raise.

Modules are imported by name, so that a program pays only for what it uses.
"""

__all__ = [
    "contradictions",
    "host_facts",
    "ids",
    "overlay",
    "recording",
    "redact",
    "spec",
    "spec_error",
    "yaml_file",
]
