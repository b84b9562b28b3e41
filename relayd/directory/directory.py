"""Who is who: one immutable snapshot of organisations, domainbook, NTA 7516 register and accounts.

Built by :func:`relayd.directory.load.build` from the settings; swapped as a whole on reload. Every lookup is O(1) in
the number of organisations and domains (networks: O(number of prefix lengths)).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

import msgspec

from relayd.directory.networks import NetworkTable
from relayd.directory.nta7516 import NtaRecord, NtaStanding
from relayd.mail.address import Address, Domain
from relayd.mail.envelope import Listener, Peer, TlsFacts
from relayd.settings.edi import EdiRuleSettings
from relayd.settings.organisations import PublishedStsSettings

#: The local part of the gateway's address for whomever the message itself names.
EDI_GATEWAY: Final = "edi"


class Via(StrEnum):
    """How a peer was recognised."""

    STRANGER = "stranger"
    NETWORK = "network"
    CERTIFICATE = "certificate"
    ACCOUNT = "account"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class TenantProof:
    """What a shared platform's tenant must show after DATA: header ``header`` with exactly ``value`` (set by the
    platform itself), or a valid DKIM signature aligned with the From domain when ``dkim``."""

    header: str = ""
    value: str = ""
    dkim: bool = False


class Origin(msgspec.Struct, frozen=True):
    """Who is sending, as far as it is known. ``candidates`` are the organisations it may be: one for a proper
    recognition, several behind a shared platform until a proof after DATA picks one, none for a stranger."""

    via: Via
    candidates: tuple[str, ...] = ()
    platform: str = ""
    account: str = ""

    @property
    def organisation(self) -> str | None:
        """The one organisation, when there is just one."""
        return self.candidates[0] if len(self.candidates) == 1 else None

    @property
    def recognised(self) -> bool:
        return self.via is not Via.STRANGER


STRANGER: Final = Origin(Via.STRANGER)


@dataclass(frozen=True, slots=True)
class OrganisationSettings:
    """Settings that inherit: built-in < installation < organisation < domain or account."""

    language: str = "nl"
    allow_plain: bool = False
    retention_days: int = 90
    contact: str = ""
    display_name: str = ""
    logo: Path | None = None
    colour: str = ""
    viewer_url: str = ""
    code_by_email: bool = False
    passkeys: bool = False
    confirmation: bool = True
    reminder_days: int = 14
    edi_rules: tuple[EdiRuleSettings, ...] = ()
    edi_outside: str = "untouched"
    edi_pdf: str = "pdf/a-3a"
    edi_sender: str = ""
    edi_mapping: Path | None = None
    edi_templates: Path | None = None
    mta_sts: PublishedStsSettings | None = None


@dataclass(frozen=True, slots=True)
class Organisation:
    """A verified participant. ``relays_for`` lists domains of others that it, as a provider, may send from.

    ``contacts`` maps an address key to its E.164 mobile number (the organisation's contacts file). ``proof`` tells it
    from the other tenants of its shared platform. ``settings`` are the organisation's; :meth:`settings_of` those of
    one of its domains.
    """

    id: str
    name: str
    domains: frozenset[Domain]
    relays_for: frozenset[Domain] = frozenset()
    settings: OrganisationSettings = OrganisationSettings()
    contacts: Mapping[str, str] = field(default_factory=dict, repr=False)
    proof: TenantProof | None = None
    domain_settings: Mapping[Domain, OrganisationSettings] = field(default_factory=dict)

    def settings_of(self, domain: Domain) -> OrganisationSettings:
        """The settings that hold for mail of ``domain``."""
        return self.domain_settings.get(domain, self.settings)

    def may_send_from(self, domain: Domain) -> bool:
        return domain in self.domains or domain in self.relays_for


class Delivers(StrEnum):
    """What the domainbook says to do with a domain's mail."""

    RELAY = "relay"
    MAILBOX = "mailbox"
    FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class DomainEntry:
    """One line of the domainbook. ``next_hops`` are "host:port" in order of preference; ``tls_names`` the names the
    certificate must prove (default: the host); ``pins`` SPKI SHA-256 digests, one of which suffices instead.

    ``organisation`` is the participant it belongs to, "" for a domain of a partner network. ``ca_file`` replaces the
    system's CAs. With ``dane`` the next hops must be proven by TLSA records instead of names, CAs and pins.
    """

    domain: Domain
    delivers: Delivers
    organisation: str = ""
    network: str = ""
    next_hops: tuple[str, ...] = ()
    tls_names: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    ca_file: str = ""
    insecure_plaintext: bool = False
    store: str = ""
    dane: bool = False


@dataclass(frozen=True, slots=True)
class NtaEntry:
    """A local entry of the NTA 7516 register about another domain: allow or deny, with reason and end date. ``hosts``
    are "host:port" whose certificates can be verified; what is allowed goes there."""

    domain: Domain
    allow: bool
    reason: str
    until: date | None = None
    hosts: tuple[str, ...] = ()
    tls_names: tuple[str, ...] = ()
    ca_file: str = ""

    def counts_on(self, day: date) -> bool:
        return self.until is None or day <= self.until

    @property
    def standing(self) -> NtaStanding:
        """What follows while it counts."""
        return NtaStanding(
            self.allow, f"the NTA 7516 register {'allows' if self.allow else 'denies'} {self.domain}: {self.reason}"
        )


@dataclass(frozen=True, slots=True)
class NtaProvider:
    """What we do as a provider under NTA 7516: ``own`` has the record that each compliant organisation publishes, by
    its id. ``header`` is the name and exact value of the field between providers, ("", "") where none is agreed.
    ``peers`` holds the networks that other providers may send from; None where that isn't looked at."""

    own: Mapping[str, NtaRecord] = field(default_factory=dict)
    header: tuple[str, str] = ("", "")
    peers: NetworkTable[Literal[True]] | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """A login: a person's (Hosted Mail) or a mail server's (Safe Relay by AUTH).

    ``addresses`` are the address keys it may send from and receive at. A machine's account has none and may use
    all of its organisation's domains. ``verifier`` is "{ARGON2ID}…" or "{SCRAM-SHA-256}…".
    """

    name: str
    organisation: str
    addresses: frozenset[str] = frozenset()
    machine: bool = False
    verifier: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a network or certificate stands for: an organisation, or a platform with its tenants."""

    organisations: tuple[str, ...]
    platform: str = ""


@dataclass(frozen=True, slots=True)
class Recognition:
    """What a mail server is recognised by. ``spki`` and ``names`` are of client certificates, ``names`` count only
    when the certificate's chain was verified."""

    networks: NetworkTable[Owner] = field(default_factory=NetworkTable)
    spki: Mapping[str, Owner] = field(default_factory=dict)
    names: Mapping[str, Owner] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Directory:
    """The snapshot. Use the methods; the mappings are its data."""

    organisations: Mapping[str, Organisation]
    domainbook: Mapping[Domain, DomainEntry]
    nta: Mapping[Domain, NtaEntry]
    accounts: Mapping[str, Account]
    mailboxes: Mapping[str, str]  # address key (aliases included) → account name
    recognition: Recognition = Recognition()
    owners: Mapping[Domain, str] = field(default_factory=dict)  # an organisation's own domain → its id
    mailbox_stores: frozenset[str] = frozenset()  # the names under mailboxes: in relayd.yaml
    folders: frozenset[str] = frozenset()  # the names under folders:
    systems: frozenset[str] = frozenset()  # the names under systems:
    folder_names: Mapping[str, str] = field(default_factory=dict)  # folder → how EDI files are named there
    report_address: str = ""  # the key of the address whose mail relayd reads itself
    viewer_domain: Domain | None = None  # of the Viewer's own addresses; None where there is no Viewer
    nta_provider: NtaProvider = NtaProvider()
    edi_gateway: Domain | None = None  # of mail that is delivered by the receiver's number
    edi_numbers: Mapping[str, Address] = field(default_factory=dict)  # number in lower case → mailbox

    def recognise(self, peer: Peer) -> Origin:
        """Who this peer is. What it proved most strongly counts: a login, then a certificate, then its network."""
        if peer.account is not None:
            # A login never falls back to the network: a removed account is nobody, wherever it comes from.
            account = self.accounts.get(peer.account)
            return Origin(Via.ACCOUNT, (account.organisation,), account=account.name) if account else STRANGER
        if peer.listener is Listener.SUBMISSION:
            return STRANGER  # people's mail clients log in; an office network proves nothing about a person
        if owner := self._certificate(peer.tls):
            return Origin(Via.CERTIFICATE, owner.organisations, owner.platform)
        if owner := self.recognition.networks.find(peer.address):
            return Origin(Via.NETWORK, owner.organisations, owner.platform)
        return STRANGER

    def _certificate(self, tls: TlsFacts | None) -> Owner | None:
        if tls is None or tls.spki_sha256 is None:
            return None
        if owner := self.recognition.spki.get(tls.spki_sha256):
            return owner
        if not tls.verified:
            return None
        owners = {self.recognition.names[name] for name in tls.names if name in self.recognition.names}
        return owners.pop() if len(owners) == 1 else None  # names of two customers prove neither

    def served(self, domain: Domain) -> Organisation | None:
        """The organisation whose domain this is; None when anyone outside may not reach it through us.

        A participant's domain that isn't in the domainbook gets its mail elsewhere.
        """
        entry = self.domainbook.get(domain)
        return self.organisations.get(entry.organisation) if entry and entry.organisation else None

    def owner(self, domain: Domain) -> Organisation | None:
        """The organisation that has this domain as its own, in the domainbook or not."""
        return self.organisations.get(self.owners.get(domain, ""))

    def reads_reports(self, address: Address) -> bool:
        """Whether mail to this address is for relayd itself: reports of others."""
        return bool(self.report_address) and address.key == self.report_address

    def is_the_viewers(self, domain: Domain) -> bool:
        """Whether addresses there are the Viewer's own: readers', and those of its notifications."""
        return domain == self.viewer_domain

    def is_the_gateways(self, domain: Domain) -> bool:
        """Whether addresses there stand for receivers of EDI by their number."""
        return domain == self.edi_gateway

    def edi_mailbox(self, number: str) -> Address | None:
        """The mailbox of this number in EDI."""
        return self.edi_numbers.get(number.strip().casefold())

    def about_us(self, domain: str) -> bool:
        """Whether this is a domain of ours or of somebody connected, or below one: whom reports that we get are
        about."""
        labels = domain.split(".")
        names = [Domain(".".join(labels[start:])) for start in range(len(labels))]
        return any(name in self.owners or name in self.domainbook for name in names)

    def mailbox(self, address: Address) -> str | None:
        """The account whose mailbox this address reaches, on a hosted domain."""
        entry = self.domainbook.get(address.domain)
        if entry is None or entry.delivers is not Delivers.MAILBOX:
            return None
        return self.mailboxes.get(address.key)
