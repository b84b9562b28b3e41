"""DMARC (RFC 9989): does somebody whom the author's domain trusts stand behind the message, and what if not?

The organisational domain comes from the tree walk: at most eight questions from a name up to its top-level domain. One
evaluation asks about each name once, however many signers a message has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from relayd.authenticity.dmarc_record import DmarcRecord, parse_record, select
from relayd.authenticity.results import Disposition, Dkim, Dmarc, Result, Spf
from relayd.dns.records import Answer
from relayd.dns.resolver import Resolver
from relayd.mail.address import Domain

MOST_QUERIES: Final = 8
_SHORTENED: Final = 7


class RecordUnknown(Exception):
    """DNS doesn't tell what a walk needs to know."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(answer)


@dataclass(frozen=True)
class Walked:
    """One name of a walk. ``texts`` are the DMARC records there. ``record`` is None unless there is exactly one
    (RFC 9989 §4.10)."""

    domain: str
    answer: Answer
    texts: tuple[bytes, ...] = ()

    @cached_property
    def record(self) -> DmarcRecord | None:
        return parse_record(self.texts[0]) if len(self.texts) == 1 else None


@dataclass(frozen=True, slots=True)
class Policy:
    """The record that applies to an author's domain, and the domain's organisational domain."""

    domain: str
    organisational: str
    policy_domain: str
    record: DmarcRecord


def walk_names(domain: str) -> list[str]:
    """The names that a tree walk asks about, from ``domain`` on (RFC 9989 §4.10)."""
    labels = domain.split(".")
    shorter = labels[1:] if len(labels) < MOST_QUERIES else labels[-_SHORTENED:]
    return [domain, *(".".join(shorter[start:]) for start in range(len(shorter)))]


def organisational_domain(start: str, walked: Sequence[Walked]) -> str:
    """The organisational domain that a walk from ``start`` shows (RFC 9989 §4.10.2)."""
    with_record = [one for one in walked if one.record is not None]
    for one in with_record:
        assert one.record is not None
        if one.record.psd == "n":
            return one.domain
        if one.record.psd == "y" and one.domain != start:
            below = len(one.domain.split(".")) + 1
            return ".".join(start.split(".")[-below:])
    return with_record[-1].domain if with_record else start


class DmarcEvaluation:
    """The evaluation of one message, or of one domain for whoever wants to know."""

    def __init__(self, dns: Resolver) -> None:
        self._dns = dns
        self._known: dict[str, Walked] = {}

    async def evaluate(self, authors: frozenset[Domain] | None, spf: Spf, dkim: Sequence[Dkim]) -> Dmarc:
        """The result for a message. ``authors`` are the domains in From, None when it can't be read."""
        if authors is None or len(authors) != 1:  # RFC 9989 §5.3.1
            reason = "From is missing or can't be read" if not authors else "From has authors of several domains"
            return Dmarc(Result.PERMERROR, reason=reason)
        (author,) = authors
        try:
            policy = await self.policy(author)
        except RecordUnknown as unknown:
            return Dmarc(Result.TEMPERROR, author, reason=f"DNS doesn't tell the record ({unknown.answer})")
        if policy is None:
            return Dmarc(Result.NONE, author, reason="there is no DMARC record")
        return await self._judged(policy, spf, dkim)

    async def policy(self, domain: str) -> Policy | None:
        """The record that applies to ``domain`` (RFC 9989 §4.10.1)."""
        first = await self._at(domain)
        if not first.answer.certain:
            raise RecordUnknown(first.answer)
        if first.record is not None:
            # The walk for the organisational domain is made only when an alignment depends on it.
            return Policy(domain, "", domain, first.record) if first.record.applies else None
        walked = await self.walk(domain)
        organisational = organisational_domain(domain, walked)
        found = {one.domain: one.record for one in walked if one.record is not None}
        suffix = next((one.domain for one in walked if one.record is not None and one.record.psd == "y"), "")
        at = organisational if organisational in found else suffix
        record = found.get(at)
        return Policy(domain, organisational, at, record) if record is not None and record.applies else None

    @property
    def seen(self) -> tuple[Walked, ...]:
        """All names asked about so far, in their order."""
        return tuple(self._known.values())

    async def walk(self, domain: str) -> list[Walked]:
        """The tree walk from ``domain``. Raises RecordUnknown when DNS doesn't tell."""
        walked: list[Walked] = []
        for name in walk_names(domain):
            one = await self._at(name)
            if not one.answer.certain:
                raise RecordUnknown(one.answer)
            walked.append(one)
            if one.record is not None and one.record.psd in ("y", "n"):
                break
        return walked

    async def _at(self, domain: str) -> Walked:
        if domain not in self._known:
            found = await self._dns.texts(f"_dmarc.{domain}")
            self._known[domain] = Walked(domain, found.answer, tuple(select(found.values)))
        return self._known[domain]

    async def _judged(self, policy: Policy, spf: Spf, dkim: Sequence[Dkim]) -> Dmarc:
        # With the null sender, SPF's MAIL FROM identity is the peer's name (RFC 7208 §2.4).
        spf_aligned, spf_open = await self._aligned(policy, "aspf", [(spf.result, spf.domain)])
        dkim_aligned, dkim_open = await self._aligned(policy, "adkim", [(one.result, one.domain) for one in dkim])
        result, reason = Result.FAIL, "nobody aligned with the author's domain stands behind it"
        if spf_aligned or dkim_aligned:
            result, reason = Result.PASS, ""
        elif spf_open or dkim_open:
            result, reason = Result.TEMPERROR, "DNS doesn't tell whether somebody aligned stands behind it"
        try:
            disposition = await self.disposition(policy)
        except RecordUnknown as unknown:
            disposition = policy.record.policy(subdomain=True)
            if result is Result.FAIL:
                result, reason = Result.TEMPERROR, f"DNS doesn't tell whether the domain exists ({unknown.answer})"
        return Dmarc(
            result,
            policy.domain,
            policy.policy_domain,
            disposition,
            spf_aligned,
            dkim_aligned,
            policy.record.tags,
            reason,
        )

    async def _aligned(self, policy: Policy, tag: str, claims: Sequence[tuple[Result, str]]) -> tuple[bool, bool]:
        """Whether one that passed is aligned; and whether one that DNS left open might have been."""
        aligned = undecided = False
        for result, domain in claims:
            if aligned or result not in (Result.PASS, Result.TEMPERROR) or not domain:
                continue
            try:
                if not await self._same(policy, domain.lower(), strict=policy.record.strict(tag)):
                    continue
            except RecordUnknown:
                undecided = True
                continue
            aligned = aligned or result is Result.PASS
            undecided = undecided or result is Result.TEMPERROR
        return aligned, undecided

    async def _same(self, policy: Policy, domain: str, *, strict: bool) -> bool:
        """RFC 9989 §4.4: equal domains, or in relaxed mode equal organisational domains."""
        if domain == policy.domain:
            return True
        if strict or domain.rpartition(".")[2] != policy.domain.rpartition(".")[2]:
            return False
        mine = policy.organisational or organisational_domain(policy.domain, await self.walk(policy.domain))
        if domain != mine and not domain.endswith(f".{mine}"):
            return False
        return organisational_domain(domain, await self.walk(domain)) == mine

    async def disposition(self, policy: Policy) -> Disposition:
        """What the record asks for when a message of its author's domain fails. Raises RecordUnknown."""
        record, subdomain = policy.record, policy.policy_domain != policy.domain
        exists = not subdomain or not record.tag("np") or await self._exists(policy.domain)
        return record.policy(subdomain=subdomain, exists=exists)

    async def _exists(self, domain: str) -> bool:
        """RFC 9989 §3.2.13: a name with an address or a mail host."""
        unknown: Answer | None = None
        for kind in ("A", "AAAA", "MX"):
            answer = (await self._dns.look_up(domain, kind)).answer
            if answer in (Answer.FOUND, Answer.NO_NAME):
                return answer is Answer.FOUND
            if not answer.certain:
                unknown = answer
        if unknown is not None:
            raise RecordUnknown(unknown)
        return False
