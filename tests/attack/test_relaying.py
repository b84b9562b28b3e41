"""No open relay: every kind of peer × sender form × recipient form, over the wire, against the real daemon."""

from __future__ import annotations

import itertools
import json
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.kit.daemon import RelayProcess
from tests.kit.site import HOSTNAME, PASSWORD, Site
from tests.kit.talk import ANNA

pytestmark = pytest.mark.behaviour

MACHINE = "server@zuid.example"


@pytest.fixture(scope="module")
def relayd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    site = Site(tmp_path_factory.mktemp("relaying"))
    site.relayd |= {"limits": {"errors": 1_000_000, "commands": 1_000_000}, "workers": 1, "log": "json"}
    organisations = site.organisations["organisations"]
    organisations["oost"] = {
        "name": "Kliniek Oost",
        "domains": ["oost.example", "m\u00fcnchen.example"],
        "recognised_by": {"networks": ["127.0.0.2/32"]},
    }
    organisations["zuid"] = {
        "name": "Zuid",
        "domains": ["zuid.example"],
        "recognised_by": {"accounts": [MACHINE]},
    }
    for domain, owner in (("oost.example", "oost"), ("m\u00fcnchen.example", "oost"), ("zuid.example", "zuid")):
        site.domainbook[domain] = {**site.domainbook["noord.example"], "organisation": owner}
    site.machines[MACHINE] = "zuid"
    with RelayProcess(site) as relayd:
        yield relayd


@dataclass(frozen=True)
class Kind:
    """A peer: where it comes from, and which of the sender forms are its own."""

    name: str
    own: tuple[str, ...] = ()
    null: bool = False
    source: str = "127.0.0.1"
    certificate: bool = False
    tls: bool = True
    account: str = ""


KINDS = [
    Kind("stranger"),
    Kind("stranger without TLS", tls=False),
    Kind(
        "organisation by certificate",
        ("x@noord.example", "X@NOORD.EXAMPLE.", '"x y"@noord.example'),
        True,
        certificate=True,
    ),
    Kind(
        "organisation by network",
        ("x@oost.example", "x@m\u00fcnchen.example", "x@XN--MNCHEN-3YA.example"),
        True,
        "127.0.0.2",
    ),
    Kind("mail server with a login", ("x@zuid.example",), True, account=MACHINE),
    Kind("person", (ANNA, "Anna@Praktijk.Example."), account=ANNA),
]

#: Sender forms; what is nobody's own is an outsider's, unless it is at a domain of ours.
SENDERS = [
    "",
    "x@noord.example",
    "X@NOORD.EXAMPLE.",
    '"x y"@noord.example',
    "x@oost.example",
    "x@m\u00fcnchen.example",
    "x@XN--MNCHEN-3YA.example",
    ANNA,
    "Anna@Praktijk.Example.",
    "bram@praktijk.example",
    "x@zuid.example",
    "x@outside.example",
    "x@sub.noord.example",
    "x%noord.example@outside.example",
    "x@[127.0.0.2]",
]
OUR_DOMAINS = (
    "noord.example",
    "oost.example",
    "m\u00fcnchen.example",
    "xn--mnchen-3ya.example",
    "praktijk.example",
    "zuid.example",
)

#: What a recipient form is: "served" everybody may reach, "outside" members only, "hosted" is a mailbox that exists,
#: "none" nobody reaches. "invalid" isn't an address.
RECIPIENTS = {
    "<r@noord.example>": "served",
    "<R@NOORD.EXAMPLE>": "served",
    "<r@noord.example.>": "served",
    '<"r"@noord.example>': "served",
    '<"r r"@noord.example>': "served",
    '<"\\r"@noord.example>': "served",
    "<r@m\u00fcnchen.example>": "served",
    "<r@M\u00dcNCHEN.example>": "served",
    "<r@xn--mnchen-3ya.example>": "served",
    "<r\u00e9@noord.example>": "served",
    "<postmaster@noord.example>": "served",
    "<@outside.example:r@noord.example>": "served",
    "<@a.example,@b.example:r@noord.example>": "served",
    f"<{'r' * 64}@noord.example>": "served",
    "<r+tag@noord.example>": "served",
    f"<{ANNA}>": "served",
    "<ANNA@PRAKTIJK.EXAMPLE.>": "served",
    '<"anna"@praktijk.example>': "served",
    "<nobody@praktijk.example>": "none",
    "<anna%outside.example@praktijk.example>": "none",
    '<"anna@praktijk.example"@praktijk.example>': "none",
    "<r%outside.example@noord.example>": "outside",
    "<r%outside.example%other.example@noord.example>": "outside",
    "<outside.example!r@noord.example>": "outside",
    '<"r@outside.example"@noord.example>': "outside",
    '<"outside.example!r"@noord.example>': "outside",
    '<"r\\@outside.example"@noord.example>': "outside",
    "<@noord.example:r@outside.example>": "outside",
    "<@noord.example,@praktijk.example:r@outside.example>": "outside",
    "<r@outside.example>": "outside",
    "<r@partner.example>": "outside",
    "<r@sub.noord.example>": "outside",
    "<r@noord.example.outside.example>": "outside",
    "<r@noordx.example>": "outside",
    "<noord.example@outside.example>": "outside",
    "<postmaster@outside.example>": "outside",
    "<abuse@relayd.example>": "outside",
    '<"r@noord.example"@outside.example>': "outside",
    f"<r@{HOSTNAME}>": "outside",
    "<r@[127.0.0.1]>": "none",
    "<r@[192.0.2.1]>": "none",
    "<r@[IPv6:2001:db8::1]>": "none",
    "<r@[IPv6:::1]>": "none",
    "<>": "invalid",
    "<r>": "invalid",
    "<r@>": "invalid",
    "<@noord.example>": "invalid",
    "<r@outside.example@noord.example>": "invalid",
    "<r@noord.example@outside.example>": "invalid",
    "r@noord.example": "invalid",
    "<r@noord.example": "invalid",
    "<r@noord.example>x": "invalid",
    "<r@127.0.0.1>": "invalid",
    "<r@[noord.example]>": "invalid",
    "<r@[127.0.0.1>": "invalid",
    "<r@noord.example,r@outside.example>": "invalid",
    "<r@noord.example> <r@outside.example>": "invalid",
    "<r@noord.example>,<r@outside.example>": "invalid",
    "<r @noord.example>": "invalid",
    "<r@ noord.example>": "invalid",
    "<r@noord..example>": "invalid",
    "<r@.noord.example>": "invalid",
    "<r@-noord.example>": "invalid",
    "<r@noord.example..>": "invalid",
    "<r@noord_x.example>": "invalid",
    "<r.@noord.example>": "invalid",
    "<.r@noord.example>": "invalid",
    '<"r@noord.example>': "invalid",
    '<r"x"@noord.example>': "invalid",
    "<r@noord.example\u3002>": "served",
    "<r@noord\uff0eexample>": "served",
    "<r@outside\u3002example>": "outside",
    f"<{'r' * 65}@noord.example>": "invalid",
    f"<r@{'a' * 64}.example>": "invalid",
    f"<r@{'.'.join(['a' * 60] * 5)}.example>": "invalid",
    f"<r@{'x.' * 500}noord.example>": "invalid",
}


def connect(relayd: RelayProcess, kind: Kind) -> smtplib.SMTP:
    site = relayd.site
    port = site.submission_port if kind.account else site.relay_port
    client = smtplib.SMTP("127.0.0.1", port, "client.example", timeout=30, source_address=(kind.source, 0))
    if kind.tls:
        client.starttls(context=relayd.client_context(certificate=kind.certificate))
    client.ehlo()
    if kind.account:
        client.login(kind.account, PASSWORD)
    return client


def ask(client: smtplib.SMTP, command: str) -> tuple[int, str]:
    client.send(f"{command}\r\n".encode())
    code, text = client.getreply()
    return code, text.decode()


def is_ours(sender: str) -> bool:
    return sender.rpartition("@")[2].lower().rstrip(".") in OUR_DOMAINS


def may_send(kind: Kind, sender: str) -> bool:
    if not kind.own:
        return not is_ours(sender)
    return sender in kind.own if sender else kind.null


def may_reach(kind: Kind, target: str) -> bool:
    return target == "served" or (target == "outside" and bool(kind.own))


#: The code and class of a refusal must say whose rule it was.
_REFUSALS = {
    "none": ("550 5.1", "550 5.7.1"),
    "outside": ("550 5.7.1",),
    "invalid": ("501 5.1.3", "555 5.5.4", "501 5.5.4"),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_nobody_relays_who_must_not(relayd: RelayProcess, kind: Kind) -> None:
    wrong = []
    with connect(relayd, kind) as client:
        for sender in SENDERS:
            wrong += wrong_answers(client, kind, sender)
    assert wrong == []


def wrong_answers(client: smtplib.SMTP, kind: Kind, sender: str) -> Iterator[str]:
    code, text = ask(client, f"MAIL FROM:<{sender}> SMTPUTF8")
    if (code == 250) != may_send(kind, sender) or (code != 250 and not text.startswith("5.7.1 ")):
        yield f"<{sender}>: {code} {text}"
    for recipient, target in RECIPIENTS.items() if code == 250 else ():
        code, text = ask(client, f"RCPT TO:{recipient}")
        if (code == 250) != may_reach(kind, target):
            yield f"<{sender}> to {recipient}: {code} {text}"
        elif code != 250 and not f"{code} {text}".startswith(_REFUSALS[target]):
            yield f"<{sender}> to {recipient} isn't explained: {code} {text}"
    ask(client, "RSET")


def test_a_login_is_needed_on_the_submission_port_wherever_one_comes_from(relayd: RelayProcess) -> None:
    for source, certificate in itertools.product(("127.0.0.1", "127.0.0.2"), (False, True)):
        with smtplib.SMTP("127.0.0.1", relayd.site.submission_port, source_address=(source, 0)) as client:
            client.starttls(context=relayd.client_context(certificate=certificate))
            client.ehlo()
            assert ask(client, "MAIL FROM:<x@noord.example>") == (530, "5.7.0 Authentication required")


def test_a_network_needs_tls(relayd: RelayProcess) -> None:
    with smtplib.SMTP("127.0.0.1", relayd.site.relay_port, source_address=("127.0.0.2", 0)) as client:
        client.ehlo()
        assert ask(client, "MAIL FROM:<x@oost.example>")[0] == 530


def test_every_refusal_is_explained_in_the_log_without_a_name(relayd: RelayProcess) -> None:
    with connect(relayd, KINDS[0]) as client:
        ask(client, "MAIL FROM:<geheim@outside.example>")
        ask(client, "RCPT TO:<heimelijk@outside.example>")
    lines = [json.loads(line) for line in relayd.log.splitlines() if line.startswith("{")]
    refused = [line for line in lines if line["event"] == "refused"]
    assert {key: refused[-1][key] for key in ("policy", "stage", "via", "reason", "status", "peer")} == {
        "policy": "sender",
        "stage": "recipient",
        "via": "stranger",
        "reason": "a stranger to a domain that isn't served",
        "status": "5.7.1",
        "peer": "127.0.0.1",
    }
    assert all(line["policy"] and line["reason"] for line in refused)
    assert "geheim" not in relayd.log
    assert "heimelijk" not in relayd.log
