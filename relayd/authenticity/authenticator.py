"""Who wrote this message? SPF, DKIM, DMARC and ARC of one message, each asked at most once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from relayd.authenticity import arc, dkim_verify
from relayd.authenticity.dmarc import DmarcEvaluation
from relayd.authenticity.results import Arc, Authentication, Dkim, Dmarc, Result, Spf, signers
from relayd.authenticity.spf import check_host
from relayd.authenticity.spf_question import question
from relayd.clock import Clock
from relayd.directory.directory import Via
from relayd.dns.budget import BudgetedResolver
from relayd.dns.resolver import Resolver
from relayd.mail.address import Domain
from relayd.mail.headers import Headers
from relayd.telemetry.metrics import AUTHENTICITY

if TYPE_CHECKING:
    from relayd.pipeline.policy import Mail

#: Seconds that DNS may take for one message in all; its sender waits for the reply to the final dot. What is asked
#: before the data has as much: between the two lies the time in which the message comes in.
DNS_BUDGET: Final = 5.0


class MessageAuthenticator:
    """The authentication of one message, from MAIL on. Nothing is asked of DNS before somebody wants to know."""

    __slots__ = ("_clock", "_dns", "_early_dns", "_known", "_signatures", "_spf")

    def __init__(self, dns: Resolver, clock: Clock, budget: float = DNS_BUDGET) -> None:
        self._early_dns = BudgetedResolver(dns, budget)
        self._dns = BudgetedResolver(dns, budget)
        self._clock = clock
        self._spf: Spf | None = None
        self._signatures: tuple[Dkim, ...] | None = None
        self._known: Authentication | None = None

    @property
    def known(self) -> Authentication | None:
        """What was found out about the whole message, None as long as nobody asked."""
        return self._known

    async def signers(self, mail: Mail) -> frozenset[Domain]:
        """The domains with a valid signature over the whole message, by DKIM alone. Raises TimeoutError when there is
        none and DNS didn't tell a key: it isn't known then."""
        signatures = await self._verify(mail)
        found = signers(signatures)
        if not found and any(one.result is Result.TEMPERROR for one in signatures):
            raise TimeoutError("DNS doesn't tell a key")
        return found

    async def authenticate(self, mail: Mail) -> Authentication:
        """All results. Before the end of data there is only SPF's."""
        if mail.headers is None:
            return Authentication(await self._check_spf(mail))
        if self._known is None:
            spf, signatures = await asyncio.gather(self._check_spf(mail), self._verify(mail))
            dmarc = await DmarcEvaluation(self._dns).evaluate(_authors(mail.headers), spf, signatures)
            self._known = Authentication(spf, signatures, dmarc, await self._verify_arc(mail, dmarc))
            _count(self._known)
        return self._known

    async def _check_spf(self, mail: Mail) -> Spf:
        early = mail.headers is None
        if self._spf is None or (self._spf.result is Result.TEMPERROR and not early):
            if mail.origin.via is Via.INTERNAL:
                return Spf(Result.NONE, "", reason="the peer is gone")
            asked = question(mail.peer.address, mail.envelope.sender, mail.peer.helo)
            self._spf = (await check_host(self._early_dns if early else self._dns, asked)).spf
        return self._spf

    async def _verify(self, mail: Mail) -> tuple[Dkim, ...]:
        if mail.body is None:
            return ()
        if self._signatures is None:
            self._signatures = await dkim_verify.verify(mail.body, self._dns, self._clock.now())
        return self._signatures

    async def _verify_arc(self, mail: Mail, dmarc: Dmarc) -> Arc:
        """Only where DMARC doesn't hold: there it may tell who broke it."""
        if mail.body is None or dmarc.result is Result.PASS:
            return Arc()
        return await arc.verify(mail.body, self._dns)


def _count(found: Authentication) -> None:
    for method, result in (("spf", found.spf.result), ("dmarc", found.dmarc.result), ("arc", found.arc.result)):
        AUTHENTICITY.add(method, result.value)
    for signature in found.dkim or (Dkim(Result.NONE, ""),):
        AUTHENTICITY.add("dkim", signature.result.value)


def _authors(headers: Headers) -> frozenset[Domain] | None:
    """The domains in From; None when there is no From, or one that can't be read in one way (RFC 9989 §5.3.1)."""
    if headers.address_defects("from"):
        return None
    return frozenset(author.domain for author in headers.addresses("from")) or None
