"""The configuration folder as one value, or every mistake in it at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel

from relayd.errors import ConfigurationError, Problem
from relayd.mail.address import Domain
from relayd.settings.accounts import AccountLine, read_accounts
from relayd.settings.consistency import inconsistencies
from relayd.settings.contacts import read_contacts
from relayd.settings.explain import validate
from relayd.settings.models import Configuration
from relayd.settings.organisations import OrganisationsFile
from relayd.settings.policies import PolicyList, PolicySettings
from relayd.settings.registers import Domainbook, DomainbookEntry, NtaRegister
from relayd.settings.source import Source, read

CONFIGURATION: Final = "relayd.yaml"
POLICIES: Final = "policies.yaml"
ORGANISATIONS: Final = "organisations.yaml"
DOMAINBOOK: Final = "domainbook.yaml"
NTA: Final = "nta7516.yaml"

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Loaded:
    """All files, read and consistent. ``sources`` trace a location in a file to its line; paths are absolute."""

    folder: Path
    configuration: Configuration
    policies: tuple[PolicySettings, ...]
    organisations: OrganisationsFile
    domainbook: Mapping[Domain, DomainbookEntry]
    nta: NtaRegister
    accounts: tuple[AccountLine, ...]
    contacts: Mapping[str, Mapping[str, str]] = field(repr=False)
    sources: Mapping[str, Source] = field(repr=False)


def load(folder: Path) -> Loaded:
    """Read the configuration in ``folder``; raises ConfigurationError with all problems of all files."""
    reader = _Reader(folder.absolute())
    configuration = reader.read(CONFIGURATION, Configuration, required=True)
    policies = reader.read(POLICIES, PolicyList, required=True, empty=[])
    organisations = reader.read(ORGANISATIONS, OrganisationsFile, required=True)
    domainbook = reader.read(DOMAINBOOK, Domainbook, empty={})
    nta = reader.read(NTA, NtaRegister, empty={})
    accounts = reader.accounts(configuration)
    contacts = reader.contacts(organisations)
    if configuration and organisations and domainbook and nta:
        listed = policies.root if policies else ()
        reader.problems += inconsistencies(
            reader.sources, configuration, organisations, domainbook.root, nta, accounts, listed
        )
    if reader.problems or not (configuration and policies and organisations and domainbook and nta):
        raise ConfigurationError(reader.problems)
    return Loaded(
        folder=reader.folder,
        configuration=configuration,
        policies=policies.root,
        organisations=organisations,
        domainbook=domainbook.root,
        nta=nta,
        accounts=tuple(accounts),
        contacts=contacts,
        sources={name: source.lean() for name, source in reader.sources.items()},
    )


def load_configuration(folder: Path) -> Configuration:
    """relayd.yaml alone, for commands that need no more; raises ConfigurationError."""
    return _alone(folder, CONFIGURATION, Configuration)


def load_organisations(folder: Path) -> OrganisationsFile:
    """organisations.yaml alone; raises ConfigurationError."""
    return _alone(folder, ORGANISATIONS, OrganisationsFile)


def _alone(folder: Path, name: str, model: type[M]) -> M:
    reader = _Reader(folder.absolute())
    parsed = reader.read(name, model, required=True)
    if parsed is None or reader.problems:
        raise ConfigurationError(reader.problems)
    return parsed


class _Reader:
    """Reads file by file and keeps what is wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sources: dict[str, Source] = {}
        self.problems: list[Problem] = []

    def read(self, name: str, model: type[M], *, required: bool = False, empty: object = None) -> M | None:
        path = self.folder / name
        absent = not required and not path.exists()
        source, problems = (Source(path), []) if absent else read(path)
        self.sources[name] = source
        self.problems += problems
        if problems and source.value is None:
            return None
        value = empty if source.value is None and empty is not None else source.value
        parsed, found = validate(model, source, value, context={"folder": self.folder})
        self.problems += found + _doubled(source, parsed)
        return parsed

    def accounts(self, configuration: Configuration | None) -> list[AccountLine]:
        if configuration is None:
            return []
        chosen = "accounts" in configuration.model_fields_set
        if not chosen and not configuration.accounts.exists():
            return []
        accounts, problems = read_accounts(configuration.accounts)
        self.problems += problems
        return accounts

    def contacts(self, organisations: OrganisationsFile | None) -> dict[str, dict[str, str]]:
        contacts: dict[str, dict[str, str]] = {}
        for name, entry in (organisations.organisations if organisations else {}).items():
            if entry.contacts_file is not None:
                contacts[name], problems = read_contacts(entry.contacts_file)
                self.problems += problems
        return contacts


def _doubled(source: Source, parsed: BaseModel | None) -> list[Problem]:
    """Domains that are one and the same after normalisation, such as Clinic.example and clinic.example."""
    at, entries, written = _domains_in(source, parsed)
    if len(entries) == len(written):
        return []
    seen: set[str] = set()
    problems = []
    for key in written:
        name = key.strip().rstrip(".").lower()
        if name in seen:
            problems.append(source.problem([*at, key], "is the same domain as an earlier line; keep one of them"))
        seen.add(name)
    return problems or [source.problem(at, "two of the domains are the same in A-labels; keep one of them")]


def _domains_in(source: Source, parsed: BaseModel | None) -> tuple[list[str], Sized, Collection[str]]:
    """Where a file has a mapping from domains, the mapping as it was understood, and its keys as they were written."""
    match parsed:
        case Domainbook():
            return [], parsed.root, source.value or {}
        case NtaRegister():
            return ["others"], parsed.others, (source.value or {}).get("others") or {}
        case _:
            return [], (), ()
