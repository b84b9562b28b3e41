"""Did a stranger's message come the way that NTA 7516 asks of providers? Pure: facts go in, a verdict comes out.

All of it must hold at once: TLS, the author's domain states its compliance, SPF, an aligned DKIM signature, DMARC with
a policy that has consequences, the header between providers, and a peer in the networks where providers may be. What
isn't configured isn't asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from relayd.authenticity.results import Authentication, Disposition, Result
from relayd.directory.directory import NtaProvider
from relayd.directory.nta7516 import NtaStanding
from relayd.mail.address import Domain
from relayd.mail.envelope import Peer
from relayd.mail.headers import Headers

_TLS: Final = frozenset({"TLSv1.2", "TLSv1.3"})


class Check(StrEnum):
    """One of the checks, by the word in the journal."""

    TLS = "tls"
    PEER = "peer"
    HEADER = "header"
    RECORD = "record"
    SPF = "spf"
    DKIM = "dkim"
    DMARC = "dmarc"


@dataclass(frozen=True, slots=True)
class Received:
    """``failed`` names the checks that don't hold, ``unknown`` those that DNS couldn't tell."""

    failed: tuple[Check, ...] = ()
    unknown: tuple[Check, ...] = ()

    @property
    def compliant(self) -> bool | None:
        """None while it may still be."""
        return False if self.failed else None if self.unknown else True

    def __str__(self) -> str:
        if self.failed:
            return f"NTA 7516 receive checks: not compliant: {', '.join(self.failed)}"
        if self.unknown:
            return f"NTA 7516 receive checks: unknown, as DNS doesn't answer: {', '.join(self.unknown)}"
        return "NTA 7516 receive checks: compliant"


def author_domain(headers: Headers) -> Domain | None:
    """The one domain that wrote the message; None where From names none, several, or can't be read in one way."""
    domains = {author.domain for author in headers.addresses("from")}
    return domains.pop() if len(domains) == 1 and not headers.address_defects("from") else None


def claims(headers: Headers, provider: NtaProvider) -> bool:
    """Whether the message says that it came this way."""
    name, _ = provider.header
    return bool(name) and bool(headers.all(name.lower()))


def check_received(
    peer: Peer, headers: Headers, provider: NtaProvider, standing: NtaStanding | None, found: Authentication
) -> Received:
    """``standing`` is that of the author's domain, None where there is no one such domain."""
    results = dict(_results(peer, headers, provider, standing, found))
    return Received(
        tuple(check for check, holds in results.items() if holds is False),
        tuple(check for check, holds in results.items() if holds is None),
    )


def _results(
    peer: Peer, headers: Headers, provider: NtaProvider, standing: NtaStanding | None, found: Authentication
) -> Iterator[tuple[Check, bool | None]]:
    yield Check.TLS, peer.tls is not None and peer.tls.version in _TLS
    if provider.peers is not None:
        yield Check.PEER, provider.peers.find(peer.address) is True
    name, value = provider.header
    if name:
        fields = headers.all(name.lower())
        yield Check.HEADER, len(fields) == 1 and fields[0].value.strip() == value.encode("ascii")
    yield Check.RECORD, standing.compliant if standing is not None else False
    yield Check.SPF, _unless_unknown(found.spf.result is Result.PASS, found.spf.result)
    dmarc = found.dmarc
    yield Check.DKIM, dmarc.dkim_aligned or _unless_unknown(False, *(one.result for one in found.dkim), dmarc.result)
    binding = dmarc.result is Result.PASS and dmarc.disposition is not Disposition.NONE
    yield Check.DMARC, _unless_unknown(binding, dmarc.result)


def _unless_unknown(holds: bool, *results: Result) -> bool | None:
    return None if not holds and Result.TEMPERROR in results else holds
