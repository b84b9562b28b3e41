"""DMARC: the record, the tree walk with its questions counted, alignment, and what an author's domain asks for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from relayd.authenticity.dmarc import DmarcEvaluation, organisational_domain, walk_names
from relayd.authenticity.dmarc_record import parse_record
from relayd.authenticity.results import Disposition, Dkim, Dmarc, Result, Spf
from relayd.dns.records import Answer
from relayd.mail.address import Domain
from tests.kit.dns import FakeDns

NONE, QUARANTINE, REJECT = Disposition
NO_SPF = Spf(Result.NONE, "elsewhere.test")


def zone(records: dict[str, Any]) -> FakeDns:
    """``records`` by the domain whose _dmarc name has them; an Answer stands for itself."""
    return FakeDns(
        {
            (f"_dmarc.{domain}", "TXT"): record if isinstance(record, Answer | list) else [record]
            for domain, record in records.items()
        }
    )


async def evaluate(
    dns: FakeDns, author: str | Iterable[str] | None, *, spf: str | Spf = "", dkim: Iterable[str | Dkim] = ()
) -> Dmarc:
    authors = [author] if isinstance(author, str) else author
    return await DmarcEvaluation(dns).evaluate(
        None if authors is None else frozenset(map(Domain, authors)),
        spf if isinstance(spf, Spf) else Spf(Result.PASS, spf) if spf else NO_SPF,
        [one if isinstance(one, Dkim) else Dkim(Result.PASS, one) for one in dkim],
    )


# The tree walk


async def test_the_walk_of_the_rfcs_example_asks_eight_questions() -> None:
    dns = zone({})
    assert (await evaluate(dns, "a.b.c.d.e.f.g.h.i.j.mail.example.com")).result is Result.NONE
    assert [name for name, _ in dns.asked] == [
        "_dmarc.a.b.c.d.e.f.g.h.i.j.mail.example.com",
        "_dmarc.g.h.i.j.mail.example.com",
        "_dmarc.h.i.j.mail.example.com",
        "_dmarc.i.j.mail.example.com",
        "_dmarc.j.mail.example.com",
        "_dmarc.mail.example.com",
        "_dmarc.example.com",
        "_dmarc.com",
    ]


@pytest.mark.parametrize("labels", range(1, 40))
def test_no_walk_is_longer_than_eight(labels: int) -> None:
    names = walk_names(".".join(f"l{number}" for number in range(labels)))
    assert len(names) == min(labels, 8)
    assert len(set(names)) == len(names)
    assert all(len(name.split(".")) <= 7 for name in names[1:])


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ({}, "a.mail.example.com"),
        ({"mail.example.com": "v=DMARC1;p=none", "example.com": "v=DMARC1;p=none"}, "example.com"),
        ({"mail.example.com": "v=DMARC1;p=none;psd=n", "example.com": "v=DMARC1;p=none"}, "mail.example.com"),
        ({"com": "v=DMARC1;p=none;psd=y"}, "example.com"),
        ({"example.com": "v=DMARC1;p=none", "com": "v=DMARC1;p=none;psd=y"}, "example.com"),
        ({"a.mail.example.com": "v=DMARC1;p=none;psd=y", "example.com": "v=DMARC1;p=none"}, "a.mail.example.com"),
        ({"a.mail.example.com": "v=DMARC1;p=none"}, "a.mail.example.com"),
        ({"mail.example.com": ["v=DMARC1;p=none", "v=DMARC1;p=none"], "com": "v=DMARC1"}, "com"),
    ],
)
async def test_the_organisational_domain(records: dict[str, Any], expected: str) -> None:
    walked = await DmarcEvaluation(zone(records)).walk("a.mail.example.com")
    assert organisational_domain("a.mail.example.com", walked) == expected


# Which policy applies

POLICIES = [
    ("the domain's own", {"x.example.com": "v=DMARC1;p=reject"}, "x.example.com", REJECT),
    ("its organisational domain's", {"example.com": "v=DMARC1;p=reject"}, "example.com", REJECT),
    ("sp for a subdomain", {"example.com": "v=DMARC1;p=reject;sp=quarantine"}, "example.com", QUARANTINE),
    ("sp doesn't concern the domain itself", {"x.example.com": "v=DMARC1;p=none;sp=reject"}, "x.example.com", NONE),
    ("np for a name that isn't there", {"example.com": "v=DMARC1;p=none;sp=none;np=reject"}, "example.com", REJECT),
    ("the public suffix's", {"com": "v=DMARC1;p=reject;psd=y"}, "com", REJECT),
    ("the organisation before the suffix", {"example.com": "v=DMARC1;p=none", "com": "v=DMARC1;p=reject;psd=y"},
     "example.com", NONE),
    ("test mode: one step less", {"x.example.com": "v=DMARC1;p=reject;t=y"}, "x.example.com", QUARANTINE),
    ("test mode of quarantine", {"x.example.com": "v=DMARC1;p=quarantine;t=y"}, "x.example.com", NONE),
    ("no p but a wish for reports", {"x.example.com": "v=DMARC1;rua=mailto:d@x.example"}, "x.example.com", NONE),
    ("a wrong p and a wish for reports", {"x.example.com": "v=DMARC1;p=refuse;rua=mailto:d@x.example"},
     "x.example.com", NONE),
    ("a wrong sp loses p too", {"x.example.com": "v=DMARC1;p=reject;sp=x;rua=mailto:d@x.example"},
     "x.example.com", NONE),
    ("capitals and blanks", {"x.example.com": "v = DMARC1 ; P = Reject ; "}, "x.example.com", REJECT),
    ("unknown tags", {"x.example.com": "v=DMARC1; pct=20; ri=1; x-y=z; p=reject"}, "x.example.com", REJECT),
    ("the first of two", {"x.example.com": "v=DMARC1;p=reject;p=none"}, "x.example.com", REJECT),
]  # fmt: skip


@pytest.mark.parametrize(("records", "where", "asked"), [one[1:] for one in POLICIES], ids=[one[0] for one in POLICIES])
async def test_what_is_asked_for_when_nobody_stands_behind_it(
    records: dict[str, Any], where: str, asked: Disposition
) -> None:
    found = await evaluate(zone(records), "x.example.com")
    assert (found.result, found.policy_domain, found.disposition) == (Result.FAIL, where, asked)


@pytest.mark.parametrize(
    "record",
    [
        "v=DMARC1",
        "v=DMARC1;p=refuse",
        "v=DMARC1;p=none;sp=x",
        "v=DMARC1;rua=nothing",
        "v=dmarc1;p=reject",
        "p=reject;v=DMARC1",
        "v=DMARC10;p=reject",
        "v=DMARC1 p=reject",
        " v=DMARC1;p=reject",
        b"v=DMARC1\0;p=reject",
        ["v=DMARC1;p=reject", "v=DMARC1;p=reject"],
        Answer.NO_NAME,
        [],
    ],
)
async def test_what_is_no_record(record: Any) -> None:
    assert (await evaluate(zone({"example.com": record}), "example.com")).result is Result.NONE


async def test_an_existing_subdomain_has_sp_and_is_asked_about_only_for_np() -> None:
    dns = zone({"example.com": "v=DMARC1;p=none;sp=quarantine;np=reject"})
    dns.zone["x.example.com", "MX"] = ["10 mx.example.com"]
    assert (await evaluate(dns, "x.example.com")).disposition is QUARANTINE
    dns = zone({"example.com": "v=DMARC1;p=none;sp=quarantine"})
    await evaluate(dns, "x.example.com")
    assert {kind for _, kind in dns.asked} == {"TXT"}


# Alignment

RELAXED = {"example.com": "v=DMARC1;p=reject"}
STRICT = {"example.com": "v=DMARC1;p=reject;adkim=s;aspf=s", "news.example.com": "v=DMARC1;p=reject;adkim=s;aspf=s"}
ALIGNMENT = [
    ("equal", RELAXED, "example.com", "example.com", True),
    ("equal in another case", RELAXED, "example.com", "EXAMPLE.com", True),
    ("both below", RELAXED, "news.example.com", "foo.example.com", True),
    ("the author below", RELAXED, "news.example.com", "example.com", True),
    ("the signer below", RELAXED, "example.com", "foo.example.com", True),
    ("another domain", RELAXED, "news.example.com", "foo.example.net", False),
    ("the same end only", RELAXED, "example.com", "notexample.com", False),
    ("a sibling under the suffix", {**RELAXED, "com": "v=DMARC1;psd=y;p=none"}, "example.com", "other.com", False),
    ("strict and equal", STRICT, "news.example.com", "news.example.com", True),
    ("strict and below", STRICT, "example.com", "news.example.com", False),
    ("strict and above", STRICT, "news.example.com", "example.com", False),
    ("a department of its own", {**RELAXED, "dept.example.com": "v=DMARC1;p=none;psd=n"},
     "example.com", "x.dept.example.com", False),
    ("within the department", {**RELAXED, "dept.example.com": "v=DMARC1;p=none;psd=n"},
     "dept.example.com", "x.dept.example.com", True),
]  # fmt: skip


@pytest.mark.parametrize("case", ALIGNMENT, ids=[one[0] for one in ALIGNMENT])
@pytest.mark.parametrize("by", ["spf", "dkim"])
async def test_alignment(case: tuple[str, dict[str, str], str, str, bool], by: str) -> None:
    _, records, author, signer, aligned = case
    found = await evaluate(
        zone(records), author, spf=signer if by == "spf" else "", dkim=[signer] if by == "dkim" else []
    )
    assert found.result is (Result.PASS if aligned else Result.FAIL)
    assert (found.spf_aligned, found.dkim_aligned) == (aligned and by == "spf", aligned and by == "dkim")


async def test_the_null_senders_identity_is_the_peers_name() -> None:
    spf = Spf(Result.PASS, "mta.example.com", helo=True)
    assert (await evaluate(zone(RELAXED), "example.com", spf=spf)).result is Result.PASS


async def test_only_what_passed_counts() -> None:
    for result in set(Result) - {Result.PASS, Result.TEMPERROR}:
        found = await evaluate(
            zone(RELAXED), "example.com", spf=Spf(result, "example.com"), dkim=[Dkim(result, "example.com")]
        )
        assert found.result is Result.FAIL


async def test_one_aligned_signature_among_five_is_enough_and_costs_few_questions() -> None:
    dns = zone(RELAXED)
    dkim = ["a.test", "b.example.net", "c.d.e.com", "list.example.com", "example.com"]
    assert (await evaluate(dns, "example.com", dkim=dkim)).result is Result.PASS
    # The record, the walk of the author, that of the one signer below it; nobody else's.
    assert [name for name, _ in dns.asked] == ["_dmarc.example.com", "_dmarc.com", "_dmarc.list.example.com"]


# What DNS doesn't tell

SILENT = [Answer.TIMEOUT, Answer.FAILED, Answer.BOGUS]


@pytest.mark.parametrize("answer", SILENT)
async def test_an_unknown_record_is_a_temporary_error_of_which_nothing_is_known(answer: Answer) -> None:
    for where in ("x.example.com", "example.com", "com"):
        found = await evaluate(zone({where: answer}), "x.example.com", dkim=["x.example.com"])
        assert (found.result, found.policy_domain) == (Result.TEMPERROR, "")


async def test_a_key_that_dns_did_not_tell_leaves_an_aligned_signer_open() -> None:
    silent = Dkim(Result.TEMPERROR, "example.com")
    found = await evaluate(zone(RELAXED), "example.com", dkim=[silent])
    assert (found.result, found.disposition) == (Result.TEMPERROR, REJECT)
    assert (await evaluate(zone(RELAXED), "example.com", dkim=[silent], spf="example.com")).result is Result.PASS
    other = Dkim(Result.TEMPERROR, "other.test")
    assert (await evaluate(zone(RELAXED), "example.com", dkim=[other])).result is Result.FAIL


async def test_an_unknown_organisation_of_a_signer_leaves_it_open() -> None:
    dns = zone({**RELAXED, "sub.example.com": Answer.TIMEOUT})
    assert (await evaluate(dns, "example.com", dkim=["sub.example.com"])).result is Result.TEMPERROR


async def test_whether_a_domain_exists_may_be_unknown_too() -> None:
    dns = zone({"example.com": "v=DMARC1;p=none;np=reject"})
    dns.zone["x.example.com", "A"] = Answer.TIMEOUT
    assert (await evaluate(dns, "x.example.com")).result is Result.TEMPERROR


# Authors


@pytest.mark.parametrize("authors", [None, [], ["a.example", "b.example"]])
async def test_without_one_authors_domain_there_is_no_result_and_no_question(authors: list[str] | None) -> None:
    dns = zone(RELAXED)
    assert (await evaluate(dns, authors)).result is Result.PERMERROR
    assert dns.asked == []


# The record's text


def test_what_is_wrong_in_a_record_is_named() -> None:
    record = parse_record(b"v=DMARC1; p=none; pct=5; aspf=x; p=reject; nothing; rua=mailto:\xff@x")
    assert record.tags == (("v", "DMARC1"), ("p", "none"))
    assert record.problems == (
        "pct= is no tag of DMARC",
        "aspf= has an unknown value",
        "p= stands there twice",
        "part 6 is no tag=value",
        "part 7 is no tag=value",
    )


def test_half_a_megabyte_is_read_to_a_bound() -> None:
    record = parse_record(b"v=DMARC1; p=none; " + b"a=b;" * 130_000)
    assert (record.policy(subdomain=False), len(record.problems) < 3000) == (NONE, True)
