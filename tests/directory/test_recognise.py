"""Who a peer is: login before certificate before network, platforms with their tenants, nobody by accident."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from relayd.directory.directory import Directory, Origin, Via
from relayd.directory.load import build
from relayd.mail.address import Domain, parse_address
from relayd.mail.envelope import Listener, Peer, TlsFacts
from relayd.settings.load import load
from tests.kit.configuration import write_configuration

PIN = "ab" * 32
CLOUD_PIN = "cd" * 32
HASH = "{ARGON2ID}$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA"

ORGANISATIONS = f"""
    settings: {{language: en, retention_days: 30}}
    platforms:
      cloud:
        name: Cloud
        networks: [198.51.100.0/24, "2001:db8:c::/48"]
        certificates: [{{spki_sha256: "{CLOUD_PIN}"}}]
    organisations:
      north:
        name: Hospital North
        domains: [north.example, clinic.north.example]
        recognised_by:
          networks: [192.0.2.0/24, 192.0.2.64/26, "2001:db8:1::/48"]
          certificates: [{{spki_sha256: "{PIN}"}}, {{name: mx.north.example}}]
          accounts: [mx@north.example]
        settings: {{language: nl, allow_plain: true}}
        domain_settings:
          clinic.north.example: {{allow_plain: false}}
      south:
        name: Clinic South
        domains: [south.example, hosted.example]
        recognised_by: {{certificates: [{{name: mx.south.example}}]}}
        platform: {{id: cloud, proof: {{header: X-Tenant, value: s-1}}}}
      east:
        name: Practice East
        domains: [east.example]
        relays_for: [gp.example]
        platform: {{id: cloud, proof: {{dkim: true}}}}
"""
ACCOUNTS = f"""
    # people
    jan@hosted.example:{HASH}::::::userdb_relayd_organisation=south userdb_relayd_aliases=info@hosted.example
    mx@north.example:{HASH}::::::userdb_relayd_organisation=north userdb_relayd_machine=yes
"""
DOMAINBOOK = """
    north.example: {organisation: north, delivers: relay, next_hops: ["mx.north.example:25"]}
    hosted.example: {organisation: south, delivers: mailbox, store: main}
    partner.example: {network: other-network, delivers: relay, next_hops: ["mx.partner.example:25"]}
"""

STRANGER = Origin(Via.STRANGER)
BY_NETWORK = Origin(Via.NETWORK, ("north",))
BY_CERTIFICATE = Origin(Via.CERTIFICATE, ("north",))
TENANTS = ("south", "east")


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    folder = write_configuration(tmp_path, organisations=ORGANISATIONS, domainbook=DOMAINBOOK, accounts=ACCOUNTS)
    return build(load(folder))


def peer(
    address: str = "203.0.113.9",
    *,
    account: str | None = None,
    spki: str | None = None,
    names: tuple[str, ...] = (),
    verified: bool = False,
    listener: Listener = Listener.RELAY,
) -> Peer:
    tls = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", spki, names, verified)
    return Peer(ip_address(address), 40000, listener, tls=tls, account=account)


@pytest.mark.parametrize(
    ("who", "origin"),
    [
        (peer(), STRANGER),
        (peer("192.0.2.7"), BY_NETWORK),
        (peer("192.0.2.70"), BY_NETWORK),
        (peer("::ffff:192.0.2.7"), BY_NETWORK),
        (peer("192.0.3.0"), STRANGER),
        (peer("2001:db8:1::25"), BY_NETWORK),
        (peer("2001:db8:2::25"), STRANGER),
        (peer("198.51.100.1"), Origin(Via.NETWORK, TENANTS, "cloud")),
        (peer("2001:db8:c::1"), Origin(Via.NETWORK, TENANTS, "cloud")),
        (peer(spki=PIN), BY_CERTIFICATE),
        (peer(spki="00" * 32), STRANGER),
        (peer(spki=CLOUD_PIN), Origin(Via.CERTIFICATE, TENANTS, "cloud")),
        (peer(spki="00" * 32, names=("mx.north.example",), verified=True), BY_CERTIFICATE),
        (peer(spki="00" * 32, names=("mx.north.example",), verified=False), STRANGER),
        # One certificate with the names of two customers proves neither.
        (peer(spki="00" * 32, names=("mx.north.example", "mx.south.example"), verified=True), STRANGER),
        # A certificate says more than the network that it comes from.
        (peer("198.51.100.1", spki=PIN), BY_CERTIFICATE),
        (peer(account="jan@hosted.example"), Origin(Via.ACCOUNT, ("south",), account="jan@hosted.example")),
        (
            peer("192.0.2.7", spki=PIN, account="jan@hosted.example"),
            Origin(Via.ACCOUNT, ("south",), account="jan@hosted.example"),
        ),
        (peer(account="mx@north.example"), Origin(Via.ACCOUNT, ("north",), account="mx@north.example")),
        # An account that was removed falls back to nothing, not to the network.
        (peer("192.0.2.7", account="gone@hosted.example"), STRANGER),
        # Mail clients log in: neither their network nor a certificate counts on the submission port.
        (peer("192.0.2.7", listener=Listener.SUBMISSION), STRANGER),
        (peer(spki=PIN, listener=Listener.SUBMISSION), STRANGER),
    ],
)
def test_a_peer_is_who_it_proved_to_be(directory: Directory, who: Peer, origin: Origin) -> None:
    assert directory.recognise(who) == origin


def test_an_origin_with_several_tenants_is_no_organisation_yet(directory: Directory) -> None:
    assert directory.recognise(peer("198.51.100.1")).organisation is None
    assert directory.recognise(peer("192.0.2.7")).organisation == "north"


def test_settings_inherit_from_installation_to_domain(directory: Directory) -> None:
    north, east = directory.organisations["north"], directory.organisations["east"]
    assert (east.settings.language, east.settings.allow_plain, east.settings.retention_days) == ("en", False, 30)
    assert (north.settings.language, north.settings.allow_plain) == ("nl", True)
    clinic = north.settings_of(Domain("clinic.north.example"))
    assert (clinic.language, clinic.allow_plain, clinic.retention_days) == ("nl", False, 30)
    assert north.settings_of(Domain("north.example")) == north.settings


def test_the_installation_keeps_mail_as_long_as_relayd_yaml_says(tmp_path: Path) -> None:
    assert build(load(write_configuration(tmp_path))).organisations["north"].settings.retention_days == 90


def test_strangers_reach_only_participants_that_receive_through_us(directory: Directory) -> None:
    served = {name: directory.served(Domain(name)) for name in ("north.example", "hosted.example")}
    assert {name: organisation.id for name, organisation in served.items() if organisation} == {
        "north.example": "north",
        "hosted.example": "south",
    }
    for other in ("partner.example", "south.example", "elsewhere.example"):
        assert directory.served(Domain(other)) is None


def test_a_mailbox_is_found_by_name_and_alias_in_any_case(directory: Directory) -> None:
    for address in ("jan@hosted.example", "INFO@Hosted.Example"):
        assert directory.mailbox(parse_address(address)) == "jan@hosted.example"
    for address in ("piet@hosted.example", "jan+x@hosted.example", "mx@north.example", "jan@elsewhere.example"):
        assert directory.mailbox(parse_address(address)) is None


def test_a_machine_may_use_its_organisations_domains_and_a_person_only_own_addresses(directory: Directory) -> None:
    assert directory.accounts["mx@north.example"].addresses == frozenset()
    assert directory.accounts["mx@north.example"].machine
    assert directory.accounts["jan@hosted.example"].addresses == {"jan@hosted.example", "info@hosted.example"}


def test_a_provider_sends_from_its_customers_domains(directory: Directory) -> None:
    east = directory.organisations["east"]
    assert east.may_send_from(Domain("gp.example"))
    assert not east.may_send_from(Domain("north.example"))
