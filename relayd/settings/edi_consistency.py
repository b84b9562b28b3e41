"""What the files must agree on about EDI: rules that lead somewhere, and numbers that are one mailbox's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from relayd.errors import Problem
from relayd.mail.address import Domain, parse_address
from relayd.settings.accounts import AccountLine
from relayd.settings.explain import suggest
from relayd.settings.models import Configuration
from relayd.settings.organisations import OrganisationsFile, scopes
from relayd.settings.registers import DomainbookEntry
from relayd.settings.source import Location, Source

_POLICY: Final = "needs the policy edi, in front of domainbook: put `- policy: edi` there in policies.yaml"


def edi_problems(
    sources: Mapping[str, Source],
    configuration: Configuration,
    organisations: OrganisationsFile,
    domainbook: Mapping[Domain, DomainbookEntry],
    accounts: Sequence[AccountLine],
    policies: Sequence[str],
) -> Iterator[Problem]:
    """Every contradiction. ``policies`` are the names in policies.yaml, in their order."""
    source = sources["organisations.yaml"]
    ahead = policies[: policies.index("domainbook")] if "domainbook" in policies else policies
    asked = "edi" in ahead or not policies
    yield from _rules(source, configuration, organisations, asked=asked)
    yield from _gateway(sources["relayd.yaml"], configuration, organisations, domainbook, asked=asked)
    yield from _numbers(source, configuration, organisations, domainbook, accounts)


def _rules(
    source: Source, configuration: Configuration, organisations: OrganisationsFile, *, asked: bool
) -> Iterator[Problem]:
    for at, settings in scopes(organisations):
        if not asked and (settings.edi_rules or settings.edi_outside):
            yield source.problem([*at, "edi_rules" if settings.edi_rules else "edi_outside"], _POLICY)
        for number, rule in enumerate(settings.edi_rules or ()):
            if rule.folder is not None and rule.folder not in configuration.folders:
                hint = suggest(rule.folder, configuration.folders) or "add it under folders in relayd.yaml"
                text = f"there is no folder called {rule.folder}; {hint}"
                yield source.problem([*at, "edi_rules", number, "folder"], text)
            if rule.system is not None and rule.system not in configuration.systems:
                hint = suggest(rule.system, configuration.systems) or "add it under systems in relayd.yaml"
                text = f"there is no system called {rule.system}; {hint}"
                yield source.problem([*at, "edi_rules", number, "system"], text)


def _gateway(
    source: Source,
    configuration: Configuration,
    organisations: OrganisationsFile,
    domainbook: Mapping[Domain, DomainbookEntry],
    *,
    asked: bool,
) -> Iterator[Problem]:
    domain = configuration.edi.gateway
    if domain is None:
        return
    if not asked:
        yield source.problem(["edi", "gateway"], _POLICY)
    taken = domain in domainbook or (configuration.viewer.enabled and domain == configuration.viewer_mail_domain)
    if taken or any(domain in (*one.domains, *one.relays_for) for one in organisations.organisations.values()):
        text = f"{domain} is somebody's mail domain already, and this one is for EDI by number alone; give another"
        yield source.problem(["edi", "gateway"], text)


def _numbers(
    source: Source,
    configuration: Configuration,
    organisations: OrganisationsFile,
    domainbook: Mapping[Domain, DomainbookEntry],
    accounts: Sequence[AccountLine],
) -> Iterator[Problem]:
    """A number that were two mailboxes' would bring one patient's results to two practices."""
    owners: dict[str, str] = {}
    hosted = {address.key for line in accounts if not line.machine for address in (line.name, *line.aliases)}
    for name, entry in organisations.organisations.items():
        sender = entry.settings.edi_sender
        if sender and parse_address(sender).domain not in (*entry.domains, *entry.relays_for):
            text = f"expected an address at a domain that {name} may send from"
            yield source.problem(["organisations", name, "settings", "edi_sender"], text)
        for number, mailbox in entry.edi_numbers.items():
            at: Location = ["organisations", name, "edi_numbers", number]
            if (owner := owners.setdefault(number.casefold(), mailbox)) != mailbox:
                yield source.problem(at, f"is the number of {owner} already; a number is one mailbox's")
            address = parse_address(mailbox) if mailbox else None
            book = domainbook.get(address.domain) if address else None
            if address is None or book is None or book.organisation != name:
                yield source.problem(at, f"expected an address at a domain of {name} that is in domainbook.yaml")
            elif book.delivers == "mailbox" and address.key not in hosted:
                yield source.problem(at, f"there is no mailbox {mailbox}; relayd account add makes one")
    for line in accounts:
        for number in line.edi_numbers:
            if (owner := owners.setdefault(number.casefold(), line.name.key)) != line.name.key:
                text = f"{number} is the number of {owner} already; a number is one mailbox's"
                yield Problem(configuration.accounts, line.line, str(line.name), text)
            if line.machine:
                text = "a machine has no mailbox for EDI; give the number to a person's account, or to the organisation"
                yield Problem(configuration.accounts, line.line, str(line.name), text)
