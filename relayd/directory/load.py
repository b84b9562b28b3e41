"""From settings to directory: one pass over the files, after which every lookup is a dictionary access."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from relayd.directory.directory import (
    Account,
    Delivers,
    Directory,
    DomainEntry,
    NtaEntry,
    NtaProvider,
    Organisation,
    OrganisationSettings,
    Owner,
    Recognition,
    TenantProof,
)
from relayd.directory.networks import NetworkTable
from relayd.directory.nta7516 import NtaMx, NtaRecord, first_day, last_day
from relayd.mail.address import Address, Domain, parse_address
from relayd.settings.accounts import AccountLine
from relayd.settings.load import Loaded
from relayd.settings.organisations import (
    CertificateSettings,
    InheritedSettings,
    OrganisationEntry,
    OrganisationsFile,
)
from relayd.settings.registers import DomainbookEntry, NtaEntrySettings, NtaOwnSettings, NtaRegister


def build(loaded: Loaded) -> Directory:
    """The directory that ``loaded`` describes."""
    file = loaded.organisations
    installation = _inherit(OrganisationSettings(retention_days=loaded.configuration.retention.days), file.settings)
    return Directory(
        organisations={
            name: _organisation(name, entry, installation, loaded.contacts.get(name, {}))
            for name, entry in file.organisations.items()
        },
        domainbook={domain: _domain(domain, entry) for domain, entry in loaded.domainbook.items()},
        nta={domain: _nta(domain, entry) for domain, entry in loaded.nta.others.items()},
        accounts={line.name.key: _account(line) for line in loaded.accounts},
        mailboxes={
            address.key: line.name.key
            for line in loaded.accounts
            if not line.machine
            for address in (line.name, *line.aliases)
        },
        recognition=_recognition(file),
        mailbox_stores=frozenset(loaded.configuration.mailboxes),
        folders=frozenset(loaded.configuration.folders),
        systems=frozenset(loaded.configuration.systems),
        folder_names={name: folder.names for name, folder in loaded.configuration.folders.items()},
        report_address=parse_address(address).key if (address := loaded.configuration.reports.address) else "",
        viewer_domain=loaded.configuration.viewer_mail_domain if loaded.configuration.viewer.enabled else None,
        nta_provider=_nta_provider(loaded.nta),
        edi_gateway=loaded.configuration.edi.gateway,
        edi_numbers=_edi_numbers(loaded),
        owners={domain: name for name, entry in file.organisations.items() for domain in entry.domains},
    )


def _edi_numbers(loaded: Loaded) -> dict[str, Address]:
    found = {number.casefold(): line.name for line in loaded.accounts for number in line.edi_numbers}
    for entry in loaded.organisations.organisations.values():
        found |= {number.casefold(): parse_address(mailbox) for number, mailbox in entry.edi_numbers.items()}
    return found


def _inherit(settings: OrganisationSettings, *narrower: InheritedSettings) -> OrganisationSettings:
    """``settings`` with what narrower scopes say, the narrowest last."""
    values = {name: getattr(settings, name) for name in InheritedSettings.model_fields}
    for scope in narrower:
        values |= {name: value for name, value in scope if value is not None}
    return OrganisationSettings(**values)


def _organisation(
    name: str, entry: OrganisationEntry, installation: OrganisationSettings, contacts: Mapping[str, str]
) -> Organisation:
    settings = _inherit(installation, entry.settings)
    proof = entry.platform.proof if entry.platform else None
    return Organisation(
        id=name,
        name=entry.name,
        domains=frozenset(entry.domains),
        relays_for=frozenset(entry.relays_for),
        settings=settings,
        contacts=contacts,
        proof=TenantProof((proof.header or "").lower(), proof.value or "", bool(proof.dkim)) if proof else None,
        domain_settings={domain: _inherit(settings, own) for domain, own in entry.domain_settings.items()},
    )


def _domain(domain: Domain, entry: DomainbookEntry) -> DomainEntry:
    return DomainEntry(
        domain=domain,
        delivers=Delivers(entry.delivers),
        organisation=entry.organisation or "",
        network=entry.network or "",
        next_hops=entry.next_hops,
        tls_names=entry.tls_names,
        pins=entry.pins,
        ca_file=str(entry.ca_file or ""),
        insecure_plaintext=entry.insecure_plaintext,
        dane=entry.dane,
        store=entry.store or "",
    )


def _nta(domain: Domain, entry: NtaEntrySettings) -> NtaEntry:
    return NtaEntry(
        domain=domain,
        allow=entry.allow,
        reason=entry.reason,
        until=entry.until,
        hosts=entry.hosts,
        tls_names=entry.tls_names,
        ca_file=str(entry.ca_file or ""),
    )


def _nta_provider(register: NtaRegister) -> NtaProvider:
    return NtaProvider(
        own={name: _record(entry) for name, entry in register.own.items()},
        header=(register.header.name, register.header.value) if register.header else ("", ""),
        peers=NetworkTable((network, True) for network in register.peer_networks) if register.peer_networks else None,
    )


def _record(entry: NtaOwnSettings) -> NtaRecord:
    """What the organisation's domains publish: preferences in steps of ten, so that a host can be put between."""
    mx = tuple(NtaMx(10 * number, host) for number, host in enumerate(entry.ntamx, 1))
    return NtaRecord(entry.provider, first_day(entry.start), last_day(entry.end), mx)


def _account(line: AccountLine) -> Account:
    return Account(
        name=line.name.key,
        organisation=line.organisation,
        addresses=frozenset() if line.machine else frozenset(one.key for one in (line.name, *line.aliases)),
        machine=line.machine,
        verifier=line.verifier,
    )


def _recognition(file: OrganisationsFile) -> Recognition:
    tenants: dict[str, list[str]] = {name: [] for name in file.platforms}
    owners = []
    for name, entry in file.organisations.items():
        owners.append((Owner((name,)), entry.recognised_by.networks, entry.recognised_by.certificates))
        if entry.platform is not None:
            tenants[entry.platform.id].append(name)
    for name, platform in file.platforms.items():
        owners.append((Owner(tuple(tenants[name]), name), platform.networks, platform.certificates))
    return Recognition(
        networks=NetworkTable((network, owner) for owner, networks, _ in owners for network in networks),
        spki=dict(_certificates(((owner, certificates) for owner, _, certificates in owners), "spki_sha256")),
        names=dict(_certificates(((owner, certificates) for owner, _, certificates in owners), "name")),
    )


def _certificates(
    owners: Iterable[tuple[Owner, tuple[CertificateSettings, ...]]], key: str
) -> Iterable[tuple[str, Owner]]:
    for owner, certificates in owners:
        for certificate in certificates:
            if value := getattr(certificate, key):
                yield value, owner
