"""The file object of the blocking response, and the URL in it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from tests.mutants.edits import Edit, change, drop, edit_run_json, put, rename, reverse
from tests.mutants.mutant import Area

AREA = Area("file object")
_FILE = "data.outputs.files.0"
_KINDS = "file_fields_are_of_their_kinds"
_FIELDS = {
    "__variant": "file_is_marked_as_a_file",
    "tenant_id": "tenant_id_is_a_uuid",
    "type": "file_type_is_image",
    "transfer_method": "transfer_method_is_tool_file",
    "url": _KINDS,
    "related_id": "related_id_is_the_id_in_the_url",
    "filename": "filename_is_the_hosts",
    "extension": "extension_is_the_one_in_the_url",
    "mime_type": "mime_type_belongs_to_the_extension",
}
"""The fields of a file object, each with the check that should see a wrong value."""


def _file(name: str, breaks: str, killers: str, edit: Edit) -> None:
    AREA.add(name, breaks, killers, edit_run_json(edit))


def _url(name: str, breaks: str, killers: str, pattern: str, replacement: str) -> None:
    """The URL with the first match of ``pattern`` replaced."""
    _file(
        name,
        breaks,
        killers,
        change(f"{_FILE}.url", lambda url: re.sub(pattern, replacement, url, count=1)),
    )


def _aged(url: str) -> str:
    return re.sub(r"timestamp=(\d+)", lambda match: f"timestamp={int(match[1]) - 600}", url)


def _escaped(url: Any) -> Any:
    return quote(url, safe="/")


# fmt: off
for _field, _killer in _FIELDS.items():
    _short, _path, _killers = (
        _field.strip("_"),
        f"{_FILE}.{_field}",
        _killer if _killer == _KINDS else f"{_killer} {_KINDS}",
    )
    _file(
        f"file_{_short}_dropped",
        f"The file object has no {_field}.",
        "file_has_the_fields_of_the_host",
        drop(_path),
    )
    _file(
        f"file_{_short}_null", f"{_field} of the file object is null.", _killers, put(_path, None)
    )
    _file(f"file_{_short}_retyped", f"{_field} is a number.", _killers, put(_path, 1))
_file("file_url_renamed", "url is called href.", "file_has_the_fields_of_the_host",
      rename(f"{_FILE}.url", "href"))
_file("file_variant_other", "__variant is File.", "file_is_marked_as_a_file",
      put(f"{_FILE}.__variant", "File"))
_file("file_tenant_no_uuid", "tenant_id is not a UUID.", "tenant_id_is_a_uuid",
      put(f"{_FILE}.tenant_id", "tenant"))
_file("file_type_document", "An image's type is document.", "file_type_is_image",
      put(f"{_FILE}.type", "document"))
_file("file_transfer_remote", "An image of the host is a remote_url.",
      "transfer_method_is_tool_file", put(f"{_FILE}.transfer_method", "remote_url"))
_file("file_related_id_of_another", "related_id is not the id in the URL.",
      "related_id_is_the_id_in_the_url", change(f"{_FILE}.related_id", lambda v: v[::-1]))
_file("file_related_id_no_uuid", "related_id is a number in text.",
      "related_id_is_the_id_in_the_url", put(f"{_FILE}.related_id", "4711"))
_file("file_filename_empty", "filename is empty.", "filename_is_the_hosts",
      put(f"{_FILE}.filename", ""))
_file("file_extension_without_dot", "extension has no dot.", "extension_is_the_one_in_the_url",
      put(f"{_FILE}.extension", "png"))
_file("file_extension_jpg", "extension is .jpg, the URL ends in .png.",
      "extension_is_the_one_in_the_url", put(f"{_FILE}.extension", ".jpg"))
_file("file_mime_jpeg", "mime_type is image/jpeg, the image a PNG.",
      "mime_type_belongs_to_the_extension", put(f"{_FILE}.mime_type", "image/jpeg"))
_file("file_keys_reversed", "The keys of the file object are in reverse order.",
      "file_has_the_fields_of_the_host", reverse(_FILE))
_file("file_extra_field", "The file object has a field of its own.",
      "file_has_the_fields_of_the_host", put(f"{_FILE}.path", "/tmp/a.png"))
_file("file_bare_url", "The file object is only its URL.", "outputs_have_an_image",
      change(_FILE, lambda file: file["url"]))
_file("files_an_object", "files is one object and no list.", "outputs_have_an_image",
      change("data.outputs.files", lambda files: files[0]))
_file("files_two", "There are two files where the host makes one.", "run_makes_one_image",
      change("data.outputs.files", lambda files: files * 2))
_file("files_null", "files is null.", "outputs_have_an_image", put("data.outputs.files", None))
_file("files_in_text", "files is JSON in text.", "outputs_have_an_image",
      change("data.outputs.files", str))

# The URL
_url("url_without_signature", "The URL is not signed at all.", "url_has_the_documents_form",
     r"\?.*", "")
_url("url_without_timestamp", "The URL has no timestamp.", "url_has_the_documents_form",
     r"timestamp=\d+&", "")
_url("url_without_nonce", "The URL has no nonce.", "url_has_the_documents_form", r"&nonce=\w+", "")
_url("url_without_sign", "The URL has no sign.", "url_has_the_documents_form", r"&sign=.*", "")
_url("url_unpadded", "The signature has no = at its end.", "url_has_the_documents_form", "=$", "")
_url("url_sign_in_hex", "The signature is in hexadecimal.", "url_has_the_documents_form", "sign=.*",
     "sign=" + "0a" * 32)
_url("url_short_nonce", "The nonce has 8 characters.", "url_has_the_documents_form",
     r"nonce=(\w{8})\w+", r"nonce=\1")
_url("url_timestamp_milliseconds", "The URL's timestamp is in milliseconds.",
     "url_has_the_documents_form", r"timestamp=(\d+)", r"timestamp=\g<1>000")
_url("url_of_another_file", "The URL is of a file that is not there.",
     "related_id_is_the_id_in_the_url", r"tools/\w{8}", "tools/00000000")
_url("url_with_bad_signature", "The URL's signature is not good.",
     "url_serves_the_image_without_a_key urls_are_signed_by_the_recipe", r"sign=.{4}", "sign=AAAA")
_url("url_parameters_reordered", "The URL's parameters are in another order.",
     "url_has_the_documents_form", r"(timestamp=\d+)&(nonce=\w+)", r"\2&\1")
_url("url_other_path", "The URL leads to another path.", "url_has_the_documents_form",
     "/files/tools/", "/files/")
_url("url_without_extension", "The URL has no extension.", "url_has_the_documents_form", r"\.png",
     "")
_url("url_absolute_without_host", "The URL has a scheme and no host.", "url_has_the_documents_form",
     "^", "http://")
_url("url_on_another_host", "The URL is absolute and leads to another host.",
     "url_leads_to_the_host_itself", "^", "https://files.example")
_url("url_relative", "The URL does not begin with a slash.", "url_has_the_documents_form", "^/", "")
_file("url_escaped", "The URL is percent-encoded as a whole.", "url_has_the_documents_form",
      change(f"{_FILE}.url", _escaped))
_file("url_html_escaped", "The URL's & are &amp;.", "url_has_the_documents_form",
      change(f"{_FILE}.url", lambda url: url.replace("&", "&amp;")))
_file("url_sign_expired", "The URL is ten minutes old when it is sent.",
      "url_is_signed_when_the_run_ends", change(f"{_FILE}.url", _aged))
# fmt: on
