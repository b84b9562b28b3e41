"""One message's authentication: what is asked, when, and how often."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from relayd.authenticity.authenticator import MessageAuthenticator
from relayd.authenticity.results import Result
from relayd.directory.directory import Origin, Via
from relayd.dns.records import Answer, Records
from relayd.telemetry.metrics import AUTHENTICITY, Board
from tests.kit.dkim import RECORD, signed
from tests.kit.dns import FakeDns
from tests.kit.judging import FrozenClock, mail

MESSAGE = b"From: x@green.example\r\nTo: y@x.example\r\nSubject: Hi\r\n\r\nHello\r\n"


def zone(**others: object) -> FakeDns:
    return FakeDns(
        {
            ("green.example", "TXT"): ["v=spf1 ip4:203.0.113.0/24 -all"],
            ("_dmarc.green.example", "TXT"): ["v=DMARC1; p=reject"],
            ("s._domainkey.green.example", "TXT"): [RECORD],
        }
    )


def authenticator(dns: FakeDns) -> MessageAuthenticator:
    return MessageAuthenticator(dns, FrozenClock())


async def test_all_of_it_once() -> None:
    dns = zone()
    one = authenticator(dns)
    message = mail(signed(MESSAGE), sender="x@green.example")
    assert one.known is None
    found = await one.authenticate(message)
    assert found.spf.result is found.dkim[0].result is found.dmarc.result is Result.PASS
    assert (found.dmarc.spf_aligned, found.dmarc.dkim_aligned) == (True, True)
    assert found.signers == await one.signers(message) == {"green.example"}
    assert await one.authenticate(message) is one.known is found
    assert len(dns.asked) == len(set(dns.asked)) == 3


async def test_results_are_counted_once_for_a_message() -> None:
    board = Board(["worker"])
    board.count_here("worker")
    one = authenticator(zone())
    message = mail(MESSAGE, sender="x@green.example")
    await one.authenticate(message)
    await one.authenticate(message)
    counted = {labels: count for labels, count in board.values(AUTHENTICITY).items() if count}
    assert counted == {("spf", "pass"): 1, ("dkim", "none"): 1, ("dmarc", "pass"): 1, ("arc", "none"): 1}


async def test_before_the_data_there_is_spf_and_it_is_not_asked_again() -> None:
    dns = zone()
    one = authenticator(dns)
    assert (await one.authenticate(mail(sender="x@green.example"))).spf.result is Result.PASS
    assert one.known is None
    await one.authenticate(mail(signed(MESSAGE), sender="x@green.example"))
    assert dns.asked.count(("green.example", "TXT")) == 1


async def test_dns_that_was_silent_at_mail_is_asked_again_after_the_data() -> None:
    class Waking(FakeDns):
        awake = False

        async def look_up(self, name: str, kind: str) -> Records[Any]:
            if not self.awake:
                await asyncio.Event().wait()
            return await super().look_up(name, kind)

    dns = Waking(zone().zone)
    one = MessageAuthenticator(dns, FrozenClock(), budget=0.05)
    assert (await one.authenticate(mail(sender="x@green.example"))).spf.result is Result.TEMPERROR
    dns.awake = True
    found = await one.authenticate(mail(signed(MESSAGE), sender="x@green.example"))
    assert (found.spf.result, found.dmarc.result) == (Result.PASS, Result.PASS)


async def test_a_platforms_proof_asks_for_keys_and_nothing_else() -> None:
    dns = zone()
    assert await authenticator(dns).signers(mail(signed(MESSAGE))) == {"green.example"}
    assert dns.asked == [("s._domainkey.green.example", "TXT")]


async def test_a_key_that_dns_does_not_tell_is_no_verdict_on_a_signature() -> None:
    dns = zone()
    dns.zone["s._domainkey.green.example", "TXT"] = Answer.TIMEOUT
    with pytest.raises(TimeoutError):
        await authenticator(dns).signers(mail(signed(MESSAGE)))
    assert await authenticator(dns).signers(mail(MESSAGE)) == frozenset()
    broken = signed(MESSAGE).replace(b"v=1;", b"v=2;")
    assert await authenticator(dns).signers(mail(broken)) == frozenset()


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"From: nobody\r\n",
        b"From: a@green.example, b@other.example\r\n",
        b"From: a@green.example\r\nFrom: a@green.example\r\n",
        b"From : a@green.example\r\n",
    ],
)
async def test_without_one_author_dmarc_does_not_apply(head: bytes) -> None:
    found = await authenticator(zone()).authenticate(mail(head + b"To: y@x.example\r\n\r\nx\r\n"))
    assert found.dmarc.result is Result.PERMERROR


async def test_several_authors_of_one_domain_are_one() -> None:
    message = mail(b"From: a@green.example, b@Green.Example\r\n\r\nx\r\n", sender="x@green.example")
    assert (await authenticator(zone()).authenticate(message)).dmarc.result is Result.PASS


async def test_a_chain_is_looked_at_only_where_dmarc_does_not_hold() -> None:
    head = b"ARC-Seal: i=1; cv=none; a=rsa-sha256; d=hop.example; s=s; b=AAAA\r\n"
    passed = await authenticator(zone()).authenticate(mail(head + MESSAGE, sender="x@green.example"))
    failed = await authenticator(zone()).authenticate(mail(head + MESSAGE, sender="x@other.example"))
    assert (passed.dmarc.result, passed.arc.result) == (Result.PASS, Result.NONE)
    assert (failed.dmarc.result, failed.arc.result) == (Result.FAIL, Result.FAIL)


async def test_long_after_the_peer_has_gone_its_address_says_nothing() -> None:
    dns = zone()
    message = mail(signed(MESSAGE), sender="x@green.example", origin=Origin(Via.INTERNAL, ("clinic",)))
    found = await authenticator(dns).authenticate(message)
    assert (found.spf.result, found.dmarc.result) == (Result.NONE, Result.PASS)
