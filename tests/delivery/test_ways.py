"""Which next hops each class of mail may use."""

from __future__ import annotations

import pytest

from relayd.delivery.client import Hop
from relayd.delivery.ways import NoWay, Ways, split_host
from relayd.directory.directory import Delivers, Directory, DomainEntry, NtaEntry
from relayd.dns.records import Addresses, Answer, MailHosts, Validation
from relayd.mail.address import Domain
from relayd.settings.models import NoticeSettings
from relayd.tls.demand import Security

BOOK, NTA, DENIED = Domain("book.example"), Domain("nta.example"), Domain("denied.example")


class FakeResolver:
    def __init__(self, found: MailHosts) -> None:
        self.found = found

    async def mail_hosts(self, domain: Domain) -> MailHosts:
        return self.found

    async def known_validation(self) -> Validation:
        return Validation.ON

    async def addresses(self, host: str) -> Addresses:
        return Addresses(Answer.FOUND, ("192.0.2.1",))


def ways(found: MailHosts | None = None, **notices: object) -> Ways:
    book = {BOOK: DomainEntry(BOOK, Delivers.RELAY, next_hops=("mx1.book.example:2525", "[2001:db8::1]:25"))}
    nta = {
        NTA: NtaEntry(NTA, allow=True, reason="x", hosts=("mx.nta.example:25",)),
        DENIED: NtaEntry(DENIED, allow=False, reason="x", hosts=("mx.denied.example:25",)),
    }
    resolver = FakeResolver(found or MailHosts(Answer.FOUND, ("mx.else.example",)))
    return Ways(Directory({}, book, nta, {}, {}), resolver, NoticeSettings(**notices), "relay.example")  # type: ignore[arg-type]


def shape(hops: tuple[Hop, ...] | NoWay) -> list[tuple[str, int, Security]]:
    assert not isinstance(hops, NoWay)
    return [(hop.host, hop.port, hop.demand.security) for hop in hops]


async def test_confidential_mail_goes_where_directory_and_register_say_and_must_be_proven() -> None:
    found = ways()
    assert shape(await found.to("book.example", "book.example", "confidential")) == [
        ("mx1.book.example", 2525, Security.VERIFIED),
        ("2001:db8::1", 25, Security.VERIFIED),
    ]
    assert shape(await found.to("nta:nta.example", "nta.example", "confidential")) == [
        ("mx.nta.example", 25, Security.VERIFIED)
    ]


@pytest.mark.parametrize("target", ["", "denied.example", "unknown.example"])
async def test_confidential_mail_never_goes_by_mx(target: str) -> None:
    found = await ways().to(target, "else.example", "confidential")
    assert isinstance(found, NoWay)
    assert not found.permanent


async def test_a_register_entry_that_names_no_host_makes_mail_wait() -> None:
    entries = {NTA: NtaEntry(NTA, allow=True, reason="x")}
    found = Ways(Directory({}, {}, entries, {}, {}), FakeResolver(MailHosts(Answer.NO_DATA)), NoticeSettings(), "r")  # type: ignore[arg-type]
    answer = await found.to("nta:nta.example", "nta.example", "confidential")
    assert isinstance(answer, NoWay)
    assert not answer.permanent


async def test_ordinary_mail_goes_by_mx_and_only_inside_tls() -> None:
    found = await ways().to("", "else.example", "ordinary")
    assert shape(found) == [("mx.else.example", 25, Security.ENCRYPTED)]


async def test_notices_go_by_mx_or_smarthost_and_in_plain_text_by_setting_only() -> None:
    assert shape(await ways().to("", "x.example", "notice")) == [("mx.else.example", 25, Security.ENCRYPTED)]
    plain = ways(smarthost="smart.example:587", allow_plaintext=True)
    assert shape(await plain.to("", "x.example", "notice")) == [("smart.example", 587, Security.OFFERED)]


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (MailHosts(Answer.FOUND, null=True), "5.1.10"),
        (MailHosts(Answer.NO_NAME), "5.1.2"),
        (MailHosts(Answer.FAILED), "4.4.3"),
        (MailHosts(Answer.TIMEOUT), "4.4.3"),
        (MailHosts(Answer.FOUND, ("relay.example", "mx2.example")), "5.4.6"),
    ],
    ids=str,
)
async def test_what_dns_says_when_there_is_no_way(found: MailHosts, status: str) -> None:
    answer = await ways(found).to("", "x.example", "ordinary")
    assert isinstance(answer, NoWay)
    assert answer.status == status


async def test_of_the_mail_hosts_only_those_preferred_to_ourselves_are_used() -> None:
    found = MailHosts(Answer.FOUND, ("mx1.example", "relay.example", "mx3.example"))
    assert [host for host, _, _ in shape(await ways(found).to("", "x.example", "ordinary"))] == ["mx1.example"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("mx:2525", ("mx", 2525)), ("mx", ("mx", 25)), ("[::1]:24", ("::1", 24)), ("[::1]", ("::1", 25))],
)
def test_hosts_and_ports(text: str, expected: tuple[str, int]) -> None:
    assert split_host(text) == expected
