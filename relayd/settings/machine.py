"""What the settings need from this machine: certificates, keys and secrets that are there, fit, and are well kept."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from relayd.errors import Problem
from relayd.settings.load import CONFIGURATION, DOMAINBOOK, NTA, ORGANISATIONS, Loaded
from relayd.settings.organisations import LARGEST_LOGO, PNG, InheritedSettings, scopes
from relayd.settings.sms import LONGEST_PASSWORD, GatewaySettings, SmsSettings
from relayd.settings.source import Location, Source

T = TypeVar("T")

_GROUP_AND_OTHERS = 0o077
#: Files that may be credentials of systemd: these have an ACL for the service, which shows as a group that may read.
_ALL_BUT_READING_BY_GROUP = 0o037
_OTHERS = 0o007
_MAY_WRITE = 0o022


def missing_or_unfit(loaded: Loaded) -> list[Problem]:
    """Every file that the settings name and that can't serve."""
    return [
        *_relayd(loaded),
        *_organisations(loaded),
        *_registers(loaded),
    ]


def out_of_date(loaded: Loaded, now: float) -> list[Problem]:
    """Our certificates that have expired, or aren't valid yet. They are mistakes, but no reason to let mail wait."""
    source, configuration = loaded.sources[CONFIGURATION], loaded.configuration
    files = {"tls": configuration.tls.certificate, "viewer": configuration.viewer.certificate}
    problems, moment = [], datetime.fromtimestamp(now, UTC)
    for key, path in files.items():
        chain, _ = _parsed(path, x509.load_pem_x509_certificates, "") if path is not None else (None, "")
        if not chain:
            continue
        first, last = chain[0].not_valid_before_utc, chain[0].not_valid_after_utc
        if last < moment:
            problems.append(source.problem([key, "certificate"], f"{path} expired on {last:%Y-%m-%d}"))
        if first > moment:
            problems.append(source.problem([key, "certificate"], f"{path} isn't valid before {first:%Y-%m-%d}"))
    return problems


def unshown_logos(loaded: Loaded) -> list[Problem]:
    """Logos that can't be shown. They are mistakes, but pages and mails do without them."""
    source, organisations = loaded.sources[ORGANISATIONS], loaded.organisations
    places: list[tuple[list[str], Path | None]] = [(["settings"], organisations.settings.logo)]
    for name, entry in organisations.organisations.items():
        places.append((["organisations", name, "settings"], entry.settings.logo))
        places += [
            (["organisations", name, "domain_settings", domain], own.logo)
            for domain, own in entry.domain_settings.items()
        ]
    return [
        source.problem([*at, "logo"], problem)
        for at, path in places
        if path is not None and (problem := _unshown(path))
    ]


def _unshown(path: Path) -> str:
    data, problem = _parsed(path, bytes, "")
    if data is None:
        return problem
    if len(data) > LARGEST_LOGO:
        return f"{path} is larger than {LARGEST_LOGO // 1024} KiB, so it isn't shown"
    if not data.startswith(PNG) and b"<svg" not in data:
        return f"{path} is neither PNG nor SVG, so it isn't shown"
    return ""


def _relayd(loaded: Loaded) -> Iterator[Problem]:
    source, configuration = loaded.sources[CONFIGURATION], loaded.configuration
    tls, viewer = configuration.tls, configuration.viewer
    yield from _pair(source, ["tls"], tls.certificate, tls.key)
    if viewer.certificate is not None and viewer.key is not None:
        yield from _pair(source, ["viewer"], viewer.certificate, viewer.key)
    for key, path in (("client_ca", tls.client_ca), ("trusted_ca", tls.trusted_ca)):
        if path is not None:
            yield from _authorities(source, ["tls", key], path)
    yield from _sms(source, configuration.sms)
    if configuration.keys.exists():
        yield from _kept(source, ["keys"], configuration.keys, _GROUP_AND_OTHERS, 0o700)
    if loaded.accounts:
        yield from _kept(source, ["accounts"], configuration.accounts, _OTHERS, 0o640)
    for number, folder in enumerate(configuration.policy_folders):
        at = ("policy_folders", number)
        if not folder.is_dir():
            yield source.problem(at, f"{folder} isn't a folder; make it or remove it here")
            continue
        for path in (folder, *sorted(folder.glob("*.py"))):
            yield from _kept(source, at, path, _MAY_WRITE, 0o755 if path is folder else 0o644)


def _sms(source: Source, sms: SmsSettings) -> Iterator[Problem]:
    places: list[tuple[list[str], GatewaySettings]] = [(["sms"], sms)]
    places += [(["sms", "gateways", name], gateway) for name, gateway in sms.gateways.items()]
    for at, gateway in places:
        receipts = gateway.receipts
        for key, path in ((at, gateway.secret_file), ([*at, "receipts"], receipts.secret_file if receipts else None)):
            if path is not None:
                yield from _kept(source, [*key, "secret_file"], path, _ALL_BUT_READING_BY_GROUP, 0o600)
        if gateway.sender == "smpp" and gateway.secret_file is not None:
            password, _ = _parsed(gateway.secret_file, bytes.strip, "")
            if password is not None and not 0 < len(password) <= LONGEST_PASSWORD:
                text = f"{gateway.secret_file} holds no password of SMPP: 1 to {LONGEST_PASSWORD} characters"
                yield source.problem([*at, "secret_file"], text)
        if gateway.smpp is not None and gateway.smpp.ca is not None:
            yield from _authorities(source, [*at, "smpp", "ca"], gateway.smpp.ca)


def _organisations(loaded: Loaded) -> Iterator[Problem]:
    source = loaded.sources[ORGANISATIONS]
    for name, entry in loaded.organisations.organisations.items():
        if entry.contacts_file is not None:
            at = ["organisations", name, "contacts_file"]
            yield from _kept(source, at, entry.contacts_file, _OTHERS, 0o640)
    for where, settings in scopes(loaded.organisations):
        if settings.edi_templates is not None and not settings.edi_templates.is_dir():
            text = f"{settings.edi_templates} isn't a folder; make it or remove it here"
            yield source.problem([*where, "edi_templates"], text)
        if find_spec("weasyprint") is None and (place := _wants_pdf(settings)):
            yield source.problem([*where, *place], "needs the extra pdf: pip install relayd[pdf]")


def _wants_pdf(settings: InheritedSettings) -> tuple[str | int, ...]:
    """Where settings ask for PDFs, () where they don't."""
    if settings.edi_outside == "pdf":
        return ("edi_outside",)
    rules = enumerate(settings.edi_rules or ())
    return next((("edi_rules", number) for number, rule in rules if "pdf" in (rule.form, rule.content)), ())


def _registers(loaded: Loaded) -> Iterator[Problem]:
    for domain, entry in loaded.domainbook.items():
        if entry.ca_file is not None:
            yield from _authorities(loaded.sources[DOMAINBOOK], [domain, "ca_file"], entry.ca_file)
    for domain, listed in loaded.nta.others.items():
        if listed.ca_file is not None:
            yield from _authorities(loaded.sources[NTA], ["others", domain, "ca_file"], listed.ca_file)


def _kept(source: Source, at: Location, path: Path, forbidden: int, advice: int) -> Iterator[Problem]:
    """Is ``path`` there, and closed to those whom ``forbidden`` names?"""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        yield source.problem(at, f"{path} can't be read: {error.strerror}")
        return
    if mode & forbidden:
        yield source.problem(at, f"{path} is open to others (mode {mode:04o}); chmod {advice:04o} {path}")


def _pair(source: Source, at: list[str | int], certificate: Path, key: Path) -> Iterator[Problem]:
    chain, problem = _parsed(certificate, x509.load_pem_x509_certificates, "a PEM certificate chain")
    if problem:
        yield source.problem([*at, "certificate"], problem)
    yield from _kept(source, [*at, "key"], key, _ALL_BUT_READING_BY_GROUP, 0o600)
    private, problem = _parsed(key, _load_key, "a PEM private key without a password")
    if problem and key.exists():
        yield source.problem([*at, "key"], problem)
    if not chain:
        return
    if private is not None and _public(chain[0].public_key()) != _public(private.public_key()):
        yield source.problem([*at, "key"], f"{key} isn't the key of the first certificate in {certificate}")


def _authorities(source: Source, at: Location, path: Path) -> Iterator[Problem]:
    _, problem = _parsed(path, x509.load_pem_x509_certificates, "PEM certificates")
    if problem:
        yield source.problem(at, problem)


def _parsed(path: Path, parse: Callable[[bytes], T], expected: str) -> tuple[T | None, str]:
    try:
        return parse(path.read_bytes()), ""
    except OSError as error:
        return None, f"{path} can't be read: {error.strerror}"
    except (ValueError, TypeError):
        return None, f"{path} isn't {expected}"


def _load_key(pem: bytes) -> PrivateKeyTypes:
    return load_pem_private_key(pem, None)


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
