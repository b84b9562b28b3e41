"""``relayd explain``: what would happen to this message, and why?"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from relayd.authenticity.authenticator import MessageAuthenticator
from relayd.cli.common import add_config, add_json, print_json
from relayd.cli.dane import plan_facts
from relayd.cli.outside import SelfTestingResolver, ways_now
from relayd.cli.table import printable
from relayd.clock import Clock, SystemClock
from relayd.daemon.services import open_vault
from relayd.daemon.viewer_addresses import ViewerAddresses as StoredAddresses
from relayd.delivery.ways import NoWay, Plans
from relayd.directory.load import build
from relayd.directory.nta7516_dns import NtaDns
from relayd.errors import RelaydError, SyntaxInvalid, VaultError
from relayd.inspection.inspector import ProcessInspector
from relayd.mail.address import NULL_SENDER, Address, Sender, parse_address
from relayd.mail.envelope import Listener, Peer, Recipient, TlsFacts
from relayd.pipeline.foresee import Fate, Foreseen, foresee
from relayd.pipeline.load import build_pipeline
from relayd.pipeline.plan import record
from relayd.pipeline.policy import Context, NoViewerAddresses, ViewerAddresses
from relayd.pipeline.sample import MemoryLimits
from relayd.pipeline.verdict import RouteKind
from relayd.settings.load import Loaded, load
from relayd.settings.models import Configuration
from relayd.store.client import StoreClient

_COMMANDS = {"sender": "MAIL", "recipient": "RCPT", "message": "DATA", "route": "ROUTE"}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``explain``."""
    parser = commands.add_parser(
        "explain",
        help="say what would happen to a message, and why",
        description="Judge a message as if it came in now and say what each policy thinks of it and what would become "
        "of each recipient's copy. Sends nothing, stores nothing, counts nothing. Exit status 1 when the message "
        "would not be accepted for all recipients.",
        epilog="examples:\n"
        "  relayd explain mail.eml --from a@clinic.example --to b@partner.example --peer 192.0.2.7\n"
        "  relayd explain mail.eml --from jan@clinic.example --to x@out.example --account jan@clinic.example\n"
        "  cat mail.eml | relayd explain - --from '' --to b@clinic.example --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="the message as a file; - is standard input")
    parser.add_argument("--from", dest="sender", required=True, metavar="ADDRESS", help="envelope sender; '' for none")
    parser.add_argument("--to", action="append", required=True, nargs="+", metavar="ADDRESS", help="recipients")
    parser.add_argument("--peer", default="127.0.0.1", metavar="IP", help="where it comes from (%(default)s)")
    parser.add_argument("--account", metavar="NAME", help="logged in as this account")
    parser.add_argument("--helo", default="explain.invalid", metavar="NAME", help="what the peer calls itself")
    parser.add_argument("--tls", action=argparse.BooleanOptionalAction, default=True, help="inside TLS or not")
    parser.add_argument("--client-cert-spki", metavar="HEX", help="SHA-256 of its client certificate's public key")
    parser.add_argument(
        "--client-cert-name", action="append", default=[], metavar="NAME", help="DNS name in its verified certificate"
    )
    parser.add_argument(
        "--listener",
        choices=[Listener.RELAY.value, Listener.SUBMISSION.value],
        help="the kind of port it comes in by (submission with --account, else relay)",
    )
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what is foreseen."""
    loaded = load(Path(arguments.config))
    recipients = [Recipient(_address(text)) for texts in arguments.to for text in texts]
    sender: Sender = _address(arguments.sender) if arguments.sender.strip("<>") else NULL_SENDER
    peer = _peer(arguments)
    if peer.account is not None and peer.account not in build(loaded).accounts:
        raise RelaydError(f"there is no account {arguments.account}; relayd account add makes one")
    foreseen, found = asyncio.run(_foresee(loaded, peer, sender, recipients, _content(arguments.file)))
    if arguments.json:
        facts = foreseen.facts()
        facts["recipients"] = [
            one | {"ways": plan_facts(found[one["recipient"]])} if one["recipient"] in found else one
            for one in facts["recipients"]
        ]
        print_json(facts)
    else:
        print("\n".join(describe(foreseen, found)))
    return 0 if all(fate.outcome not in ("refused", "deferred") for fate in foreseen.fates) else 1


async def _foresee(
    loaded: Loaded, peer: Peer, sender: Sender, recipients: list[Recipient], content: bytes
) -> tuple[Foreseen, dict[str, Plans]]:
    """What would happen, and by recipient the hosts that a relayed copy might try now."""
    inspector = ProcessInspector()
    clock = SystemClock()
    resolver = SelfTestingResolver(loaded.configuration)
    context = Context(
        directory=build(loaded),
        limits=MemoryLimits(clock),
        inspector=inspector,
        clock=clock,
        authenticator=MessageAuthenticator(resolver, clock),
        nta=NtaDns(resolver),
        ways=(ways := ways_now(loaded, resolver)),
        viewer=_addresses(loaded.configuration, clock),
    )
    try:
        foreseen = await foresee(build_pipeline(loaded), context, peer, sender, recipients, content)
        return foreseen, {
            fate.recipient: await ways.plan(fate.target, _domain(fate), fate.message_class)
            for fate in foreseen.fates
            if fate.outcome == RouteKind.RELAY
        }
    finally:
        await inspector.close()


def _addresses(configuration: Configuration, clock: Clock) -> ViewerAddresses:
    """Readers' addresses, as the running store knows them; none where nothing runs here, as on an editor's machine."""
    try:
        vault = open_vault(configuration)
    except VaultError:
        return NoViewerAddresses()
    return StoredAddresses(StoreClient(configuration.state / "store.sock"), vault, clock)


def _peer(arguments: argparse.Namespace) -> Peer:
    try:
        address = ip_address(arguments.peer)
    except ValueError as error:
        raise RelaydError(f"{arguments.peer} isn't an IP address") from error
    names = tuple(name.lower() for name in arguments.client_cert_name)
    spki = arguments.client_cert_spki.replace(":", "").lower() if arguments.client_cert_spki else None
    if names and spki is None:
        spki = "0" * 64  # some certificate there must be; this one is nobody's pin
    if not arguments.tls and (spki or arguments.account):
        raise RelaydError("certificates and logins exist inside TLS only; leave out --no-tls")
    listener = arguments.listener or ("submission" if arguments.account else "relay")
    return Peer(
        address=address,
        port=0,
        listener=Listener(listener),
        helo=arguments.helo,
        tls=TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", spki, names, bool(names)) if arguments.tls else None,
        account=_address(arguments.account).key if arguments.account else None,
    )


def _address(text: str) -> Address:
    try:
        return parse_address(text.removeprefix("<").removesuffix(">"))
    except SyntaxInvalid as error:
        raise RelaydError(f"{text} isn't a mail address: {error}") from error


def _content(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise RelaydError(f"{file} can't be read: {error.strerror}") from error


def _domain(fate: Fate) -> str:
    return fate.recipient.rpartition("@")[2]


def describe(foreseen: Foreseen, found: Mapping[str, Plans]) -> list[str]:
    """The course of the message in lines to read from top to bottom."""
    lines = [_who(foreseen), ""]
    stage = ""
    for entry in record(foreseen.judged):
        heading = _COMMANDS[entry["stage"]]
        lines += _verdict(entry, "" if heading == stage else heading)
        stage = heading
    lines.append("")
    for fate in foreseen.fates:
        lines += _fate(fate)
        if fate.recipient in found:
            lines += _ways(found[fate.recipient])
    return [*lines, "", f"reply: {foreseen.reply.splitlines()[0] if foreseen.reply else 'none'}"]


def _who(foreseen: Foreseen) -> str:
    origin = foreseen.origin
    if not origin.recognised:
        return "sender: a stranger"
    who = " or ".join(origin.candidates)
    behind = f" behind the platform {origin.platform}" if origin.platform else ""
    return f"sender: {who}{behind}, recognised by {origin.via}{f' {origin.account}' if origin.account else ''}"


def _verdict(entry: dict[str, Any], heading: str) -> Iterable[str]:
    whom = f" [{_several(entry['recipients'])}]" if entry["recipients"] else ""
    yield f"{heading:6}{entry['policy']:17}{entry['verdict']:9}{entry['reason']}{whom}"
    if "reply" in entry:
        yield f"{'':32}→ {entry['reply'].splitlines()[0]}"
    if "to" in entry:
        yield f"{'':32}→ {entry['to']}"
    if "transform" in entry:
        yield f"{'':32}→ {entry['transform']}: {entry.get('form', '')}"
    if "route" in entry:
        target = f" {entry['target']}" if entry["target"] else ""
        yield f"{'':32}→ {entry['route']}{target} ({entry['class']})"


def _several(keys: list[str]) -> str:
    return ", ".join(keys) if len(keys) <= 3 else f"{', '.join(keys[:3])} and {len(keys) - 3} more"


def _fate(fate: Fate) -> Iterable[str]:
    if fate.reply:
        yield f"{fate.recipient}: {fate.outcome}: {fate.reply.splitlines()[0]}"
        return
    target = f" {fate.target}" if fate.target else ""
    hops = f" by {', '.join(fate.next_hops)}" if fate.next_hops else ""
    kind = f" ({fate.message_class})" if fate.message_class else ""
    held = ", held until an operator releases it" if fate.held else ""
    yield f"{fate.recipient}: {fate.outcome}{target}{hops}{kind}{held}"
    dropped, added = set(fate.dropped), set(fate.added)
    changes = (("replaced", dropped & added), ("removed", dropped - added), ("added", added - dropped))
    if said := [f"{', '.join(sorted(names))} {what}" for what, names in changes if names]:
        yield f"    header: {'; '.join(said)}"
    if made := fate.transform:
        options = ", ".join(f"{name} {value}" for name, value in made.items() if name != "name")
        yield printable(f"    content: made anew by {made['name']} ({options}), once it is accepted")


def _ways(plans: Plans) -> Iterable[str]:
    """What each host has to show, or why there is none."""
    if isinstance(plans, NoWay):
        yield f"    now: {plans.status}: {plans.reply}"
        return
    for plan in plans:
        what = plan.demand.security if plan.demand is not None else f"not used now ({plan.status})"
        yield printable(f"    {plan.host}: {what}: {plan.reason}")
