"""How long the URL of an image lives, shown by moving the host's clock."""

from __future__ import annotations

from contract.check import Capability, Level, Phase, check
from contract.errors import error, expect_error, expect_status
from contract.evidence import expect_same_image, fetch_file, image_url, lifetime_level, served_image
from contract.result import expect
from contract.target import Target

_STILL_GOOD_S = 295
_EXPIRED_S = 305
"""Five seconds to either side of the host's 300, for an exchange to take its time."""

_MONTH_S = 30 * 86400


@check(Level.HOST, "FACTS 6.3 and 9.1", Capability.CLOCK, phase=Phase.CLOCK)
def signed_urls_live_for_five_minutes(target: Target) -> None:
    """A run's URL serves 295 s after it was signed; 305 s after it is refused as a bad one is,
    though it was in use.

    Versions after 0.6 let a deployment choose another time.
    """
    served_image(target)
    url = image_url(target)
    level = lifetime_level(target)
    with target.clock.borrowed():
        target.clock.set(int(url.timestamp))  # the suite may have taken more than 295 s to get here
        target.clock.advance(_STILL_GOOD_S)
        early = fetch_file(target, url)
        target.clock.advance(_EXPIRED_S - _STILL_GOOD_S)
        late = fetch_file(target, url)
    for response, status, age_s in ((early, 200, _STILL_GOOD_S), (late, 403, _EXPIRED_S)):
        got = response.status or f"no response: {response.failure}"
        expected = f"status {status} after {age_s} s"
        expect(response.status == status, expected, got, response, level=level)
    expect_same_image(target, early)
    expect_error(late, error("signature_refused"), target.basis)


@check(Level.HOST, "FACTS 6.3", Capability.CLOCK, Capability.SECRET, phase=Phase.CLOCK)
def image_outlives_its_urls(target: Target) -> None:
    """A month later a fresh signature serves the same image: the URL expires, the file does not."""
    served_image(target)
    url = image_url(target)
    with target.clock.borrowed():
        target.clock.advance(_MONTH_S)
        now = int(target.clock.now())
        signed = url.signed(str(target.capabilities.secret), timestamp=str(now))
        response = fetch_file(target, signed)
    expect_status(response, 200)
    expect_same_image(target, response)
