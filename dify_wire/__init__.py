"""What the fake and the contract checks must agree on. Imports neither of them.

- ``profile``: the known versions of the host, and what each of them does;
- ``spec``, ``overlay``: the document, merged with its overlays, and checked;
- ``exchange``, ``recording``: exchanges, and how they are recorded, matched and converted;
- ``redaction``: takes secrets out of whatever is written or shown;
- ``strict``, ``yaml_file``, ``text_file``: reading what users wrote, with clear errors.
"""
