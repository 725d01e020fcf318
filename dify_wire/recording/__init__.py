"""Recordings of a host: their format, what is taken out of them before they are written, and how
they are matched.

- ``exchange``: what a recording holds; ``folder``: reading and writing a folder of them,
  ``document`` one of its files, ``bodies`` the side files, ``spool`` a body that is still under
  way; ``recording.schema.json`` describes a file;
- ``fixing``: recordings that were edited by hand, made consistent;
- ``searchable``: bodies that can be searched, by ``decoding``, or left out;
- ``redact``: takes secrets out; ``search``, ``rules``, ``field_rules``, ``pseudonyms`` and
  ``edits`` are its parts;
- ``matchers``: what makes two requests the same; ``library``: which recording is asked for;
  ``users``: who asks;
- ``har_export``, ``har_import``: HTTP Archives; ``har_archive`` their file, ``har_events`` a
  stream's events in them;
- ``errors``: what all of them raise.
"""
