"""What an author's domain is told: what was done, and why something else than it asked for."""

from __future__ import annotations

import pytest

from relayd.authenticity.observation import FROM_A_FORWARDER, Applied, Override, observe
from relayd.authenticity.results import Authentication, Disposition, Dmarc, Result, Spf

NONE, QUARANTINE, REJECT = Disposition


@pytest.mark.parametrize(
    ("result", "asked", "done", "reason", "applied", "override"),
    [
        (Result.PASS, REJECT, "", "", Applied.PASS, None),
        (Result.PASS, NONE, "", "", Applied.NONE, None),
        (Result.PASS, NONE, "refused", "", Applied.NONE, None),
        (Result.FAIL, NONE, "", "", Applied.NONE, None),
        (Result.FAIL, REJECT, "refused", "", Applied.REJECT, None),
        (Result.FAIL, QUARANTINE, "held", "", Applied.QUARANTINE, None),
        (Result.FAIL, REJECT, "held", "", Applied.QUARANTINE, Override.LOCAL_POLICY),
        (Result.FAIL, QUARANTINE, "refused", "", Applied.REJECT, Override.LOCAL_POLICY),
        (Result.FAIL, REJECT, "", "", Applied.NONE, Override.LOCAL_POLICY),
        (Result.FAIL, REJECT, "", FROM_A_FORWARDER, Applied.NONE, Override.TRUSTED_FORWARDER),
    ],
)
def test_what_was_done(
    result: Result, asked: Disposition, done: str, reason: str, applied: Applied, override: Override | None
) -> None:
    found = Authentication(Spf(Result.NONE, "x"), dmarc=Dmarc(result, "a.example", "a.example", asked))
    seen = observe("192.0.2.1", "b.example", found, refused=done == "refused", held=done == "held", reason=reason)
    assert seen is not None
    assert (seen.applied, seen.override, seen.authentication) == (applied, override, found)


@pytest.mark.parametrize(
    "dmarc",
    [
        Dmarc(Result.NONE, "a.example"),
        Dmarc(Result.PERMERROR),
        Dmarc(Result.TEMPERROR, "a.example"),
        Dmarc(Result.TEMPERROR, "a.example", "a.example", REJECT),
    ],
)
def test_where_there_is_nothing_to_tell(dmarc: Dmarc) -> None:
    found = Authentication(Spf(Result.NONE, "x"), dmarc=dmarc)
    assert observe("192.0.2.1", "b.example", found, refused=False, held=False, reason="") is None
