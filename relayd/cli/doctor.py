"""``relayd doctor``: is what relayd stands on in order?"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from relayd.cli.certificates import shown
from relayd.cli.common import add_config, add_json, print_json
from relayd.cli.doctor_dane import dane
from relayd.cli.doctor_dkim import dkim
from relayd.cli.doctor_mta_sts import mta_sts
from relayd.cli.doctor_nta7516 import nta7516
from relayd.cli.doctor_reports import reports
from relayd.cli.doctor_sms import sms_gateways, sms_use
from relayd.cli.doctor_store import disk, store
from relayd.cli.doctor_systems import systems
from relayd.cli.doctor_viewer import viewer_addresses
from relayd.cli.findings import Finding, Level
from relayd.cli.reload import ask
from relayd.clock import SystemClock
from relayd.daemon.sockets import split_address
from relayd.directory.directory import DomainEntry
from relayd.directory.load import build
from relayd.dns.records import Answer, Validation
from relayd.dns.resolver import DnsResolver, Resolver
from relayd.dns.validation import probe
from relayd.errors import RelaydError
from relayd.settings.load import Loaded, load
from relayd.settings.models import Configuration
from relayd.settings.values import address_and_port
from relayd.telemetry.lag import quantile
from relayd.tls import guideline
from relayd.tls.sts_fetch import sts_source

#: SQLite before this version can corrupt a WAL database that several connections write; relayd uses one writer.
_WAL_FIXED_IN = (3, 51, 3)
_UNWANTED = {guideline.Level.PHASE_OUT: Level.WARN, guideline.Level.INSUFFICIENT: Level.BAD}
_CERTIFICATE_SOON = timedelta(days=21)
#: Milliseconds that an event loop may be late at p99.
_LAG_AT_MOST = 50


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``doctor``."""
    parser = commands.add_parser(
        "doctor",
        help="look at certificates, keys, disk, clock, resolver, ports and next hops",
        description="Look at everything relayd stands on and say what to do about what is wrong. Changes nothing.",
        epilog="examples:\n  relayd doctor\n  relayd doctor --no-network     leave resolver and next hops alone\n"
        "exit status: 0 all is well, 1 something is wrong or will be soon",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config(parser)
    add_json(parser)
    parser.add_argument(
        "--no-network", action="store_true", help="don't ask the resolver, don't dial next hops or SMS gateways"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the findings."""
    loaded = load(Path(arguments.config))
    findings = list(examine(loaded))
    if not arguments.no_network:
        findings += asyncio.run(examine_network(loaded))
    if arguments.json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            print(f"{finding.level.upper():5} {finding.subject}: {finding.text}")
            if finding.advice:
                print(f"      → {finding.advice}")
    return 1 if any(finding.level is not Level.OK for finding in findings) else 0


def examine(loaded: Loaded) -> Iterator[Finding]:
    """What this machine alone can tell."""
    configuration = loaded.configuration
    checks: tuple[Callable[[Configuration], Iterator[Finding]], ...] = (
        _certificate, _guideline, _keys, disk, store, sms_use, _sqlite, _clock, _daemon,
    )  # fmt: skip
    for check in checks:
        yield from check(configuration)


def _certificate(configuration: Configuration) -> Iterator[Finding]:
    path = configuration.tls.certificate
    try:
        leaf = x509.load_pem_x509_certificates(path.read_bytes())[0]
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, configuration.tls.key)
    except (OSError, ValueError, IndexError) as error:
        yield Finding("certificate", Level.BAD, f"{path} and its key can't be used ({type(error).__name__})",
                      "make them a PEM chain and the key that belongs to it")  # fmt: skip
        return
    left = leaf.not_valid_after_utc - datetime.now(UTC)
    if left < timedelta(0):
        yield Finding("certificate", Level.BAD, f"expired on {leaf.not_valid_after_utc:%Y-%m-%d}", "renew it now")
    elif left < _CERTIFICATE_SOON:
        yield Finding("certificate", Level.WARN, f"expires in {left.days} days", "renew it; relayd notices by itself")
    else:
        yield Finding("certificate", Level.OK, f"valid until {leaf.not_valid_after_utc:%Y-%m-%d}")
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = names.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        known = []
    if configuration.hostname not in known:
        yield Finding("certificate", Level.WARN, f"does not name {configuration.hostname}",
                      "peers that verify our name will refuse; put the host name in the certificate")  # fmt: skip


def _guideline(configuration: Configuration) -> Iterator[Finding]:
    for one in shown(configuration):
        if one.judged.level in _UNWANTED:
            text = f"{one.file}: {one.judged.what} is {one.judged.level} by NCSC-NL's guideline of 2025"
            advice = "make one with an ECDSA key on P-256, or RSA of 3072 bits"
            yield Finding("certificate", _UNWANTED[one.judged.level], text, advice)


def _keys(configuration: Configuration) -> Iterator[Finding]:
    from relayd.vault.keyring import Keyring

    try:
        Keyring.load(configuration.keys)
    except (RelaydError, OSError) as error:
        yield Finding("keys", Level.BAD, str(error), f"relayd keys generate, or restore {configuration.keys}")
        return
    yield Finding("keys", Level.OK, f"{configuration.keys} opens")
    if os.stat(configuration.keys).st_mode & 0o077:
        yield Finding("keys", Level.BAD, f"{configuration.keys} is open to others", f"chmod 700 {configuration.keys}")


def _sqlite(_: Configuration) -> Iterator[Finding]:
    version = sqlite3.sqlite_version_info
    note = "one process writes, so the WAL defect of older versions can't occur" if version < _WAL_FIXED_IN else ""
    yield Finding("sqlite", Level.OK, f"{sqlite3.sqlite_version}{'; ' + note if note else ''}")


def _clock(_: Configuration) -> Iterator[Finding]:
    # A clock before this program was written can't be right: certificates and retention would be judged wrongly.
    if datetime.now(UTC) < datetime(2026, 1, 1, tzinfo=UTC):
        yield Finding("clock", Level.BAD, "stands before 2026", "start a time service (systemd-timesyncd, chrony)")
    else:
        yield Finding("clock", Level.OK, f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")


def _daemon(configuration: Configuration) -> Iterator[Finding]:
    try:
        answer = ask(configuration.state / "control.sock", "status")
    except RelaydError:
        yield Finding("daemon", Level.WARN, "does not run", "relayd serve, or systemctl start relayd")
        return
    waiting = [process["role"] for process in answer["processes"] if not process["ready"]]
    level = Level.BAD if waiting else Level.OK
    yield Finding("daemon", level, f"runs with {len(answer['processes'])} processes"
                  + (f", not ready: {', '.join(waiting)}" if waiting else ""))  # fmt: skip
    if answer["processes"]:
        yield loop_lag({process["role"]: process["loop_lag"] for process in answer["processes"]})


def loop_lag(counts: Mapping[str, Sequence[int]]) -> Finding:
    """What the processes' histograms say of how late their event loops were since they started."""
    late = {role: quantile(each, 0.99) or 0 for role, each in counts.items()}
    role = max(late, key=late.__getitem__)
    longest = max(quantile(each, 1) or 0 for each in counts.values())
    text = f"up to {late[role]} ms late at p99 ({role}), {longest} ms at worst"
    if late[role] <= _LAG_AT_MOST:
        return Finding("event loops", Level.OK, text)
    return Finding("event loops", Level.WARN, text,
                   "look for loop_stood_still in the log: where busy is small, the machine is slow")  # fmt: skip


async def examine_network(loaded: Loaded) -> list[Finding]:
    """What the resolver and the next hops answer."""
    resolver = DnsResolver(*address_and_port(loaded.configuration.resolver))
    findings = [await _resolver(loaded.configuration, resolver)]
    now, directory = SystemClock().now(), build(loaded)
    findings += await dane(loaded.configuration, resolver, now)
    findings += await dkim(loaded.configuration, resolver, now)
    findings += await nta7516(directory, resolver, now)
    findings += await mta_sts(
        directory, loaded.configuration.hostname, resolver, sts_source(loaded.configuration, resolver)
    )
    findings += await reports(loaded.configuration, resolver)
    findings += await viewer_addresses(loaded.configuration, resolver)
    findings += await sms_gateways(loaded.configuration)
    findings += await systems(loaded.configuration, resolver)
    entries = [entry for entry in directory.domainbook.values() if entry.next_hops]
    findings += await asyncio.gather(*(_next_hop(resolver, entry, hop) for entry in entries for hop in entry.next_hops))
    return findings


async def _resolver(configuration: Configuration, resolver: DnsResolver) -> Finding:
    dnssec = configuration.dnssec
    found = await probe(resolver.ask_anew, dnssec.signed_name, dnssec.broken_name)
    resolver.learn(found.validation)
    match found.validation:
        case Validation.ON:
            return Finding("resolver", Level.OK, f"{configuration.resolver} validates: {found.reason}")
        case Validation.OFF:
            return Finding("resolver", Level.BAD,
                           f"{configuration.resolver} does not validate, so DANE and NTA 7516 are off: {found.reason}",
                           "run a validating resolver such as unbound on this machine")  # fmt: skip
        case Validation.UNTESTED:
            # DANE, NTA 7516 and DMARC can't be decided: mail that needs them waits.
            return Finding("resolver", Level.BAD, f"{configuration.resolver} can't be tested: {found.reason}",
                           "run a validating resolver such as unbound on this machine; without the internet, name "
                           "a signed and a broken domain of yours under dnssec in relayd.yaml")  # fmt: skip


async def _next_hop(resolver: Resolver, entry: DomainEntry, hop: str) -> Finding:
    host, port = split_address(hop)
    found = await resolver.addresses(host)
    if found.answer is not Answer.FOUND:
        return Finding("next hop", Level.BAD, f"{hop} ({entry.domain}): looking up its address ended in {found.answer}",
                       "mail for it waits; correct next_hops in domainbook.yaml, or DNS")  # fmt: skip
    try:
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection(found.addresses[0], port)
            greeting = await reader.readline()
            writer.write(b"QUIT\r\n")
            writer.close()
    except (OSError, TimeoutError, ValueError) as error:
        return Finding("next hop", Level.BAD, f"{hop} ({entry.domain}) can't be reached ({type(error).__name__})",
                       f"mail for it waits; see relayd dial {entry.domain}, and check the network")  # fmt: skip
    if greeting.startswith(b"220"):
        return Finding("next hop", Level.OK, f"{hop} ({entry.domain}) greets")
    return Finding("next hop", Level.BAD, f"{hop} ({entry.domain}) answers without a 220", "ask its operator")
