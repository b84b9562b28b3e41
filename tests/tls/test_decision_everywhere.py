"""What must hold of the decision whatever is published: every combination of what can be known, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import product
from typing import NamedTuple

from relayd.dns.hosts import HostFacts
from relayd.dns.records import Addresses, Answer, MailHosts, Records, Tlsa, Validation
from relayd.mail.address import Domain
from relayd.tls.decision import HostPlan, World, plan_by_mx
from relayd.tls.demand import NO_WISHES, Ignored, Override, Security, Wishes
from relayd.tls.sts_policy import StsMode, StsPolicy

ORG, MX = Domain("example.org"), "mx.example.org"
USABLE, UNUSABLE = Tlsa(3, 1, 1, bytes(32)), Tlsa(1, 1, 1, bytes(32))
WISHES = (NO_WISHES, Wishes(require_tls=True), Wishes(tls_optional=True))
IGNORED = (frozenset(), {Ignored.DANE}, {Ignored.MTA_STS}, {*Ignored})


class Case(NamedTuple):
    """One combination. ``tlsa`` is None where the records weren't asked for."""

    world: World
    facts: HostFacts
    confidential: bool
    wishes: Wishes

    @property
    def plans(self) -> tuple[HostPlan, ...]:
        return plan_by_mx(self.world, [self.facts], confidential=self.confidential, wishes=self.wishes)

    @property
    def ignored(self) -> frozenset[Ignored]:
        return self.world.override.ignore if self.world.override else frozenset()

    @property
    def needs_proof(self) -> bool:
        return self.confidential or self.wishes.require_tls

    @property
    def relaxed(self) -> bool:
        return self.wishes.tls_optional and not self.needs_proof

    @property
    def dane_counts(self) -> bool:
        """Whether what DNS says of TLSA records is of account."""
        return not self.relaxed and Ignored.DANE not in self.ignored and self.world.validation is not Validation.OFF

    @property
    def enforced(self) -> StsPolicy | None:
        policy = self.world.policy
        counts = policy is not None and policy.mode is StsMode.ENFORCE and Ignored.MTA_STS not in self.ignored
        return policy if counts and not self.relaxed else None


def cases() -> Iterator[Case]:
    answers: list[Records[Tlsa] | None] = [None, *(Records(answer) for answer in Answer if answer is not Answer.FOUND)]
    answers += [Records(Answer.FOUND, tlsa, secure) for tlsa in ((USABLE,), (UNUSABLE,)) for secure in (True, False)]
    policies = [None, *(StsPolicy(ORG, "1", mode, (mx,), 9) for mode in StsMode for mx in (MX, "other.example"))]
    for answer, tlsa, secure, policy, ignored, validation, confidential, wishes in product(
        Answer, answers, (True, False), policies, IGNORED, Validation, (True, False), WISHES
    ):
        addresses = Addresses(answer, ("192.0.2.1",) if answer is Answer.FOUND else (), True, MX)
        override = Override(frozenset(ignored), "a reason", date(2030, 1, 1)) if ignored else None
        world = World(ORG, MailHosts(Answer.FOUND, (MX,), secure=secure), policy, override, validation)
        yield Case(world, HostFacts(MX, 25, addresses, MX, tlsa), confidential, wishes)


def demands(case: Case) -> list[Security]:
    return [plan.demand.security for plan in case.plans if plan.demand is not None]


def test_no_combination_breaks_a_promise() -> None:
    seen = 0
    for case in cases():
        plans, demanded, tlsa = case.plans, demands(case), case.facts.tlsa
        seen += 1
        # There is always a plan, it says why, and it never allows plain text.
        assert plans
        assert all(plan.reason and bool(plan.status) is (plan.demand is None) for plan in plans), case
        assert Security.OFFERED not in demanded, case
        # RFC 7672 §2.1.2: an address that can't be asked is no way.
        assert demanded == [] or case.facts.addresses.answer is Answer.FOUND, case
        # Confidential mail, and REQUIRETLS, go to proven hosts only.
        if case.needs_proof:
            assert all(plan.proven for plan in plans if plan.demand is not None), case
            assert set(demanded) <= {Security.DANE, Security.VERIFIED}, case
        # RFC 7672 §2.1.2: TLSA records that can't be asked for are never "none".
        if case.dane_counts and tlsa is not None and not tlsa.answer.certain:
            assert demanded == [], case
        # RFC 7672 §2.2: usable secure records are binding.
        if case.dane_counts and tlsa is not None and tlsa.secure and USABLE in tlsa.values:
            assert set(demanded) <= {Security.DANE}, case
        # RFC 8461 §5: so is an enforced policy, unless DANE behind a secure MX stands before it.
        if (policy := case.enforced) is not None and not (case.world.mail_hosts.secure and Security.DANE in demanded):
            assert policy.covers(MX) or demanded == [], case
            assert Security.ENCRYPTED not in demanded, case
        # DANE is never demanded of what nothing secure says.
        if Security.DANE in demanded:
            assert case.world.validation is Validation.ON, case
            assert tlsa is not None, case
            assert tlsa.secure, case
    assert seen > 30_000


def test_an_override_takes_proofs_away_and_adds_none() -> None:
    for case in cases():
        if not case.ignored or not case.needs_proof:
            continue
        without = case._replace(world=World(ORG, case.world.mail_hosts, case.world.policy, None, case.world.validation))
        # Where nothing could be proven before, nothing can now, unless it was DANE that stood in the way of MTA-STS.
        if not demands(without) and demands(case):
            assert Ignored.DANE in case.ignored, case
            assert demands(case) == [Security.VERIFIED], case
