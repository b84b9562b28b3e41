"""What DNS says: DNSSEC, and the marks of authenticity."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from relayd.authenticity import spf_record
from relayd.authenticity.dmarc import DmarcEvaluation, Policy, RecordUnknown, walk_names
from relayd.authenticity.results import Disposition, Result
from relayd.authenticity.spf_record import SpfRecord
from relayd.dns.records import Answer, MailHosts, Records
from relayd.dns.resolver import Resolver
from relayd.errors import SyntaxInvalid
from scripts.lib.internet_nl.score import PARTIAL, Category, Check, failed, passed

_LOOKUPS: Final = 10
_ASKING: Final = frozenset({"include", "a", "mx", "ptr", "exists"})
_REPORT_ADDRESS: Final = re.compile(r"mailto:[^@\s]+@([^\s!,]+)", re.IGNORECASE)


async def dnssec(resolver: Resolver, domain: str, hosts: MailHosts) -> AsyncIterator[Check]:
    """The domain's own name, then those of its mail servers, of which the worst counts."""
    yield _signed("mail domain", [(domain, await resolver.mx(domain))])
    if hosts.hosts and not hosts.implicit:
        found = [(host, await _one_address(resolver, host)) for host in hosts.hosts]
        yield _signed("mail servers", found)


async def _one_address(resolver: Resolver, host: str) -> Records[str]:
    four = await resolver.look_up(host, "A")
    return four if four.values or not four.answer.certain else await resolver.look_up(host, "AAAA")


def _signed(name: str, answers: Sequence[tuple[str, Records[Any]]]) -> Check:
    broken = [asked for asked, found in answers if not found.answer.certain]
    if broken:
        return failed(Category.DNSSEC, name, f"can't be validated: {', '.join(broken)}")
    unsigned = [asked for asked, found in answers if not found.secure]
    if unsigned:
        return failed(Category.DNSSEC, name, f"not signed: {', '.join(unsigned)}", PARTIAL)
    return passed(Category.DNSSEC, name)


async def authenticity(resolver: Resolver, domain: str) -> AsyncIterator[Check]:
    """DMARC, DKIM and SPF."""
    async for check in _dmarc(resolver, domain):
        yield check
    yield await _dkim(resolver, domain)
    async for check in _spf(resolver, domain):
        yield check


async def _dmarc(resolver: Resolver, domain: str) -> AsyncIterator[Check]:
    category = Category.AUTHENTICITY
    several = [name for name in walk_names(domain) if len(await _dmarc_texts(resolver, name)) > 1]
    try:
        policy = None if several else await DmarcEvaluation(resolver).policy(domain)
    except RecordUnknown as unknown:
        several, policy = [f"DNS says {unknown.answer}"], None
    if policy is None:
        reason = f"more than one record, or none that can be had: {several[0]}" if several else "no record"
        yield failed(category, "DMARC", reason)
        yield failed(category, "DMARC policy", "no record")
        return
    yield passed(category, "DMARC", f"at _dmarc.{policy.policy_domain}")
    asked = policy.record.policy(subdomain=policy.policy_domain != domain)
    if asked is Disposition.NONE:
        why = ", as t=y takes off one" if policy.record.testing else ""
        yield failed(category, "DMARC policy", f"it comes to p=none{why}")
        return
    if unwilling := await _unwilling(resolver, policy):
        yield failed(category, "DMARC policy", f"{unwilling} doesn't say that it takes its reports", PARTIAL)
        return
    yield passed(category, "DMARC policy", asked.value)


async def _dmarc_texts(resolver: Resolver, name: str) -> list[bytes]:
    found = await resolver.texts(f"_dmarc.{name}")
    return [text for text in found.values if text.replace(b" ", b"").startswith(b"v=DMARC1")]


async def _unwilling(resolver: Resolver, policy: Policy) -> str:
    """A host outside the policy's domain that is to get its reports and hasn't agreed (RFC 9990 §4)."""
    for tag in ("rua", "ruf"):
        for match in _REPORT_ADDRESS.finditer(policy.record.tag(tag)):
            host = match[1].lower()
            if host == policy.policy_domain or host.endswith(f".{policy.policy_domain}"):
                continue
            said = await resolver.texts(f"{policy.policy_domain}._report._dmarc.{host}")
            if not any(text.startswith(b"v=DMARC1") for text in said.values):
                return host
    return ""


async def _dkim(resolver: Resolver, domain: str) -> Check:
    """Selectors can't be listed: that there is something below the name is all that can be seen."""
    found = await resolver.texts(f"_domainkey.{domain}")
    if found.answer in (Answer.FOUND, Answer.NO_DATA):
        return passed(Category.AUTHENTICITY, "DKIM")
    return failed(Category.AUTHENTICITY, "DKIM", f"_domainkey.{domain}: {found.answer}")


async def _spf(resolver: Resolver, domain: str) -> AsyncIterator[Check]:
    texts = spf_record.select((await resolver.texts(domain)).values)
    if len(texts) != 1:
        yield failed(Category.AUTHENTICITY, "SPF", f"{len(texts) or 'no'} records")
        yield failed(Category.AUTHENTICITY, "SPF policy", "not one record")
        return
    yield passed(Category.AUTHENTICITY, "SPF")
    policy = _SpfPolicy(resolver)
    try:
        await policy.follow(texts[0], must_end=True)
    except _Flaw as flaw:
        yield failed(Category.AUTHENTICITY, "SPF policy", str(flaw), flaw.points)
        return
    yield passed(Category.AUTHENTICITY, "SPF policy", f"{policy.lookups} lookups")


class _Flaw(Exception):
    """Why a policy doesn't pass, and the points that it gets all the same."""

    def __init__(self, reason: str, points: int = 0) -> None:
        self.points = points
        super().__init__(reason)


class _SpfPolicy:
    """Follows includes and redirects, macros excepted, and counts what a check would have to look up."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self.lookups = 0

    async def follow(self, text: bytes, *, must_end: bool) -> None:
        """Raises _Flaw. ``must_end`` asks for ~all or -all at the end, which an include needn't have."""
        record = _parsed(text)
        for mechanism in record.mechanisms:
            if mechanism.kind in _ASKING:
                self._count()
            if mechanism.kind == "include" and mechanism.domain is not None and not mechanism.domain.letters:
                await self._below(mechanism.domain.expand({}), "include", must_end=False)
        final = next((one for one in record.mechanisms if one.kind == "all"), None)
        if final is None and record.redirect is not None:
            self._count()
            if not record.redirect.letters:
                await self._below(record.redirect.expand({}), "redirect", must_end=must_end)
        elif must_end and (final is None or final.result not in (Result.FAIL, Result.SOFTFAIL)):
            raise _Flaw("it doesn't end in ~all or -all")

    async def _below(self, domain: str, what: str, *, must_end: bool) -> None:
        texts = spf_record.select((await self._resolver.texts(domain)).values)
        if len(texts) != 1:
            raise _Flaw(f"{what} of {domain}, which has {len(texts) or 'no'} records", PARTIAL)
        await self.follow(texts[0], must_end=must_end)

    def _count(self) -> None:
        self.lookups += 1
        if self.lookups > _LOOKUPS:
            raise _Flaw(f"more than {_LOOKUPS} lookups", PARTIAL)


def _parsed(text: bytes) -> SpfRecord:
    try:
        return spf_record.parse_record(text)
    except SyntaxInvalid as error:
        raise _Flaw(f"its syntax is wrong: {error}") from None
