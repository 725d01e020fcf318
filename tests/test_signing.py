"""Signatures: the recorded ones are ours, a changed one is nobody's, and the order of refusals is
the host's.
"""

from __future__ import annotations

import base64
import hmac
import re
import string
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server.runs.signing import (
    TOOL_FILE,
    UPLOADED_IMAGE,
    BadSignatureError,
    BadTimestampError,
    ExpiredError,
    FileSigner,
    SignatureError,
)
from tests.each import each
from tests.recorded import SECRET_KEY, exchanges

LIFETIME_S = 300
NOW = 1_795_330_000
SIGNER = FileSigner("sk-test", LIFETIME_S)
FILE_ID = "8faea5f8-b5c9-498a-b557-a39c474f0e59"
NONCE = "ab195cba5d0c37924bbbdfe1fd2c62e9"


def recorded_urls() -> list[str]:
    """Every signed URL that the recorded host gave in an answer."""
    found: set[str] = set()
    for exchange in exchanges().values():
        found |= set(
            re.findall(
                r"/files/tools/[^\"\\ ]+\?[^\"\\ ]+sign=[^\"\\ ]+", (exchange.body or b"").decode()
            )
        )
    return sorted(found)


def verify(url: str, signer: FileSigner, now: float) -> None:
    """What the server does with a URL, in short."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    file_id = parts.path.rpartition("/")[2].partition(".")[0]
    signer.verify(file_id, query["timestamp"], query["nonce"], query["sign"], now)


def timestamp_of(url: str) -> int:
    return int(dict(parse_qsl(urlsplit(url).query))["timestamp"])


def test_there_are_recorded_urls() -> None:
    """The recordings have dozens, or the next test would say nothing."""
    assert len(recorded_urls()) > 90


@each("url", recorded_urls(), ids=lambda url: url[13:21])
def test_a_recorded_url_is_good(url: str) -> None:
    """FACTS 6.1: what the host signed with its key verifies here with the same key, and signs to
    the same.
    """
    signer = FileSigner(SECRET_KEY, LIFETIME_S)
    verify(url, signer, timestamp_of(url))
    path, _, query = url.partition("?")
    nonce = dict(parse_qsl(query))["nonce"]
    assert query == signer.query(path[13:49], timestamp_of(url), nonce)


RECORDED_URL = recorded_urls()[0]
SIGNED_PARTS = re.finditer(r"(?<=/files/tools/)[^.]+|(?<==)[^&]+", RECORDED_URL)


@each("index", [index for part in SIGNED_PARTS for index in range(*part.span())])
def test_any_changed_character_of_what_is_signed_is_refused(index: int) -> None:
    """Change, drop or double one character of id, timestamp, nonce or signature: the extension
    alone is not signed.
    """
    signer = FileSigner(SECRET_KEY, LIFETIME_S)
    head, old, tail = RECORDED_URL[:index], RECORDED_URL[index], RECORDED_URL[index + 1 :]
    changed = {"", old + old, *string.ascii_letters, *string.digits, "-", "_", "=", " ", "|"} - {
        old
    }
    for new in sorted(changed):
        with pytest.raises(BadSignatureError):
            verify(f"{head}{new}{tail}", signer, timestamp_of(RECORDED_URL))


@pytest.mark.parametrize("extension", ["png", "jpg", "tar.gz"])
def test_the_extension_is_not_signed(extension: str) -> None:
    """[C: file_jpg_ext, file_two_ext]."""
    url = RECORDED_URL.replace(".png?", f".{extension}?")
    verify(url, FileSigner(SECRET_KEY, LIFETIME_S), timestamp_of(url))


ANY_TEXT = st.text(st.characters(), max_size=40)  # lone surrogates included


@given(secret=st.text(min_size=1), file_id=ANY_TEXT, timestamp=st.integers(), nonce=ANY_TEXT)
def test_what_is_signed_is_good(secret: str, file_id: str, timestamp: int, nonce: str) -> None:
    """Any key, any id, any time: a signature is 43 base64url characters and an equals sign, and
    verifies.
    """
    signer = FileSigner(secret, LIFETIME_S)
    sign = signer.sign(file_id, str(timestamp), nonce)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}=", sign)
    signer.verify(file_id, str(timestamp), nonce, sign, timestamp)


@given(file_id=ANY_TEXT, timestamp=ANY_TEXT, nonce=ANY_TEXT, sign=ANY_TEXT)
def test_any_url_is_verified_or_refused(
    file_id: str, timestamp: str, nonce: str, sign: str
) -> None:
    """Whatever a client writes, the answer is a refusal of the signature."""
    with pytest.raises(BadSignatureError):
        SIGNER.verify(file_id, timestamp, nonce, sign, NOW)


@pytest.mark.parametrize(
    ("secret", "purpose"),
    [("sk-other", TOOL_FILE), ("sk-test", UPLOADED_IMAGE), ("sk-other", UPLOADED_IMAGE)],
)
def test_a_signature_belongs_to_one_key_and_one_purpose(secret: str, purpose: str) -> None:
    """Neither another key nor the other kind of file takes it."""
    sign = FileSigner(secret, LIFETIME_S, purpose).sign(FILE_ID, str(NOW), NONCE)
    with pytest.raises(BadSignatureError):
        SIGNER.verify(FILE_ID, str(NOW), NONCE, sign, NOW)


def test_the_query_has_the_hosts_parameters_in_order() -> None:
    """FACTS 6: timestamp, nonce, sign, the equals sign as it is."""
    query = SIGNER.query(FILE_ID, NOW, NONCE)
    assert query == f"timestamp={NOW}&nonce={NONCE}&sign={SIGNER.sign(FILE_ID, str(NOW), NONCE)}"


# Age
# --------------------------------------------------------------------------------------------------


def verify_at(timestamp: str, now: float) -> None:
    SIGNER.verify(FILE_ID, timestamp, NONCE, SIGNER.sign(FILE_ID, timestamp, NONCE), now)


@pytest.mark.parametrize("age_s", [0, 1, 299, 300, 300.999, -1, -86_400, -(10**12)])
def test_a_url_is_good_for_300_seconds_and_in_the_future(age_s: float) -> None:
    """FACTS 6.3: whole seconds count, and there is no lower bound."""
    verify_at(str(NOW), NOW + age_s)


@pytest.mark.parametrize("age_s", [301, 301.5, 86_400, 10**12])
def test_an_older_url_has_expired(age_s: float) -> None:
    """[C: file_ts_expired301]; the refusal knows the age."""
    with pytest.raises(
        ExpiredError, match=f"^signed {int(age_s)} s ago, and a URL lives 300 s$"
    ) as caught:
        verify_at(str(NOW), NOW + age_s)
    assert caught.value.age_s == int(age_s)


@pytest.mark.parametrize(
    ("timestamp", "says"),
    [
        ("abc", "invalid literal for int() with base 10: 'abc'"),
        (" ", "invalid literal for int() with base 10: ' '"),
        ("", "invalid literal for int() with base 10: ''"),
        ("1713938972.5", "invalid literal for int() with base 10: '1713938972.5'"),
    ],
)
def test_a_signed_timestamp_that_is_not_an_integer_gets_pythons_message(
    timestamp: str, says: str
) -> None:
    """[C: file_ts_signed_float, file_ts_signed_space]."""
    with pytest.raises(BadTimestampError) as caught:
        verify_at(timestamp, NOW)
    assert str(caught.value) == says


@pytest.mark.parametrize("timestamp", [f" {NOW}", f"{NOW:_}", f"+{NOW}"])
def test_a_timestamp_is_whatever_python_reads_as_an_integer(timestamp: str) -> None:
    """[C: file_ts_signed_under]: white space, underscores and signs are part of its form."""
    verify_at(timestamp, NOW)


# The order of the checks
# --------------------------------------------------------------------------------------------

FAULTS: list[tuple[str, str, type[SignatureError]]] = [
    ("abc", "wrong", BadSignatureError),
    (str(NOW - 9999), "wrong", BadSignatureError),
    ("abc", "right", BadTimestampError),
    (str(NOW - 9999), "right", ExpiredError),
]


@pytest.mark.parametrize(("timestamp", "sign", "refusal"), FAULTS)
def test_signature_comes_before_form_and_form_before_age(
    timestamp: str, sign: str, refusal: type[SignatureError]
) -> None:
    """FACTS 6.3: with several faults the first of these is the reason."""
    right = SIGNER.sign(FILE_ID, timestamp, NONCE)
    with pytest.raises(SignatureError) as caught:
        SIGNER.verify(
            FILE_ID, timestamp, NONCE, right if sign == "right" else f"{right[:-2]}A=", NOW
        )
    assert type(caught.value) is refusal


@given(secret=st.text(min_size=1, max_size=80), message=ANY_TEXT)
def test_a_signature_is_the_librarys_hmac(secret: str, message: str) -> None:
    """RFC 2104, for keys below and above a block of SHA-256."""
    signed = f"{TOOL_FILE}|{message}||".encode("utf-8", "surrogatepass")
    expected = base64.urlsafe_b64encode(hmac.digest(secret.encode(), signed, "sha256"))
    assert FileSigner(secret, LIFETIME_S).sign(message, "", "") == expected.decode()
