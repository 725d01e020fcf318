"""How long the URL of a picture lives, seen by moving the host's clock: nobody waits five
minutes.
"""

from __future__ import annotations

from contract.check import Capability, Level, Phase, check
from contract.errors import error, expect_error
from contract.evidence import blocking_data, fetch_file, image, image_url
from contract.result import NotRun, expect
from contract.shape import has_files_of_0_6
from contract.signature import SignedUrl
from contract.target import Target
from dify_wire.exchange import Exchange

_BAD_URL = error("signature_refused")

_STILL_GOOD_S = 295
_EXPIRED_S = 305
"""Five seconds to either side of the host's 300, for an exchange to take its time."""

_MONTH_S = 30 * 86400


def _good_url(target: Target) -> SignedUrl:
    """The blocking run's URL. Raises ``NotRun`` where it was not even good when it was new."""
    url = image_url(target)
    if image(target).status != 200:
        raise NotRun("the picture's own URL does not serve it", image(target))
    return url


def _status(answer: Exchange) -> int | str:
    return answer.status or f"no answer: {answer.failure}"


@check(Level.HOST, "FACTS 6.3 and 9.1", Capability.CLOCK, phase=Phase.CLOCK)
def signed_urls_live_for_five_minutes(target: Target) -> None:
    """A run's URL serves 295 s after it was signed; 305 s after it is refused as a bad one is,
    though it was in use.

    Versions after 0.6 let a deployment choose another time.
    """
    url = _good_url(target)
    level = Level.HOST if has_files_of_0_6(blocking_data(target).get("outputs")) else Level.VERSION
    with target.clock.borrowed():
        target.clock.set(int(url.timestamp))  # the suite may have taken more than 295 s to get here
        target.clock.advance(_STILL_GOOD_S)
        early = fetch_file(target, url)
        target.clock.advance(_EXPIRED_S - _STILL_GOOD_S)
        late = fetch_file(target, url)
    expect(
        early.status == 200,
        f"status 200 after {_STILL_GOOD_S} s",
        _status(early),
        early,
        level=level,
    )
    same = early.body == image(target).body
    expect(same, f"the same {len(image(target).body)} bytes", f"{len(early.body)} bytes", early)
    expect(late.status == 403, f"status 403 after {_EXPIRED_S} s", _status(late), late, level=level)
    expect_error(late, _BAD_URL)


@check(Level.HOST, "FACTS 6.3", Capability.CLOCK, Capability.SECRET, phase=Phase.CLOCK)
def image_outlives_its_urls(target: Target) -> None:
    """A month later a fresh signature serves the same picture: it is the URL that expires, not the
    file.
    """
    url = _good_url(target)
    with target.clock.borrowed():
        target.clock.advance(_MONTH_S)
        now = int(target.clock.now())
        answer = fetch_file(target, url.signed(str(target.capabilities.secret), timestamp=str(now)))
    expect(answer.status == 200, "status 200 a month later", _status(answer), answer)
    same = answer.body == image(target).body
    expect(same, f"the same {len(image(target).body)} bytes", f"{len(answer.body)} bytes", answer)
