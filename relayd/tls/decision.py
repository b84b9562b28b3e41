"""Which TLS each host of a way has to show: ``docs/tls-decision.md`` as code.

Pure: the message's class, what DNS, MTA-STS and the directory say, and the sender's wishes go in; a plan per host comes
out, with its reason in words. Nothing here opens a connection or asks anyone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from relayd.directory.directory import DomainEntry, NtaEntry
from relayd.dns.hosts import HostFacts
from relayd.dns.records import Answer, MailHosts, Validation
from relayd.mail.address import Domain
from relayd.tls.dane import needs_names, usable
from relayd.tls.demand import NO_WISHES, Ignored, Override, Security, TlsDemand, Wishes
from relayd.tls.mta_sts import policy_lines
from relayd.tls.results import Applied, PolicyType, ResultType, told
from relayd.tls.sts_policy import StsMode, StsPolicy

#: Enhanced codes (RFC 3463 §3.5, §3.8).
_LOOK_UP_FAILED: Final = "4.4.3"
_NO_ADDRESS: Final = "4.4.4"
UNPROVEN: Final = "4.7.5"


@dataclass(frozen=True, slots=True)
class HostPlan:
    """One host. With a ``demand`` it may be tried, and ``proven`` says whether meeting it proves that the host is the
    recipient domain's. Without, ``status`` and ``reason`` say why not, and ``failure`` how the daily report calls that.
    """

    host: str
    port: int
    reason: str
    demand: TlsDemand | None = None
    proven: bool = False
    status: str = ""
    failure: ResultType | None = None
    applied: Applied | None = None

    @property
    def undecided(self) -> bool:
        """Whether DNS couldn't be asked, so that the next look may find otherwise."""
        return self.status == _LOOK_UP_FAILED


@dataclass(frozen=True, slots=True)
class World:
    """What is known about a recipient domain that is reached by MX, beyond its hosts."""

    domain: Domain
    mail_hosts: MailHosts
    policy: StsPolicy | None = None
    override: Override | None = None
    validation: Validation = Validation.ON


# by MX


def plan_by_mx(
    world: World, hosts: Iterable[HostFacts], *, confidential: bool, wishes: Wishes = NO_WISHES
) -> tuple[HostPlan, ...]:
    """A plan for each mail host, in their order; two for a host that an MTA-STS policy in mode ``testing`` lists.

    DANE comes first, then an enforced MTA-STS policy, then TLS without proof. Confidential mail, and mail with
    REQUIRETLS (RFC 8689 §4.2.1), go only to hosts that are proven.
    """
    if confidential or wishes.require_tls:
        return tuple(_only_if_proven(_plan(world, facts)) for facts in hosts)
    if wishes.tls_optional:
        words = "the sender says TLS-Required: No, so that neither DANE nor MTA-STS is asked for"
        return tuple(_unless_unreachable(facts) or _encrypted(world, facts, words) for facts in hosts)
    return tuple(plan for facts in hosts for plan in _tested(world, facts, _plan(world, facts)))


def _plan(world: World, facts: HostFacts) -> HostPlan:
    if (unreachable := _unless_unreachable(facts)) is not None:
        return unreachable
    dane, by_sts = _by_dane(world, facts), _by_sts(world, facts)
    if dane is not None and (dane.demand is None or dane.demand.security is Security.DANE):
        # Whoever forges an MX that isn't secure can name a host of his own, with sound TLSA records: there an enforced
        # policy still says which hosts are the domain's. Else what MTA-STS says never overrides DANE (RFC 8461 §2).
        unlisted = by_sts is not None and by_sts.demand is None and not world.mail_hosts.secure
        return by_sts if by_sts is not None and unlisted else dane
    return by_sts or dane or _encrypted(world, facts, _without_proof(world, facts))


def _tested(world: World, facts: HostFacts, plan: HostPlan) -> tuple[HostPlan, ...]:
    """A policy in mode ``testing`` is tried first as if it were enforced, so that its failures can be reported; then
    the mail goes all the same (RFC 8461 §5)."""
    policy = world.policy
    testing = policy is not None and policy.mode is StsMode.TESTING and not _ignores(world.override, Ignored.MTA_STS)
    if policy is None or not testing or plan.applied is None or plan.applied.type is not PolicyType.NONE:
        return (plan,)
    trial = _held_to(policy, facts, "is in mode testing, so that failing it changes nothing")
    if trial.demand is None:
        return (replace(plan, failure=trial.failure, applied=trial.applied),)
    return (trial, replace(plan, applied=None))


def _unless_unreachable(facts: HostFacts) -> HostPlan | None:
    """RFC 7672 §2.1.2: a host about which DNS can't be asked is one that can't be reached."""
    answer = facts.addresses.answer
    if answer is Answer.FOUND:
        return None
    if answer.certain:
        return HostPlan(facts.host, facts.port, f"{facts.host} has no address", status=_NO_ADDRESS)
    failure = ResultType.DNSSEC_INVALID if answer is Answer.BOGUS else None
    words = f"looking up the address of {facts.host} ended in {answer}"
    return HostPlan(facts.host, facts.port, words, status=_LOOK_UP_FAILED, failure=failure)


def _by_dane(world: World, facts: HostFacts) -> HostPlan | None:
    """What DANE says; None when it says nothing."""
    tlsa = facts.tlsa
    if tlsa is None or _ignores(world.override, Ignored.DANE) or world.validation is Validation.OFF:
        return None
    if not tlsa.answer.certain:
        return _tlsa_unknown(world.domain, facts, tlsa.answer)
    if not tlsa.secure or not tlsa.values:
        return None
    if world.validation is Validation.UNTESTED:
        words = f"{facts.host} has TLSA records, and whether the resolver validates isn't known yet"
        return HostPlan(facts.host, facts.port, words, status=_LOOK_UP_FAILED)
    records = usable(tlsa.values)
    applied = Applied(world.domain, PolicyType.TLSA, told(map(str, tlsa.values)))
    if not records:
        # RFC 7672 §2.2: records say that there is TLS, even where none of them can prove anything.
        words = f"{facts.host} has TLSA records, none of them usable: TLS is demanded, and nothing can prove the host"
        return HostPlan(facts.host, facts.port, words, TlsDemand(Security.ENCRYPTED, reason=words), applied=applied)
    named_by_sts = world.policy is not None and _enforced(world) and world.policy.covers(facts.host)
    proven = world.mail_hosts.secure or named_by_sts
    how = "" if proven else "; the MX answer isn't secure, so that the host's name isn't proven"
    words = f"DANE: {facts.host} has {len(records)} usable TLSA record{'' if len(records) == 1 else 's'}{how}"
    demand = _dane_demand(facts, _next_hop_names(world), words)
    return HostPlan(facts.host, facts.port, words, demand, proven, applied=applied)


def _tlsa_unknown(domain: Domain, facts: HostFacts, answer: Answer) -> HostPlan:
    words = f"looking up the TLSA records of {facts.host} ended in {answer}: it may have DANE"
    failure = ResultType.DNSSEC_INVALID if answer is Answer.BOGUS else None
    return HostPlan(
        facts.host, facts.port, words, status=_LOOK_UP_FAILED, failure=failure, applied=Applied(domain, PolicyType.TLSA)
    )


def _dane_demand(facts: HostFacts, next_hop_names: tuple[str, ...], words: str) -> TlsDemand:
    """The demand of usable records. Names matter only below a trust anchor: the base domain, the host, and the names
    under which it was looked for (RFC 7672 §3.2.2). The server is asked for the base domain (RFC 7672 §8.1)."""
    assert facts.tlsa is not None
    records = usable(facts.tlsa.values)
    names = tuple(dict.fromkeys((facts.base, facts.host, *next_hop_names))) if needs_names(records) else ()
    return TlsDemand(Security.DANE, names, tlsa=records, server_name=facts.base, reason=words)


def _next_hop_names(world: World) -> tuple[str, ...]:
    """The domain's own names count as long as nobody can have forged the way from them to the host."""
    found = world.mail_hosts
    if not found.secure:
        return ()
    return (str(world.domain), found.canonical) if found.canonical else (str(world.domain),)


def _by_sts(world: World, facts: HostFacts) -> HostPlan | None:
    """What an enforced MTA-STS policy says; None when there is none."""
    return _held_to(world.policy, facts, "is enforced") if world.policy is not None and _enforced(world) else None


def _held_to(policy: StsPolicy, facts: HostFacts, mode: str) -> HostPlan:
    """The host must be listed, and its certificate prove its name under a CA (RFC 8461 §4.1, §4.2)."""
    applied = Applied(policy.domain, PolicyType.STS, told(policy_lines(policy)), told(policy.mx))
    if not policy.covers(facts.host):
        words = f"the MTA-STS policy of {policy.domain} doesn't list {facts.host}"
        failure = ResultType.VALIDATION_FAILURE
        return HostPlan(facts.host, facts.port, words, status=UNPROVEN, failure=failure, applied=applied)
    words = f"MTA-STS: the policy of {policy.domain} lists {facts.host} and {mode}"
    demand = TlsDemand(Security.VERIFIED, (facts.host,), reason=words)
    return HostPlan(facts.host, facts.port, words, demand, proven=True, applied=applied)


def _enforced(world: World) -> bool:
    policy = world.policy
    return policy is not None and policy.mode is StsMode.ENFORCE and not _ignores(world.override, Ignored.MTA_STS)


def _encrypted(world: World, facts: HostFacts, words: str) -> HostPlan:
    """TLS with any certificate."""
    demand = TlsDemand(Security.ENCRYPTED, reason=words)
    return HostPlan(facts.host, facts.port, words, demand, applied=Applied(world.domain))


def _without_proof(world: World, facts: HostFacts) -> str:
    """Why nothing proves a host, in words."""
    causes: list[str] = []
    if world.override is not None:
        causes.append(str(world.override))
    if world.validation is Validation.OFF:
        causes.append("the resolver doesn't validate, so that DANE is off")
    elif not _ignores(world.override, Ignored.DANE):
        causes.append("no secure TLSA record" if facts.tlsa is not None else "its name isn't in a secure zone")
    if world.policy is None:
        causes.append("no MTA-STS policy")
    elif not _ignores(world.override, Ignored.MTA_STS):
        causes.append(f"its MTA-STS policy has mode {world.policy.mode}")
    return f"nothing proves {facts.host}: {'; '.join(causes)}"


def _only_if_proven(plan: HostPlan) -> HostPlan:
    if plan.proven or plan.demand is None:
        return plan
    return replace(plan, demand=None, status=UNPROVEN)


def _ignores(override: Override | None, what: Ignored) -> bool:
    return override is not None and what in override.ignore


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether confidential mail may go to a domain by MX. ``proven`` is None when DNS can't tell now."""

    proven: bool | None
    reason: str


def standing(plans: Sequence[HostPlan]) -> Standing:
    """What plans for confidential mail come to: one proven host is a way; one that couldn't be asked about leaves it
    open."""
    for plan in plans:
        if plan.demand is not None:
            return Standing(True, plan.reason)
    for plan in plans:
        if plan.undecided:
            return Standing(None, plan.reason)
    return Standing(False, plans[0].reason if plans else "it has no mail host")


# by the directory


def demand_for_domain(entry: DomainEntry, host: str) -> TlsDemand:
    """A next hop of the domainbook without ``dane``. Only ``insecure_plaintext: true`` gives up the proof."""
    if entry.insecure_plaintext:
        return TlsDemand(Security.OFFERED, reason=f"the domainbook allows plain text for {entry.domain}")
    what = "a pin" if entry.pins else "a name"
    words = f"the domainbook names {host} for {entry.domain}; its certificate proves {what}"
    return TlsDemand(Security.VERIFIED, entry.tls_names or (host,), entry.pins, entry.ca_file, reason=words)


def demand_for_nta(entry: NtaEntry, host: str) -> TlsDemand:
    """A host of a local NTA 7516 entry: always proven."""
    words = f"the local NTA 7516 register names {host} for {entry.domain}"
    return TlsDemand(Security.VERIFIED, entry.tls_names or (host,), (), entry.ca_file, reason=words)


def plan_mandatory_dane(domain: Domain, facts: HostFacts, why: str, validation: Validation) -> HostPlan:
    """A host that must be proven by DANE: one of the domainbook with ``dane: true``, or of an NTA 7516 record. Nothing
    else will do, and whatever is missing makes the delivery wait. ``why`` begins the reason."""
    if (unreachable := _unless_unreachable(facts)) is not None:
        return unreachable
    tlsa = facts.tlsa
    if tlsa is not None and not tlsa.answer.certain:
        return _tlsa_unknown(domain, facts, tlsa.answer)
    applied = Applied(domain, PolicyType.TLSA, told(map(str, tlsa.values)) if tlsa is not None else ())
    missing, failure = "", ResultType.DANE_REQUIRED
    if validation is not Validation.ON:
        missing = "the resolver isn't known to validate"
    elif tlsa is None or not tlsa.secure or not tlsa.values:
        missing = "it has no secure TLSA record"
    elif not usable(tlsa.values):
        missing, failure = "none of its TLSA records is usable", ResultType.TLSA_INVALID
    if missing:
        words = f"{why}, which demands DANE of {facts.host}, and {missing}"
        return HostPlan(facts.host, facts.port, words, status=UNPROVEN, failure=failure, applied=applied)
    words = f"{why}, which demands DANE of {facts.host}"
    return HostPlan(facts.host, facts.port, words, _dane_demand(facts, (), words), proven=True, applied=applied)


def demand_for_notice(*, allow_plaintext: bool) -> TlsDemand:
    """Notifications and reports without content."""
    if allow_plaintext:
        return TlsDemand(Security.OFFERED, reason="a notice, which may go in plain text by notices.allow_plaintext")
    return TlsDemand(Security.ENCRYPTED, reason="a notice: TLS with any certificate")
