"""What the files must agree on among themselves. Pure: everything here can be said without looking at the machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from relayd.errors import Problem
from relayd.mail.address import Domain
from relayd.settings.accounts import AccountLine
from relayd.settings.edi_consistency import edi_problems
from relayd.settings.explain import suggest
from relayd.settings.models import Configuration
from relayd.settings.organisations import (
    PER_DOMAIN,
    OrganisationsFile,
    PlatformEntry,
    PlatformMembership,
    RecognisedBy,
    scopes,
)
from relayd.settings.policies import PolicySettings
from relayd.settings.registers import DomainbookEntry, NtaRegister
from relayd.settings.sms import COUNTRIES
from relayd.settings.soundness import unsound
from relayd.settings.source import Source

#: A network shorter than this isn't one customer's: it would make relayd an open relay.
_SHORTEST = {4: 8, 6: 16}


def inconsistencies(
    sources: Mapping[str, Source],
    configuration: Configuration,
    organisations: OrganisationsFile,
    domainbook: Mapping[Domain, DomainbookEntry],
    nta: NtaRegister,
    accounts: Sequence[AccountLine],
    policies: Sequence[PolicySettings] = (),
) -> list[Problem]:
    """Every contradiction between the files."""
    source = sources["organisations.yaml"]
    return [
        *unsound(sources["relayd.yaml"], configuration),
        *_domains(source, organisations),
        *_networks(source, organisations),
        *_certificates(source, organisations, has_client_ca=configuration.tls.client_ca is not None),
        *_platforms(source, organisations),
        *_machines(source, organisations, accounts),
        *_domainbook(sources["domainbook.yaml"], configuration, organisations, domainbook),
        *_nta(sources["nta7516.yaml"], organisations, nta, policies),
        *_accounts(configuration, organisations, accounts),
        *_published(source, configuration, organisations),
        *_reports(sources["relayd.yaml"], configuration, policies),
        *edi_problems(sources, configuration, organisations, domainbook, accounts, [one.policy for one in policies]),
        *_viewer_domain(sources["relayd.yaml"], configuration, organisations, domainbook),
        *_countries(sources["policies.yaml"], configuration, policies),
    ]


def _published(source: Source, configuration: Configuration, organisations: OrganisationsFile) -> Iterator[Problem]:
    """MTA-STS policies are the web process's to serve."""
    if configuration.viewer.enabled:
        return
    for at, settings in scopes(organisations):
        if settings.mta_sts is not None:
            text = "is served by the web process, which viewer.enabled: false in relayd.yaml leaves out"
            yield source.problem([*at, "mta_sts"], text)


def _reports(source: Source, configuration: Configuration, policies: Sequence[PolicySettings]) -> Iterator[Problem]:
    """Mail for the reports' address has to be routed there before somebody else claims its domain."""
    names = [entry.policy for entry in policies]
    if configuration.reports.address and names:
        ahead = names[: names.index("domainbook")] if "domainbook" in names else names
        if "reports" not in ahead:
            text = "needs the policy reports, in front of domainbook: put `- policy: reports` there in policies.yaml"
            yield source.problem(["reports", "address"], text)


def _viewer_domain(
    source: Source,
    configuration: Configuration,
    organisations: OrganisationsFile,
    domainbook: Mapping[Domain, DomainbookEntry],
) -> Iterator[Problem]:
    """All mail for the Viewer's domain is the Viewer's: whatever else somebody had there would be refused."""
    domain = configuration.viewer_mail_domain
    taken = domain in domainbook or any(
        domain in (*entry.domains, *entry.relays_for) for entry in organisations.organisations.values()
    )
    if configuration.viewer.enabled and taken:
        text = f"{domain} is somebody's mail domain already, and this one is for the Viewer alone; give another"
        yield source.problem(["viewer", "mail_domain"], text)


def _countries(source: Source, configuration: Configuration, policies: Sequence[PolicySettings]) -> Iterator[Problem]:
    """A number that the policy lets through has to get its code."""
    for number, entry in enumerate(policies):
        listed = entry.options.get("countries", list(COUNTRIES)) if entry.policy == "viewer" else None
        for country in listed if isinstance(listed, list) else ():
            if country not in configuration.sms.countries:
                text = f"{country} isn't under sms.countries in relayd.yaml: mail would be taken that no code opens"
                yield source.problem([number, "countries"], text)


@dataclass(frozen=True, slots=True)
class _Claim:
    """Whose a way of being recognised is ("organisation x", "platform x"), and where it says so."""

    owner: str
    at: tuple[str | int, ...]

    def item(self, *further: str | int) -> _Claim:
        return _Claim(self.owner, (*self.at, *further))


def _claims(organisations: OrganisationsFile) -> Iterator[tuple[_Claim, RecognisedBy | PlatformEntry]]:
    for name, entry in organisations.organisations.items():
        yield _Claim(f"organisation {name}", ("organisations", name, "recognised_by")), entry.recognised_by
    for name, platform in organisations.platforms.items():
        yield _Claim(f"platform {name}", ("platforms", name)), platform


def _domains(source: Source, organisations: OrganisationsFile) -> Iterator[Problem]:
    owners: dict[Domain, str] = {}
    for name, entry in organisations.organisations.items():
        at = ("organisations", name)
        for number, domain in enumerate(entry.domains):
            owner = owners.setdefault(domain, name)
            if owner != name:
                yield source.problem(
                    [*at, "domains", number],
                    f"{domain} is {owner}'s already; a provider lists it under relays_for instead",
                )
        for domain in entry.domain_settings:
            if domain not in entry.domains and domain not in entry.relays_for:
                hint = suggest(domain, [*entry.domains, *entry.relays_for])
                yield source.problem([*at, "domain_settings", domain], f"isn't a domain of {name}; {hint}")
        for domain, own in entry.domain_settings.items():
            for key in sorted(own.model_fields_set - PER_DOMAIN):
                text = f"holds for a whole organisation, not for one domain; put it under the settings of {name}"
                yield source.problem([*at, "domain_settings", domain, key], text)


def _networks(source: Source, organisations: OrganisationsFile) -> Iterator[Problem]:
    """Networks of two owners may not even overlap: the inner one's mail would pass for the outer one's.

    Sorted by start and then by size, a network can only overlap one that is still open on the stack.
    """
    claims: list[tuple[_Claim, IPv4Network | IPv6Network]] = []
    for owner, recognised in _claims(organisations):
        for number, network in enumerate(recognised.networks):
            claims.append((owner.item("networks", number), network))
    claims.sort(key=lambda one: (one[1].version, int(one[1].network_address), one[1].prefixlen))
    open_: list[tuple[_Claim, IPv4Network | IPv6Network]] = []
    for claim, network in claims:
        if network.prefixlen < (shortest := _SHORTEST[network.version]):
            yield source.problem(claim.at, f"is too much of the internet; list networks of /{shortest} or smaller")
        while open_ and not _holds(open_[-1][1], network):
            open_.pop()
        for other, outer in reversed(open_):
            if other.owner != claim.owner:
                same = "is" if outer == network else f"lies inside {outer},"
                yield source.problem(
                    claim.at,
                    f"{same} listed for {other.owner} too (line {source.line(other.at)}); a network that several "
                    "share goes under platforms, and each organisation gets platform: {id, proof}",
                )
                break
        open_.append((claim, network))


def _holds(outer: IPv4Network | IPv6Network, inner: IPv4Network | IPv6Network) -> bool:
    return outer.version == inner.version and int(inner.network_address) <= int(outer.broadcast_address)


def _certificates(source: Source, organisations: OrganisationsFile, *, has_client_ca: bool) -> Iterator[Problem]:
    seen: dict[str, _Claim] = {}
    for owner, recognised in _claims(organisations):
        for number, certificate in enumerate(recognised.certificates):
            claim = owner.item("certificates", number)
            if certificate.name and not has_client_ca:
                yield source.problem(
                    [*claim.at, "name"], "needs tls.client_ca in relayd.yaml: the CA that vouches for the name"
                )
            other = seen.setdefault(certificate.spki_sha256 or certificate.name or "", claim)
            if other.owner != claim.owner:
                yield source.problem(
                    claim.at,
                    f"is listed for {other.owner} too (line {source.line(other.at)}); a certificate that several "
                    "share goes under platforms, and each organisation gets platform: {id, proof}",
                )


def _platforms(source: Source, organisations: OrganisationsFile) -> Iterator[Problem]:
    for name, platform in organisations.platforms.items():
        if not platform.networks and not platform.certificates:
            yield source.problem(["platforms", name], "needs networks or certificates to be recognised by")
    proofs: dict[tuple[str, str, str], str] = {}
    for name, entry in organisations.organisations.items():
        if entry.platform is None:
            continue
        at = ("organisations", name, "platform")
        if entry.platform.id not in organisations.platforms:
            hint = suggest(entry.platform.id, organisations.platforms) or "add it under platforms"
            yield source.problem([*at, "id"], f"there is no platform {entry.platform.id}; {hint}")
        if (proof := _header_proof(entry.platform)) and proofs.setdefault(proof, name) != name:
            yield source.problem(
                [*at, "proof"], f"is {proofs[proof]}'s proof too, so either could send as the other; give its own value"
            )


def _header_proof(membership: PlatformMembership) -> tuple[str, str, str] | None:
    if membership.proof.header is None or membership.proof.value is None:
        return None
    return membership.id, membership.proof.header.lower(), membership.proof.value


def _machines(source: Source, organisations: OrganisationsFile, accounts: Sequence[AccountLine]) -> Iterator[Problem]:
    machines = {account.name.key: account.organisation for account in accounts if account.machine}
    for name, entry in organisations.organisations.items():
        for number, account in enumerate(entry.recognised_by.accounts):
            if machines.get(account.casefold()) != name:
                yield source.problem(
                    ["organisations", name, "recognised_by", "accounts", number],
                    f"isn't a machine account of {name}; "
                    f"make it with: relayd account add {account} --organisation {name} --machine",
                )


def _domainbook(
    source: Source,
    configuration: Configuration,
    organisations: OrganisationsFile,
    domainbook: Mapping[Domain, DomainbookEntry],
) -> Iterator[Problem]:
    owned = {domain for entry in organisations.organisations.values() for domain in entry.domains}
    for written, (domain, entry) in zip(source.value or (), domainbook.items(), strict=False):
        if entry.organisation is not None:
            owner = organisations.organisations.get(entry.organisation)
            if owner is None:
                hint = suggest(entry.organisation, organisations.organisations)
                yield source.problem(
                    [written, "organisation"], f"there is no organisation {entry.organisation}; {hint}"
                )
            elif domain not in owner.domains and (domain in owned or domain not in owner.relays_for):
                yield source.problem(
                    [written, "organisation"],
                    f"{domain} isn't among the domains of {entry.organisation}; add it to organisations.yaml",
                )
        if entry.delivers == "relay":
            continue
        section = "mailboxes" if entry.delivers == "mailbox" else "folders"
        stores = set(configuration.mailboxes if entry.delivers == "mailbox" else configuration.folders)
        if entry.store not in stores:
            hint = suggest(entry.store or "", stores) or f"add it under {section} in relayd.yaml"
            yield source.problem([written, "store"], f"there is no {entry.delivers} called {entry.store}; {hint}")


def _nta(
    source: Source, organisations: OrganisationsFile, nta: NtaRegister, policies: Sequence[PolicySettings]
) -> Iterator[Problem]:
    if nta.header and policies and "nta7516_received" not in (entry.policy for entry in policies):
        text = "needs the policy nta7516_received, or anybody's header would be believed: put it into policies.yaml"
        yield source.problem(["header"], text)
    for name in nta.own:
        if name not in organisations.organisations:
            hint = suggest(name, organisations.organisations)
            yield source.problem(["own", name], f"there is no organisation {name}; {hint}")


def _accounts(
    configuration: Configuration, organisations: OrganisationsFile, accounts: Sequence[AccountLine]
) -> Iterator[Problem]:
    owners: dict[str, AccountLine] = {}
    for account in accounts:
        entry = organisations.organisations.get(account.organisation)
        if entry is None:
            hint = suggest(account.organisation, organisations.organisations)
            text = f"there is no organisation {account.organisation}; {hint}"
            yield Problem(configuration.accounts, account.line, str(account.name), text)
        for address in (account.name, *account.aliases):
            owner = owners.setdefault(address.key, account)
            if owner is not account:
                text = f"is an address of the account on line {owner.line} already; remove one"
                yield Problem(configuration.accounts, account.line, str(address), text)
            if entry is not None and address.domain not in entry.domains:
                hint = suggest(address.domain, entry.domains)
                text = f"{address.domain} isn't a domain of {account.organisation}; {hint}"
                yield Problem(configuration.accounts, account.line, str(address), text)
