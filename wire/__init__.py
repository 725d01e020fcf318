"""What fake and contract toolkit must agree on. Imports neither of them.

- ``wire.spec``: the spec with its overlays, loaded, merged and checked;
- ``wire.overlay``: the OpenAPI Overlay 1.0 applier that the loader uses;
- ``wire.recording``: recorded exchanges, their format, redaction and matching;
- ``wire.redact``: how secrets look; ``wire.ids``: how ids look;
- ``wire.yaml_file``: YAML files as JSON data, strictly;
- ``wire.contradictions``, ``wire.host_facts``: what cannot hold in a merged document;
- ``wire.spec_error``: what all of them raise.

Modules are imported by name, so that a program pays only for what it uses.
"""

__all__ = ["contradictions", "host_facts", "ids", "overlay", "recording", "redact", "spec", "spec_error", "yaml_file"]
