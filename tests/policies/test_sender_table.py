"""Nobody relays who may not, and nobody sends as another: every kind of peer with every kind of address.

The rows are made, not written: each peer says what is its own, and from that alone follows what must pass. The policy
is asked as a session asks it: at MAIL, at each RCPT, after the end of data; the first refusal ends it.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

import msgspec
import pytest

from policies.sender import SenderOptions, SenderPolicy, Spoof
from relayd.directory.directory import (
    Account,
    Delivers,
    Directory,
    DomainEntry,
    Organisation,
    Origin,
    Owner,
    Recognition,
    TenantProof,
    Via,
)
from relayd.directory.networks import NetworkTable
from relayd.mail.address import Domain
from relayd.mail.envelope import Listener, Peer, TlsFacts
from relayd.pipeline.policy import Stage
from relayd.pipeline.verdict import Identify, Refuse, Verdict
from tests.kit.judging import TLS, ToldAuthenticator, context, listed, mail

TENANT = "X-Platform-Tenant"
NORTH_PIN = "ab" * 32


def organisation(name: str, *domains: str, **more: object) -> Organisation:
    return Organisation(name, name, frozenset(map(Domain, domains)), **more)  # type: ignore[arg-type]


def entry(domain: str, owner: str, delivers: Delivers = Delivers.RELAY) -> DomainEntry:
    return DomainEntry(Domain(domain), delivers, organisation=owner)


DIRECTORY = Directory(
    organisations={
        one.id: one
        for one in (
            organisation("north", "north.example"),
            organisation("south", "south.example"),
            organisation("host", "hosted.example"),
            organisation("vendor", "vendor.example", relays_for=frozenset({Domain("customer.example")})),
            organisation("red", "red.example", proof=TenantProof(TENANT.lower(), "red-id")),
            organisation("blue", "blue.example", proof=TenantProof(TENANT.lower(), "blue-id")),
            organisation("green", "green.example", proof=TenantProof(dkim=True)),
            organisation("silent", "silent.example"),
        )
    },
    domainbook={
        one.domain: one
        for one in (
            entry("north.example", "north"),
            entry("south.example", "south"),
            entry("hosted.example", "host", Delivers.MAILBOX),
            entry("vendor.example", "vendor"),
            entry("red.example", "red"),
            entry("blue.example", "blue"),
            entry("green.example", "green"),
            DomainEntry(Domain("partner.example"), Delivers.RELAY, network="partners"),
        )
    },
    nta={},
    accounts={
        "anna@hosted.example": Account(
            "anna@hosted.example", "host", frozenset({"anna@hosted.example", "a.alias@hosted.example"})
        ),
        "server@south.example": Account("server@south.example", "south", machine=True),
    },
    mailboxes={
        "anna@hosted.example": "anna@hosted.example",
        "a.alias@hosted.example": "anna@hosted.example",
        "postmaster@hosted.example": "anna@hosted.example",
        "odd%one@hosted.example": "anna@hosted.example",
    },
    recognition=Recognition(
        networks=NetworkTable(
            [
                (ip_network("192.0.2.0/28"), Owner(("north",))),
                (ip_network("192.0.2.64/28"), Owner(("vendor",))),
                (ip_network("198.51.100.0/24"), Owner(("red", "blue", "green"), "platform")),
            ]
        ),
        spki={NORTH_PIN: Owner(("north",))},
    ),
    owners={
        Domain(domain): name
        for name, domain in (
            ("north", "north.example"),
            ("south", "south.example"),
            ("host", "hosted.example"),
            ("vendor", "vendor.example"),
            ("red", "red.example"),
            ("blue", "blue.example"),
            ("green", "green.example"),
            ("silent", "silent.example"),
        )
    },
)


@dataclass(frozen=True)
class Kind:
    """One kind of peer. ``own`` are addresses it may use, ``needs_tls`` that it is refused without."""

    name: str
    address: str = "203.0.113.9"
    listener: Listener = Listener.RELAY
    account: str | None = None
    tls: TlsFacts | None = TLS
    extra_head: str = ""
    signed_by: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    null_is_own: bool = False
    organisation: str | None = None
    platform: bool = False

    @property
    def peer(self) -> Peer:
        return Peer(ip_address(self.address), 4000, self.listener, tls=self.tls, account=self.account)


def _server(name: str, address: str, organisation: str, *own: str, **more: object) -> Kind:
    return Kind(name, address, own=own, null_is_own=True, organisation=organisation, **more)  # type: ignore[arg-type]


def _tenant(name: str, organisation: str | None, *own: str, **more: object) -> Kind:
    return Kind(
        name,
        "198.51.100.7",
        own=own,
        null_is_own=organisation is not None,
        organisation=organisation,
        platform=True,
        **more,  # type: ignore[arg-type]
    )


_RED, _BLUE, _GREEN = "x@red.example", "x@blue.example", "x@green.example"

KINDS = [
    Kind("stranger"),
    Kind("stranger without TLS", tls=None),
    Kind("stranger with a forged proof", extra_head=f"{TENANT}: red-id\n"),
    Kind("stranger with a signed message of a tenant", signed_by=("green.example",)),
    _server("network organisation", "192.0.2.1", "north", "x@north.example"),
    _server(
        "certificate organisation",
        "203.0.113.50",
        "north",
        "x@north.example",
        tls=msgspec.structs.replace(TLS, spki_sha256=NORTH_PIN),
    ),
    _server("machine account", "203.0.113.51", "south", "x@south.example", account="server@south.example"),
    _server(
        "machine account on submission",
        "203.0.113.51",
        "south",
        "x@south.example",
        account="server@south.example",
        listener=Listener.SUBMISSION,
    ),
    _server("provider", "192.0.2.65", "vendor", "x@vendor.example", "x@customer.example"),
    Kind(
        "hosted account",
        listener=Listener.SUBMISSION,
        account="anna@hosted.example",
        own=("anna@hosted.example", "a.alias@hosted.example"),
        organisation="host",
    ),
    Kind(
        "hosted account on the relay listener, from an organisation's network",
        "192.0.2.1",
        account="anna@hosted.example",
        own=("anna@hosted.example", "a.alias@hosted.example"),
        organisation="host",
    ),
    Kind("removed account from an organisation's network", "192.0.2.1", account="gone@hosted.example"),
    _tenant("tenant red", "red", _RED, extra_head=f"{TENANT}: red-id\n"),
    _tenant("tenant blue", "blue", _BLUE, extra_head=f"{TENANT}: blue-id\n"),
    _tenant("tenant green, signed", "green", _GREEN, signed_by=("green.example",)),
    _tenant("tenant without its proof", None),
    _tenant("tenant with the proof twice", None, extra_head=f"{TENANT}: red-id\n{TENANT}: red-id\n"),
    _tenant("tenant with two proofs", None, extra_head=f"{TENANT}: red-id\n{TENANT}: blue-id\n"),
    _tenant("tenant with nearly the proof", None, extra_head=f"{TENANT}: red-id-2\n"),
    _tenant("tenant signed by somebody else", None, signed_by=("outside.example", "example")),
]

OWN_FORMS = [
    "x@north.example",
    "x@south.example",
    "x@vendor.example",
    "anna@hosted.example",
    "A.Alias@hosted.example",
    "other@hosted.example",
    _RED,
    _BLUE,
    _GREEN,
    "x@silent.example",
]
OUTSIDE_FORMS = ["x@outside.example", "x@customer.example", "x@sub.north.example", "x@partner.example"]
SENDERS = [*OWN_FORMS, *OUTSIDE_FORMS, ""]
FROM_FORMS = [*([address] for address in (*OWN_FORMS, *OUTSIDE_FORMS)), ["x@north.example", _RED], [_RED, _BLUE]]

#: Recipient, whether it is served, whether a stranger and whether an organisation may reach it.
RECIPIENTS = [
    ("r@north.example", True, True),
    ("anna@hosted.example", True, True),
    ("A.ALIAS@hosted.example", True, True),
    ("Postmaster@hosted.example", True, True),
    ("postmaster@north.example", True, True),
    ("odd%one@hosted.example", True, True),
    ("nobody@hosted.example", False, False),
    ("user%outside.example@hosted.example", False, False),
    ("r@outside.example", False, True),
    ("postmaster@outside.example", False, True),
    ("r@partner.example", False, True),
    ("r@silent.example", False, True),
    ("r@sub.north.example", False, True),
    ("user%outside.example@north.example", False, True),
    ("outside.example!user@north.example", False, True),
    ('"user@outside.example"@north.example', False, True),
    ('"quoted local"@north.example', True, True),
    ("r@[192.0.2.99]", False, False),
    ("r@[IPv6:2001:db8::1]", False, False),
]


def header_from(authors: list[str]) -> str:
    return f"From: {', '.join(authors)}\n"


async def session(kind: Kind, sender: str, head: str, to: list[str], *, spoof: Spoof = Spoof.REFUSE) -> list[Verdict]:
    """All verdicts up to the first refusal, asked in the order of a session."""
    policy = SenderPolicy(SenderOptions(own_domains_from_strangers=spoof))
    around = context(DIRECTORY, authenticator=ToldAuthenticator(*kind.signed_by))
    origin = DIRECTORY.recognise(kind.peer)
    verdicts = listed(await policy.judge(mail(sender=sender, origin=origin, by=kind.peer), Stage.SENDER, around))
    for recipient in to:
        if isinstance(verdicts[-1], Refuse):
            return verdicts
        asked = mail(sender=sender, to=[recipient], origin=origin, by=kind.peer)
        verdicts += listed(await policy.judge(asked, Stage.RECIPIENT, around))
    if isinstance(verdicts[-1], Refuse):
        return verdicts
    whole = mail(f"{head}{kind.extra_head}\nHi\n", sender=sender, to=to, origin=origin, by=kind.peer)
    return [*verdicts, *listed(await policy.judge(whole, Stage.MESSAGE, around))]


def run(kind: Kind, sender: str, head: str, to: list[str], **more: Spoof) -> list[Verdict]:
    return asyncio.run(session(kind, sender, head, to, **more))


def refusal(verdicts: list[Verdict]) -> str:
    last = verdicts[-1]
    return f"{last.reply.code} {last.reply.enhanced}" if isinstance(last, Refuse) else ""


def is_own(kind: Kind, address: str) -> bool:
    return address.lower() in kind.own if address else kind.null_is_own


def is_ours(address: str) -> bool:
    return bool(address) and DIRECTORY.owner(Domain(address.rpartition("@")[2])) is not None


async def everything(kind: Kind, authors: list[str]) -> list[str]:
    """The rows of this kind and From whose outcome isn't what the peer's own addresses entail."""
    wrong = []
    for sender, (to, stranger_may, member_may) in itertools.product(SENDERS, RECIPIENTS):
        verdicts = await session(kind, sender, header_from(authors), [to])
        mine = is_own(kind, sender) and all(is_own(kind, author) for author in authors)
        identified = [verdict.organisation for verdict in verdicts if isinstance(verdict, Identify)]
        refused = refusal(verdicts)
        row = f"{kind.name}: <{sender}> From {authors} to {to}: {refused or 'accepted'} {identified}"
        if kind.account == "gone@hosted.example" or kind.organisation is None or (kind.platform and not mine):
            theirs = any(map(is_ours, [sender, *authors]))
            expected = stranger_may and not theirs
            owner: list[str] = []
        else:
            expected = mine and member_may
            owner = [kind.organisation]
        if bool(refused) == expected or (not refused and [one for one in identified if one] != owner):
            wrong.append(row)
    return wrong


@pytest.mark.parametrize("authors", FROM_FORMS, ids=" ".join)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_what_is_not_the_peers_own_is_refused(kind: Kind, authors: list[str]) -> None:
    assert await everything(kind, authors) == []


RECOGNISED = [kind for kind in KINDS if DIRECTORY.recognise(kind.peer).recognised]


@pytest.mark.parametrize("kind", RECOGNISED, ids=lambda kind: kind.name)
@pytest.mark.parametrize("sender", SENDERS)
def test_recognised_peers_without_tls_get_530(kind: Kind, sender: str) -> None:
    bare = replace(kind, tls=None) if kind.tls is None or kind.tls.spki_sha256 is None else None
    if bare is not None:
        assert refusal(run(bare, sender, header_from([sender]), ["r@north.example"])) == "530 5.7.0"


@pytest.mark.parametrize("address", ["203.0.113.9", "192.0.2.1", "198.51.100.7"])
@pytest.mark.parametrize("sender", SENDERS)
def test_submission_needs_a_login_wherever_it_comes_from(address: str, sender: str) -> None:
    kind = Kind("somebody", address, listener=Listener.SUBMISSION)
    assert refusal(run(kind, sender, header_from([sender]), ["r@north.example"])) == "530 5.7.0"


_NORTH = next(kind for kind in KINDS if kind.name == "network organisation")
_STRANGER = KINDS[0]
_RED_TENANT = next(kind for kind in KINDS if kind.name == "tenant red")


@pytest.mark.parametrize(
    ("head", "reply"),
    [
        ("From: x@north.example\nSender: y@north.example\n", ""),
        ("From: x@north.example, y@north.example\n", ""),
        ("From: x@north.example, y@south.example\n", "550 5.7.1"),
        ("From: x@north.example\nSender: y@south.example\n", "550 5.7.1"),
        ("From: x@north.example\nFrom: y@south.example\n", "550 5.6.0"),
        ("From: x@north.example\nfrom : y@south.example\n", "550 5.6.0"),
        ("Subject: no author\n", "550 5.6.0"),
        ("From: undisclosed:;\n", "550 5.6.0"),
        ("From: x@north.example <y@south.example\n", "550 5.6.0"),
        ('From: "x@north.example" <y@south.example>\n', "550 5.7.1"),
        ("From: x@north.example (comment)\n", ""),
        ("From: =?utf-8?q?x=40north.example?= <y@south.example>\n", "550 5.6.0"),
        ("From: team: x@north.example, y@south.example;\n", "550 5.7.1"),
    ],
)
def test_every_author_counts(head: str, reply: str) -> None:
    assert refusal(run(_NORTH, "x@north.example", head, ["r@outside.example"])) == reply


@pytest.mark.parametrize(
    ("sender", "head"),
    [
        ("x@outside.example", "From: x@north.example\n"),
        ("x@outside.example", "From: x@outside.example\nSender: x@silent.example\n"),
        ("x@north.example", "From: x@outside.example\n"),
    ],
)
def test_own_domains_from_strangers_is_a_setting(sender: str, head: str) -> None:
    assert refusal(run(_STRANGER, sender, head, ["r@south.example"])) == "550 5.7.1"
    assert refusal(run(_STRANGER, sender, head, ["r@south.example"], spoof=Spoof.ALLOW)) == ""


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.organisation is None], ids=lambda kind: kind.name)
@pytest.mark.parametrize("sender", SENDERS)
def test_no_setting_opens_the_relay(kind: Kind, sender: str) -> None:
    verdicts = run(kind, sender, "From: x@outside.example\n", ["r@outside.example"], spoof=Spoof.ALLOW)
    assert refusal(verdicts) == "550 5.7.1"
    verdicts = run(kind, sender, header_from([_RED]), ["r@north.example", "r@outside.example"], spoof=Spoof.ALLOW)
    assert refusal(verdicts) == "550 5.7.1"


def test_an_unproven_message_never_belongs_to_a_tenant() -> None:
    unproven = replace(_RED_TENANT, extra_head="")
    verdicts = run(unproven, _RED, header_from([_RED]), ["r@north.example"], spoof=Spoof.ALLOW)
    assert [verdict.organisation for verdict in verdicts if isinstance(verdict, Identify)] == [""]


def test_one_tenants_header_proves_nothing_from_elsewhere() -> None:
    assert refusal(run(replace(_RED_TENANT, address="192.0.2.1"), _RED, header_from([_RED]), ["r@outside.example"]))


def test_a_platform_with_a_single_tenant_still_asks_for_its_proof() -> None:
    alone = Origin(Via.NETWORK, ("red",), "platform")
    around = context(DIRECTORY)
    content = f"From: {_RED}\n\nHi\n"
    verdict = asyncio.run(
        SenderPolicy(SenderOptions()).judge(
            mail(content, sender=_RED, to=["r@outside.example"], origin=alone), Stage.MESSAGE, around
        )
    )
    assert refusal(listed(verdict)) == "550 5.7.1"


def test_relayds_own_messages_pass() -> None:
    around = context(DIRECTORY)
    own = mail("From: postmaster@relay.example\n\nHi\n", to=["r@outside.example"], origin=Origin(Via.INTERNAL))
    for stage in (Stage.SENDER, Stage.RECIPIENT, Stage.MESSAGE):
        verdicts = listed(asyncio.run(SenderPolicy(SenderOptions()).judge(own, stage, around)))
        assert refusal(verdicts) == ""
