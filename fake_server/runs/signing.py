"""Signed URLs of files, by the host's own recipe (FACTS 6.1), so that either side accepts the
other's.

    SignatureError
        BadSignatureError    the signature does not belong to this file, time and nonce
        BadTimestampError    signed, but the timestamp is not an integer
        ExpiredError         signed, but older than the lifetime

The order of the checks is the host's: signature, then the form of the timestamp, then its age.
There is no lower bound on the age: a timestamp in the future is valid. The extension of the file is
not signed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac


class SignatureError(Exception):
    """Why a URL is refused, in one line."""


class BadSignatureError(SignatureError):
    """The signature does not belong to this file, timestamp and nonce under this key."""


class BadTimestampError(SignatureError):
    """The signature is right, but the timestamp that it signs is not an integer."""


class ExpiredError(SignatureError):
    """The signature is right, but ``age_s`` is beyond the lifetime."""

    def __init__(self, age_s: float, lifetime_s: float) -> None:
        super().__init__(f"signed {age_s:.0f} s ago, and a URL lives {lifetime_s:.0f} s")
        self.age_s = age_s


TOOL_FILE = "file-preview"
"""Purpose of a signature for ``/files/tools/<file_id>.<ext>``; part of what is signed."""

UPLOADED_IMAGE = "image-preview"
"""Purpose of a signature for ``/files/<file_id>/image-preview``."""

_BLOCK_BYTES = 64
"""Of SHA-256."""


class FileSigner:
    """Signs and verifies the URLs of files for one purpose with one SECRET_KEY."""

    def __init__(self, secret_key: str, lifetime_s: float, purpose: str = TOOL_FILE) -> None:
        # The two halves of an HMAC (RFC 2104), to be copied for each file: half the time of
        # copying the library's object.
        key = secret_key.encode()
        block = (hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(
            _BLOCK_BYTES, b"\0"
        )
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + f"{purpose}|".encode())
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
        self.lifetime_s = lifetime_s

    def sign(self, file_id: str, timestamp: str, nonce: str) -> str:
        """The signature as it stands in a URL: 43 base64url characters and ``=``."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(f"{file_id}|{timestamp}|{nonce}".encode("utf-8", "surrogatepass"))
        outer.update(inner.digest())
        return base64.urlsafe_b64encode(outer.digest()).decode()

    def query(self, file_id: str, timestamp: int, nonce: str, quoted: bool = False) -> str:
        """The query of a signed URL, its parameters in the host's order; ``quoted``: with the
        signature's ``=`` as ``%3D``.
        """
        sign = self.sign(file_id, str(timestamp), nonce)
        if quoted:
            sign = sign.replace("=", "%3D")
        return f"timestamp={timestamp}&nonce={nonce}&sign={sign}"

    def verify(self, file_id: str, timestamp: str, nonce: str, sign: str, now: float) -> None:
        """Return if the URL is valid at ``now`` (unix seconds); raise ``SignatureError`` if not."""
        expected = self.sign(file_id, timestamp, nonce)
        if not hmac.compare_digest(expected.encode(), sign.encode("utf-8", "surrogatepass")):
            raise BadSignatureError(
                "the signature does not belong to this file, timestamp and nonce under this secret "
                "key"
            )
        try:
            signed_at = int(timestamp)
        except ValueError as error:
            raise BadTimestampError(str(error)) from error
        if int(now) - signed_at > self.lifetime_s:
            raise ExpiredError(int(now) - signed_at, self.lifetime_s)


class FileSigners:
    """The signers of one SECRET_KEY, one for each purpose."""

    def __init__(self, secret_key: str, lifetime_s: float) -> None:
        self.tool_file = FileSigner(secret_key, lifetime_s, TOOL_FILE)
        self.uploaded_image = FileSigner(secret_key, lifetime_s, UPLOADED_IMAGE)

    def of(self, purpose: str) -> FileSigner:
        return self.uploaded_image if purpose == UPLOADED_IMAGE else self.tool_file
