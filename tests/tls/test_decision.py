"""Which TLS a host must show, a row for each rule. A row's name begins with the section that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import pytest

from relayd.dns.hosts import HostFacts
from relayd.dns.records import Addresses, Answer, MailHosts, Records, Tlsa, Validation
from relayd.mail.address import Domain
from relayd.tls.decision import HostPlan, Standing, World, plan_by_mx, plan_mandatory_dane, standing
from relayd.tls.demand import Ignored, Override, Security, Wishes
from relayd.tls.results import PolicyType, ResultType
from relayd.tls.sts_policy import StsMode, StsPolicy

ORG = Domain("example.org")
MX = "mx.example.org"
GOOD = Tlsa(3, 1, 1, bytes(32))
ANCHOR = Tlsa(2, 0, 1, bytes(32))
UNUSABLE = Tlsa(1, 1, 1, bytes(32))
REQUIRE, OPTIONAL = Wishes(require_tls=True), Wishes(tls_optional=True)
row = pytest.param


def host(
    name: str = MX,
    *tlsa: Tlsa,
    answer: Answer = Answer.FOUND,
    address: Answer = Answer.FOUND,
    secure: bool = True,
    asked: bool = True,
    base: str = "",
) -> HostFacts:
    """A host with these TLSA records; without any the answer is that there are none."""
    found = Addresses(address, ("192.0.2.1",) if address is Answer.FOUND else (), secure, name)
    if not tlsa and answer is Answer.FOUND:
        answer = Answer.NO_NAME
    records = Records(answer, tlsa, secure and answer.certain, f"_25._tcp.{name}") if asked else None
    return HostFacts(name, 25, found, base or name, records)


UNSIGNED = host(asked=False, secure=False)
DANE = host(MX, GOOD)


def sts(mode: StsMode = StsMode.ENFORCE, *mx: str) -> StsPolicy:
    return StsPolicy(ORG, "1", mode, mx or (MX,), 86400)


def world(policy: StsPolicy | None = None, *, secure: bool = True, **other: object) -> World:
    found = MailHosts(Answer.FOUND, (MX,), secure=secure, canonical=str(ORG))
    return World(ORG, found, policy, **other)  # type: ignore[arg-type]


def override(*ignore: Ignored) -> Override:
    return Override(frozenset(ignore), "their signer is broken", date(2030, 1, 31))


def told(plans: Sequence[HostPlan]) -> list[Security | str]:
    return [plan.demand.security if plan.demand is not None else plan.status for plan in plans]


WAIT, UNPROVEN = "4.4.3", "4.7.5"
ENFORCE, TESTING, NONE = StsMode.ENFORCE, StsMode.TESTING, StsMode.NONE
S = Security

#: What is known; one host; what becomes of ordinary mail, of confidential mail, of ordinary mail with REQUIRETLS, and
#: with TLS-Required: No.
BY_MX = [
    row(world(), DANE, S.DANE, S.DANE, S.DANE, S.ENCRYPTED, id="RFC 7672 §2.2: secure and usable"),
    row(world(), host(MX, ANCHOR), S.DANE, S.DANE, S.DANE, S.ENCRYPTED, id="RFC 7672 §3.1.2: a trust anchor"),
    row(world(), host(MX, UNUSABLE, GOOD), S.DANE, S.DANE, S.DANE, S.ENCRYPTED,
        id="RFC 7672 §3.1.3: mixed, one usable"),
    row(world(), host(MX, UNUSABLE), S.ENCRYPTED, UNPROVEN, UNPROVEN, S.ENCRYPTED,
        id="RFC 7672 §2.2: none usable: TLS is a must"),
    row(world(sts()), host(MX, UNUSABLE), S.VERIFIED, S.VERIFIED, S.VERIFIED, S.ENCRYPTED,
        id="RFC 8461 §2: MTA-STS beside unusable records"),
    row(world(), host(), S.ENCRYPTED, UNPROVEN, UNPROVEN, S.ENCRYPTED, id="RFC 7672 §2.2: securely none"),
    row(world(), host(MX, GOOD, secure=False), S.ENCRYPTED, UNPROVEN, UNPROVEN, S.ENCRYPTED,
        id="RFC 7672 §2.2: records that aren't secure"),
    row(world(), UNSIGNED, S.ENCRYPTED, UNPROVEN, UNPROVEN, S.ENCRYPTED, id="RFC 7672 §2.2: an unsigned host"),
    row(world(secure=False), DANE, S.DANE, UNPROVEN, UNPROVEN, S.ENCRYPTED,
        id="RFC 7672 §2.2.1: MX not secure, so not proven"),
    row(world(sts(), secure=False), DANE, S.DANE, S.DANE, S.DANE, S.ENCRYPTED,
        id="RFC 8461 §2: MTA-STS names it, DANE proves it"),
    row(world(sts(ENFORCE, "other.example"), secure=False), DANE, UNPROVEN, UNPROVEN, UNPROVEN, S.ENCRYPTED,
        id="RFC 8461 §4.1: a forged MX with DANE of its own"),
    row(world(sts(TESTING, "other.example"), secure=False), DANE, S.DANE, UNPROVEN, UNPROVEN, S.ENCRYPTED,
        id="RFC 7672 §2.2.1: DANE beside a policy in testing"),
    row(world(sts(ENFORCE, "other.example")), DANE, S.DANE, S.DANE, S.DANE, S.ENCRYPTED,
        id="RFC 8461 §2: DANE before MTA-STS"),
    row(world(), host(answer=Answer.BOGUS), WAIT, WAIT, WAIT, S.ENCRYPTED, id="RFC 7672 §2.1.2: TLSA bogus"),
    row(world(), host(answer=Answer.FAILED), WAIT, WAIT, WAIT, S.ENCRYPTED, id="RFC 7672 §2.1.2: TLSA SERVFAIL"),
    row(world(), host(answer=Answer.TIMEOUT), WAIT, WAIT, WAIT, S.ENCRYPTED, id="RFC 7672 §2.1.2: TLSA timeout"),
    row(world(sts()), host(answer=Answer.BOGUS), WAIT, WAIT, WAIT, S.ENCRYPTED,
        id="RFC 8461 §2: MTA-STS is no way around"),
    row(world(sts()), host(asked=False, address=Answer.BOGUS), WAIT, WAIT, WAIT, WAIT,
        id="RFC 7672 §2.1.2: address bogus"),
    row(world(sts()), host(asked=False, address=Answer.FAILED), WAIT, WAIT, WAIT, WAIT,
        id="RFC 7672 §2.1.2: address SERVFAIL"),
    row(world(), host(asked=False, address=Answer.NO_NAME), "4.4.4", "4.4.4", "4.4.4", "4.4.4",
        id="RFC 5321 §5.1: no address"),
    row(world(sts()), UNSIGNED, S.VERIFIED, S.VERIFIED, S.VERIFIED, S.ENCRYPTED, id="RFC 8461 §5: enforce"),
    row(world(sts(), secure=False), UNSIGNED, S.VERIFIED, S.VERIFIED, S.VERIFIED, S.ENCRYPTED,
        id="RFC 8461 §4.1: needs no DNSSEC"),
    row(world(sts(ENFORCE, "*.example.org")), UNSIGNED, S.VERIFIED, S.VERIFIED, S.VERIFIED, S.ENCRYPTED,
        id="RFC 8461 §4.1: a wildcard"),
    row(world(sts(ENFORCE, "other.example")), UNSIGNED, UNPROVEN, UNPROVEN, UNPROVEN, S.ENCRYPTED,
        id="RFC 8461 §4.1: not listed"),
    row(world(sts(TESTING)), UNSIGNED, [S.VERIFIED, S.ENCRYPTED], UNPROVEN, UNPROVEN, S.ENCRYPTED,
        id="RFC 8461 §5: testing"),
    row(world(sts(TESTING, "other.example")), UNSIGNED, S.ENCRYPTED, UNPROVEN, UNPROVEN, S.ENCRYPTED,
        id="RFC 8461 §5: testing, not listed"),
    row(world(sts(TESTING)), DANE, S.DANE, S.DANE, S.DANE, S.ENCRYPTED, id="RFC 8461 §2: testing beside DANE"),
    row(world(sts(NONE)), UNSIGNED, S.ENCRYPTED, UNPROVEN, UNPROVEN, S.ENCRYPTED, id="RFC 8461 §5: none"),
    row(world(override=override(Ignored.DANE)), DANE, S.ENCRYPTED, UNPROVEN, UNPROVEN, S.ENCRYPTED,
        id="an override of DANE"),
    row(world(override=override(Ignored.DANE)), host(answer=Answer.BOGUS), S.ENCRYPTED, UNPROVEN, UNPROVEN, S.ENCRYPTED,
        id="an override of broken DANE"),
    row(world(sts(), override=override(Ignored.DANE)), DANE, S.VERIFIED, S.VERIFIED, S.VERIFIED, S.ENCRYPTED,
        id="an override of DANE beside MTA-STS"),
    row(world(sts(), override=override(Ignored.MTA_STS)), UNSIGNED, S.ENCRYPTED, UNPROVEN, UNPROVEN, S.ENCRYPTED,
        id="an override of MTA-STS"),
    row(world(sts(), override=override(Ignored.MTA_STS)), DANE, S.DANE, S.DANE, S.DANE, S.ENCRYPTED,
        id="an override of MTA-STS beside DANE"),
    row(world(sts(TESTING), override=override(Ignored.MTA_STS)), UNSIGNED, S.ENCRYPTED, UNPROVEN, UNPROVEN, S.ENCRYPTED,
        id="an override of testing"),
    row(world(sts(), override=override(*Ignored)), DANE, S.ENCRYPTED, UNPROVEN, UNPROVEN, S.ENCRYPTED,
        id="an override of both"),
    row(world(validation=Validation.OFF), DANE, S.ENCRYPTED, UNPROVEN, UNPROVEN, S.ENCRYPTED,
        id="the resolver doesn't validate"),
    row(world(sts(), validation=Validation.OFF), DANE, S.VERIFIED, S.VERIFIED, S.VERIFIED, S.ENCRYPTED,
        id="MTA-STS with a resolver that doesn't validate"),
    row(world(validation=Validation.UNTESTED), DANE, WAIT, WAIT, WAIT, S.ENCRYPTED,
        id="a resolver not tested yet: DANE waits"),
    row(world(validation=Validation.UNTESTED), host(), S.ENCRYPTED, UNPROVEN, UNPROVEN, S.ENCRYPTED,
        id="a resolver not tested yet, without DANE"),
]  # fmt: skip


@pytest.mark.parametrize(("known", "facts", "ordinary", "confidential", "require_tls", "tls_optional"), BY_MX)
def test_by_mx(
    known: World,
    facts: HostFacts,
    ordinary: Security | str | list[Security | str],
    confidential: Security | str,
    require_tls: Security | str,
    tls_optional: Security | str,
) -> None:
    expected = ordinary if isinstance(ordinary, list) else [ordinary]
    assert told(plan_by_mx(known, [facts], confidential=False)) == expected
    assert told(plan_by_mx(known, [facts], confidential=True)) == [confidential]
    assert told(plan_by_mx(known, [facts], confidential=False, wishes=REQUIRE)) == [require_tls]
    assert told(plan_by_mx(known, [facts], confidential=False, wishes=OPTIONAL)) == [tls_optional]


@pytest.mark.parametrize(("known", "facts"), [row(*case.values[:2], id=str(case.id)) for case in BY_MX])
def test_what_holds_for_every_row(known: World, facts: HostFacts) -> None:
    for confidential in (False, True):
        for wishes in (Wishes(), REQUIRE, OPTIONAL):
            for plan in plan_by_mx(known, [facts], confidential=confidential, wishes=wishes):
                assert plan.reason
                assert bool(plan.status) is (plan.demand is None)
                assert plan.demand is None or plan.demand.security is not Security.OFFERED
                assert plan.demand is None or plan.proven or not (confidential or wishes.require_tls)
    # TLS-Required: No means nothing to confidential mail.
    relaxed = plan_by_mx(known, [facts], confidential=True, wishes=OPTIONAL)
    assert relaxed == plan_by_mx(known, [facts], confidential=True)


@pytest.mark.parametrize(
    ("facts", "secure", "names", "server_name"),
    [
        row(host(MX, GOOD), True, (), MX, id="RFC 7672 §3.2.1: usage 3 asks for no name"),
        row(host(MX, ANCHOR), True, (MX, "example.org"), MX, id="RFC 7672 §3.2.2: host and next-hop domain"),
        row(host(MX, ANCHOR), False, (MX,), MX, id="RFC 7672 §3.2.2: only the host where the MX isn't secure"),
        row(
            host(MX, ANCHOR, base="a.example.net"), True, ("a.example.net", MX, "example.org"), "a.example.net",
            id="RFC 7672 §3.2.2, §8.1: base domain, host and next-hop domain",
        ),
    ],
)  # fmt: skip
def test_the_names_that_count_and_the_one_that_is_asked_for(
    facts: HostFacts, secure: bool, names: tuple[str, ...], server_name: str
) -> None:
    (plan,) = plan_by_mx(world(secure=secure), [facts], confidential=False)
    assert plan.demand is not None
    assert (plan.demand.names, plan.demand.server_name) == (names, server_name)


def test_the_alias_of_a_domain_is_one_of_its_names() -> None:
    known = replace(world(), mail_hosts=MailHosts(Answer.FOUND, (MX,), secure=True, canonical="real.example.com"))
    (plan,) = plan_by_mx(known, [host(MX, ANCHOR)], confidential=False)
    assert plan.demand is not None
    assert plan.demand.names == (MX, "example.org", "real.example.com")


SECOND = "mx2.example.org"


@pytest.mark.parametrize(
    ("hosts", "ordinary", "confidential"),
    [
        row([DANE, host(SECOND)], [S.DANE, S.ENCRYPTED], [S.DANE, UNPROVEN], id="one of two has DANE"),
        row([host(answer=Answer.BOGUS), host(SECOND, GOOD)], [WAIT, S.DANE], [WAIT, S.DANE], id="the other one waits"),
        row([UNSIGNED, host(SECOND)], [S.ENCRYPTED, S.ENCRYPTED], [UNPROVEN, UNPROVEN], id="neither"),
    ],
)
def test_each_host_is_decided_by_itself(
    hosts: list[HostFacts], ordinary: list[object], confidential: list[object]
) -> None:
    assert told(plan_by_mx(world(), hosts, confidential=False)) == ordinary
    assert told(plan_by_mx(world(), hosts, confidential=True)) == confidential


@pytest.mark.parametrize(
    ("known", "hosts", "proven"),
    [
        row(world(), [DANE], True, id="DANE"),
        row(world(sts()), [UNSIGNED], True, id="MTA-STS"),
        row(world(), [UNSIGNED, host(SECOND, GOOD)], True, id="one of two"),
        row(world(), [UNSIGNED], False, id="neither"),
        row(world(), [host(answer=Answer.TIMEOUT)], None, id="can't tell"),
        row(world(), [UNSIGNED, host(SECOND, answer=Answer.BOGUS)], None, id="one can't tell"),
        row(world(validation=Validation.UNTESTED), [DANE], None, id="not tested yet"),
        row(world(), [], False, id="no host"),
    ],
)
def test_whether_a_domain_can_have_confidential_mail_by_mx(
    known: World, hosts: list[HostFacts], proven: bool | None
) -> None:
    found = standing(plan_by_mx(known, hosts, confidential=True))
    assert isinstance(found, Standing)
    assert found.proven is proven
    assert found.reason


@pytest.mark.parametrize(
    ("facts", "validation", "expected", "failure"),
    [
        row(DANE, Validation.ON, S.DANE, None, id="secure and usable"),
        row(host(), Validation.ON, UNPROVEN, ResultType.DANE_REQUIRED, id="securely none"),
        row(UNSIGNED, Validation.ON, UNPROVEN, ResultType.DANE_REQUIRED, id="an unsigned host"),
        row(host(MX, GOOD, secure=False), Validation.ON, UNPROVEN, ResultType.DANE_REQUIRED, id="not secure"),
        row(host(MX, UNUSABLE), Validation.ON, UNPROVEN, ResultType.TLSA_INVALID, id="none usable"),
        row(host(answer=Answer.BOGUS), Validation.ON, WAIT, ResultType.DNSSEC_INVALID, id="TLSA bogus"),
        row(host(answer=Answer.FAILED), Validation.ON, WAIT, None, id="TLSA SERVFAIL"),
        row(
            host(asked=False, address=Answer.BOGUS), Validation.ON, WAIT, ResultType.DNSSEC_INVALID, id="address bogus"
        ),
        row(DANE, Validation.OFF, UNPROVEN, ResultType.DANE_REQUIRED, id="the resolver doesn't validate"),
        row(DANE, Validation.UNTESTED, UNPROVEN, ResultType.DANE_REQUIRED, id="not tested yet"),
    ],
)
def test_where_dane_is_demanded_nothing_else_will_do(
    facts: HostFacts, validation: Validation, expected: Security | str, failure: ResultType | None
) -> None:
    plan = plan_mandatory_dane(ORG, facts, "the register says so", validation)
    assert told([plan]) == [expected]
    assert plan.failure is failure
    assert plan.proven is (expected is Security.DANE)


@pytest.mark.parametrize(
    ("known", "facts", "expected"),
    [
        row(world(), DANE, [(PolicyType.TLSA, None)], id="DANE"),
        row(world(), host(MX, UNUSABLE), [(PolicyType.TLSA, None)], id="unusable"),
        row(world(), host(answer=Answer.BOGUS), [(PolicyType.TLSA, ResultType.DNSSEC_INVALID)], id="bogus"),
        row(world(sts()), UNSIGNED, [(PolicyType.STS, None)], id="MTA-STS"),
        row(world(sts(ENFORCE, "x.example")), UNSIGNED, [(PolicyType.STS, ResultType.VALIDATION_FAILURE)],
            id="not listed"),
        row(world(sts(TESTING)), UNSIGNED, [(PolicyType.STS, None), (None, None)], id="testing, told once"),
        row(
            world(sts(TESTING, "x.example")), UNSIGNED, [(PolicyType.STS, ResultType.VALIDATION_FAILURE)],
            id="testing, not listed",
        ),
        row(world(), UNSIGNED, [(PolicyType.NONE, None)], id="no policy"),
    ],
)  # fmt: skip
def test_what_the_daily_report_is_told(
    known: World, facts: HostFacts, expected: list[tuple[PolicyType | None, ResultType | None]]
) -> None:
    plans = plan_by_mx(known, [facts], confidential=False)
    assert [(plan.applied.type if plan.applied else None, plan.failure) for plan in plans] == expected


def test_the_daily_report_isnt_told_all_of_a_policy_as_large_as_can_be() -> None:
    patterns = (MX, *(f"mx{number}.example" for number in range(5000)))
    (plan,) = plan_by_mx(world(sts(ENFORCE, *patterns)), [UNSIGNED], confidential=False)
    assert plan.applied is not None
    assert (len(plan.applied.policy), len(plan.applied.mx_patterns)) == (20, 20)
