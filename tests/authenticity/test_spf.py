"""SPF beyond the RFC's own suite: what strangers can publish, what DNS can fail to say, and who is checked."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from relayd.authenticity.results import Result
from relayd.authenticity.spf import check_host
from relayd.authenticity.spf_question import SpfCheck, question
from relayd.dns.records import Answer
from relayd.mail.address import NULL_SENDER, Address, Domain, parse_address
from tests.kit.dns import FakeDns

PEER = "192.0.2.1"


def zone(record: str | bytes, **others: Any) -> FakeDns:
    """``record`` at d.example; others as ``A_host=[…]`` with _ for the dot and .example behind."""
    names = {(f"{key.partition('_')[2]}.example", key.partition("_")[0]): value for key, value in others.items()}
    return FakeDns({("d.example", "TXT"): [record], **names})


async def check(
    dns: FakeDns, *, sender: str = "x@d.example", peer: str = PEER, helo: str = "mta.example", explain: bool = False
) -> SpfCheck:
    who = parse_address(sender) if sender else NULL_SENDER
    return await check_host(dns, question(ip_address(peer), who, helo, "mx.example"), explain=explain)


HOSTILE = {
    "include of itself": (zone("v=spf1 include:d.example -all"), "more than 10 terms"),
    "redirect to itself": (zone("v=spf1 redirect=d.example"), "more than 10 terms"),
    "two that include each other": (
        zone("v=spf1 include:e.example -all", TXT_e=["v=spf1 include:d.example -all"]),
        "more than 10 terms",
    ),
    "eleven terms that ask": (zone("v=spf1 " + "a:h.example " * 11 + "-all", A_h=["192.0.2.9"]), "more than 10"),
    "three that ask in vain": (zone("v=spf1 a:x.example a:y.example a:z.example -all"), "in vain"),
    "thousands of MX": (zone("v=spf1 mx -all", MX_d=[f"1 m{n}.example" for n in range(5000)]), "MX records"),
    "half a megabyte of text": (zone("v=spf1 " + "ip4:192.0.2.9 " * 37_000 + "+all"), "longer than"),
    "a NUL": (zone(b"v=spf1 +all\0"), "all takes no argument"),
    "a NUL in a domain": (zone(b"v=spf1 a:h\0.example +all"), "can't stand there"),
    "octets beyond ASCII": (zone(b"v=spf1 +all exp=\xff.example"), "isn't ASCII"),
    "a macro that keeps nothing": (zone("v=spf1 exists:%{d0}.example +all"), "no part"),
    "a macro with a huge number": (zone(f"v=spf1 exists:%{{d{'9' * 500}}}.x +all redirect=."), "term 3"),
    "an open macro": (zone("v=spf1 exists:%{d.example +all"), "can't stand there"),
    "two records": (FakeDns({("d.example", "TXT"): ["v=spf1 +all", "v=spf1 -all"]}), "more than one"),
    "two redirects": (zone("v=spf1 redirect=a.example redirect=b.example"), "twice"),
}


@pytest.mark.parametrize("case", HOSTILE)
async def test_a_hostile_record_is_a_permanent_error_with_its_reason(case: str) -> None:
    dns, reason = HOSTILE[case]
    found = await check(dns)
    assert (found.spf.result, len(dns.asked) <= 12) == (Result.PERMERROR, True)
    assert reason in found.spf.reason


async def test_a_macro_bomb_grows_no_further_than_a_name() -> None:
    dns = zone("v=spf1 exists:" + "%{s}" * 2000 + ".example -all")
    found = await check(dns, sender=f"{'l' * 60}@d.example")
    assert found.spf.result is Result.FAIL
    assert all(len(name) <= 253 for name, _ in dns.asked)


async def test_a_macro_bomb_of_many_labels_is_cut_to_whole_ones() -> None:
    domain = ".".join(["a"] * 118) + ".d.example"
    dns = FakeDns({(domain, "TXT"): ["v=spf1 exists:" + "%{o}" * 2000 + ".x.example -all"]})
    found = await check(dns, sender=f"l@{domain}")
    name = dns.asked[-1][0]
    assert (found.spf.result, name.endswith("a.a.d.example.x.example"), 250 < len(name) < 254) == (
        Result.FAIL,
        True,
        True,
    )


async def test_pointers_that_lead_to_thousands_of_names_cost_ten_questions() -> None:
    reverse = ("1.2.0.192.in-addr.arpa", "PTR")
    dns = zone("v=spf1 ptr exists:%{p}.x.example -all")
    dns.zone[reverse] = [f"n{number}.example" for number in range(3000)]
    assert (await check(dns)).spf.result is Result.FAIL
    assert len([name for name, kind in dns.asked if kind == "A" and name.startswith("n")]) == 10


@pytest.mark.parametrize("answer", [Answer.TIMEOUT, Answer.FAILED, Answer.BOGUS])
@pytest.mark.parametrize("asked", [("d.example", "TXT"), ("h.example", "A"), ("d.example", "MX"), ("i.example", "TXT")])
async def test_what_dns_does_not_tell_is_a_temporary_error(asked: tuple[str, str], answer: Answer) -> None:
    dns = zone("v=spf1 include:i.example a:h.example mx -all", TXT_i=["v=spf1 -all"], A_h=["192.0.2.9"])
    dns.zone[asked] = answer
    found = await check(dns)
    assert found.spf.result is Result.TEMPERROR
    assert answer in found.spf.reason


async def test_an_error_behind_a_match_is_never_met() -> None:
    dns = zone("v=spf1 ip4:192.0.2.0/24 a:h.example -all", A_h=Answer.TIMEOUT)
    found = await check(dns)
    assert (found.spf.result, found.spf.reason) == (Result.PASS, "ip4:192.0.2.0/24")


@pytest.mark.parametrize(
    ("helo", "expected"),
    [
        ("d.example", Result.FAIL),
        ("D.Example.", Result.FAIL),
        ("nothing.example", Result.NONE),
        ("localhost", Result.NONE),
        ("[192.0.2.1]", Result.NONE),
        ("", Result.NONE),
        ("..", Result.NONE),
        ("a\\.example", Result.NONE),
        ("x" * 300 + ".example", Result.NONE),
        ("é.example", Result.NONE),
    ],
)
async def test_the_null_sender_is_judged_by_what_the_peer_calls_itself(helo: str, expected: Result) -> None:
    found = await check(zone("v=spf1 -all"), sender="", helo=helo)
    assert (found.spf.result, found.spf.helo) == (expected, True)


async def test_an_ipv4_address_in_ipv6_clothes_is_an_ipv4_address() -> None:
    dns = zone("v=spf1 ip6:::/0 -ip4:192.0.2.1 +all")
    assert (await check(dns, peer="::ffff:192.0.2.1")).spf.result is Result.FAIL


@pytest.mark.parametrize(("local", "expected"), [("jan", Result.PASS), ("jürgen", Result.FAIL), ("a\\b", Result.FAIL)])
async def test_a_local_part_that_no_name_can_hold_never_matches(local: str, expected: Result) -> None:
    dns = FakeDns(
        {
            ("d.example", "TXT"): ["v=spf1 exists:%{l}.users.example -all"],
            **{(f"{name}.users.example", "A"): ["127.0.0.2"] for name in ("jan", "jürgen", "a\\b")},
        }
    )
    asked = question(ip_address(PEER), Address(local, Domain("d.example")), "h.example")
    assert (await check_host(dns, asked)).spf.result is expected


async def test_the_explanation_is_fetched_only_for_whoever_wants_it() -> None:
    dns = zone("v=spf1 -all exp=why.example", TXT_why=["%{i} is not a mail server of %{d} (%{r})"])
    assert (await check(dns)).explanation == ""
    assert ("why.example", "TXT") not in dns.asked
    found = await check(dns, explain=True)
    assert found.explanation == "192.0.2.1 is not a mail server of d.example (mx.example)"


@pytest.mark.parametrize(
    "text", [["%{d"], ["one", "two"], [b"caf\xc3\xa9"], [b"a\r\nb"], [b"a\x1b[2Jb"], Answer.TIMEOUT, Answer.NO_NAME]
)
async def test_a_bad_explanation_is_none(text: Any) -> None:
    found = await check(zone("v=spf1 -all exp=why.example", TXT_why=text), explain=True)
    assert (found.spf.result, found.explanation) == (Result.FAIL, "")


async def test_the_walk_says_what_was_looked_at_and_asked() -> None:
    dns = zone("v=spf1 include:i.example a:h.example -all", TXT_i=["v=spf1 ip4:198.51.100.0/24 -all"], A_h=[PEER])
    found = await check(dns)
    assert [(step.depth, step.term, step.outcome) for step in found.steps] == [
        (0, "v=spf1 include:i.example a:h.example -all", "is its record"),
        (0, "include:i.example", "asks i.example"),
        (1, "v=spf1 ip4:198.51.100.0/24 -all", "is its record"),
        (1, "ip4:198.51.100.0/24", "doesn't match"),
        (1, "-all", "matches: fail"),
        (0, "include:i.example", "doesn't match: fail"),
        (0, "a:h.example", "matches: pass"),
    ]
    assert found.steps[-1].asked == ("A of h.example: 1 found",)
    assert (found.lookups, found.void_lookups) == (2, 0)
