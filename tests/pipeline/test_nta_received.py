"""The receive checks of NTA 7516: all hold, or the verdict names those that don't."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from relayd.authenticity.results import Authentication, Disposition, Dkim, Dmarc, Result, Spf
from relayd.directory.directory import NtaProvider
from relayd.directory.networks import NetworkTable
from relayd.directory.nta7516 import NtaStanding
from relayd.mail.address import Domain
from relayd.mail.envelope import TlsFacts
from relayd.mail.headers import Headers
from relayd.pipeline.nta_received import Check, author_domain, check_received, claims
from tests.kit.judging import TLS, peer

HEADERS = b"From: a@clinic.example\r\nX-Way: nta; agreed\r\n"
PROVIDER = NtaProvider(header=("X-Way", "nta; agreed"), peers=NetworkTable([(ip_network("203.0.113.0/24"), True)]))
COMPLIANT = NtaStanding(True, "")
DMARC = Dmarc(Result.PASS, "clinic.example", "clinic.example", Disposition.REJECT, True, True)
FOUND = Authentication(
    Spf(Result.PASS, "clinic.example"), (Dkim(Result.PASS, "clinic.example"),), DMARC
)  # fmt: skip
NO_PASS = [one for one in Result if one not in (Result.PASS, Result.TEMPERROR)]


def checked(
    *,
    headers: bytes = HEADERS,
    tls: TlsFacts | None = TLS,
    address: str = "203.0.113.9",
    standing: NtaStanding | None = COMPLIANT,
    provider: NtaProvider = PROVIDER,
    found: Authentication = FOUND,
) -> tuple[tuple[Check, ...], tuple[Check, ...]]:
    received = check_received(peer(address, tls=tls), Headers(headers), provider, standing, found)
    return received.failed, received.unknown


def dmarc(**changes: Any) -> Authentication:
    return replace(FOUND, dmarc=replace(DMARC, **changes))


def test_everything_holds() -> None:
    assert checked() == ((), ())
    received = check_received(peer(), Headers(HEADERS), PROVIDER, COMPLIANT, FOUND)
    assert (received.compliant, str(received)) == (True, "NTA 7516 receive checks: compliant")


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"tls": None}, "tls"),
        ({"tls": TlsFacts("TLSv1.1", "x")}, "tls"),
        ({"address": "198.51.100.1"}, "peer"),
        ({"address": "2001:db8::1"}, "peer"),
        ({"headers": b"From: a@clinic.example\r\n"}, "header"),
        ({"headers": HEADERS.replace(b"agreed", b"other")}, "header"),
        ({"headers": HEADERS + b"x-way: nta; agreed\r\n"}, "header"),
        ({"standing": NtaStanding(False, "")}, "record"),
        ({"standing": None}, "record"),
        *(({"found": replace(FOUND, spf=Spf(one, "x"))}, "spf") for one in NO_PASS),
        ({"found": dmarc(dkim_aligned=False)}, "dkim"),
        ({"found": dmarc(disposition=Disposition.NONE)}, "dmarc"),
        ({"found": dmarc(result=Result.FAIL)}, "dmarc"),
        ({"found": dmarc(result=Result.NONE)}, "dmarc"),
        ({"found": dmarc(result=Result.PERMERROR)}, "dmarc"),
    ],
)  # fmt: skip
def test_one_check_that_fails_is_named(changes: dict[str, Any], failed: str) -> None:
    assert checked(**changes) == ((Check(failed),), ())


@pytest.mark.parametrize(
    ("changes", "unknown"),
    [
        ({"standing": NtaStanding(None, "")}, (Check.RECORD,)),
        ({"found": replace(FOUND, spf=Spf(Result.TEMPERROR, "x"))}, (Check.SPF,)),
        ({"found": dmarc(result=Result.TEMPERROR, dkim_aligned=True)}, (Check.DMARC,)),
        ({"found": dmarc(result=Result.TEMPERROR, dkim_aligned=False)}, (Check.DKIM, Check.DMARC)),
        (
            {"found": replace(dmarc(dkim_aligned=False), dkim=(Dkim(Result.TEMPERROR, "clinic.example"),))},
            (Check.DKIM,),
        ),
    ],
)
def test_what_dns_cannot_tell_is_no_failure(changes: dict[str, Any], unknown: tuple[Check, ...]) -> None:
    assert checked(**changes) == ((), unknown)


def test_a_failure_beside_something_unknown_is_a_failure() -> None:
    received = check_received(peer(tls=None), Headers(HEADERS), PROVIDER, NtaStanding(None, ""), FOUND)
    assert (received.compliant, str(received)) == (False, "NTA 7516 receive checks: not compliant: tls")


def test_quarantine_is_a_policy_with_consequences() -> None:
    assert checked(found=dmarc(disposition=Disposition.QUARANTINE)) == ((), ())


def test_what_is_not_configured_is_not_asked() -> None:
    found = checked(headers=b"From: a@clinic.example\r\n", address="198.51.100.1", provider=NtaProvider())
    assert found == ((), ())


@pytest.mark.parametrize(
    ("head", "domain"),
    [
        (b"From: a@clinic.example\r\n", "clinic.example"),
        (b"From: a@clinic.example, b@CLINIC.example\r\n", "clinic.example"),
        (b"From: a@clinic.example, b@other.example\r\n", None),
        (b"From: a@clinic.example\r\nFrom: a@clinic.example\r\n", None),
        (b"From: nobody\r\n", None),
        (b"Subject: x\r\n", None),
    ],
)
def test_the_author_is_one_domain_or_nobody(head: bytes, domain: str | None) -> None:
    assert author_domain(Headers(head)) == (Domain(domain) if domain else None)


@pytest.mark.parametrize(
    ("head", "claimed"),
    [(b"X-WAY:\r\n", True), (b"x-way : x\r\n", True), (b"X-Wayx: nta\r\n", False), (b"Subject: X-Way: x\r\n", False)],
)
def test_any_field_of_that_name_claims_the_way(head: bytes, claimed: bool) -> None:
    assert claims(Headers(head), PROVIDER) is claimed
    assert not claims(Headers(head), NtaProvider())
