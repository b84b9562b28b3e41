"""``relayd tls-profile``: what TLS takes and refuses, against the guideline."""

from __future__ import annotations

import argparse
import socket
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from relayd.cli.certificates import shown
from relayd.cli.common import add_config, add_json, print_json, with_shipped_openssl_conf
from relayd.cli.table import table
from relayd.daemon.sockets import split_address
from relayd.errors import RelaydError
from relayd.settings.load import load
from relayd.settings.models import Configuration
from relayd.tls import guideline, throwaway
from relayd.tls.certificate import read_chain
from relayd.tls.contexts import ClientTls, server_context
from relayd.tls.demand import Security, TlsDemand
from relayd.tls.guideline import Judged, Level
from relayd.tls.probe import TIMEOUT, Prober
from relayd.tls.profile import CLIENTS, Row, Side, look
from relayd.tls.remote import Remote

_TAKEN = {True: "taken", False: "refused", None: "not tried"}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``tls-profile``."""
    parser = commands.add_parser(
        "tls-profile",
        help="show what TLS takes and refuses, against the guideline of NCSC-NL",
        description="Do some dozens of handshakes with peers that offer one thing each, and show what was taken and "
        "what was refused, beside the level that the TLS guideline of NCSC-NL (2025-05) gives it: our server's side, "
        "and our client's towards next hops that must prove themselves and towards others. Peers are processes on this "
        "machine and show certificates made for the occasion; those of the configuration are judged by what they are. "
        "With --connect it looks at a server instead, such as a running relayd.",
        epilog="examples:\n"
        "  relayd tls-profile --config /etc/relayd\n"
        "  relayd tls-profile --connect 127.0.0.1:25 --starttls smtp\n"
        "  relayd tls-profile --connect mail.example.org:465 --json\n"
        "exit status: 0 all meets the guideline, 1 something insufficient was taken or something needed is missing",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config(parser)
    add_json(parser)
    parser.add_argument("--connect", metavar="HOST:PORT", type=_place, help="look at this server instead")
    parser.add_argument("--starttls", choices=("smtp",), help="say STARTTLS first")
    parser.set_defaults(run=run)


def _place(text: str) -> tuple[str, int]:
    try:
        return split_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(arguments: argparse.Namespace) -> int:
    """Print the rows."""
    with_shipped_openssl_conf()
    with tempfile.TemporaryDirectory(prefix="relayd-tls-") as folder:
        if arguments.connect:
            host, port = arguments.connect
            rows = list(_remote(Path(folder), host, port, starttls=bool(arguments.starttls)))
        else:
            rows = list(_ours(Path(folder), load(Path(arguments.config)).configuration))
    if arguments.json:
        print_json([asdict(row) for row in rows])
    else:
        _print(rows)
    return 1 if any(row.fails for row in rows) else 0


def _print(rows: Sequence[Row]) -> None:
    for side in dict.fromkeys(row.side for row in rows):
        head = (side.value, "", "guideline", "", "")
        lines = [
            (row.subject, row.what, row.level.value, "BAD" if row.fails else _TAKEN[row.taken], row.detail)
            for row in rows
            if row.side is side
        ]
        print(table(head, lines), end="\n\n")
    bad = sum(row.fails for row in rows)
    print(f"{bad} of {len(rows)} fall short of the guideline" if bad else f"all {len(rows)} meet the guideline")


def _ours(folder: Path, configuration: Configuration) -> Iterator[Row]:
    pairs = throwaway.make(folder)
    prober = Prober(folder, pairs)
    servers = {
        name: server_context(configuration.tls.model_copy(update={"certificate": one.certificate, "key": one.key}))
        for name, one in pairs.items()
        if name != "weak"
    }
    for one in shown(configuration):
        yield _certificate(Side.SERVER, one.judged, str(one.file))
    yield from look(Side.SERVER, lambda offer: prober.against_server(offer, servers[offer.shows]))
    yield _renegotiation(Side.SERVER, servers["rsa"])
    trusted = folder / "trusted.pem"
    trusted.write_bytes(b"".join(one.certificate.read_bytes() for one in pairs.values()))
    contexts = ClientTls(trusted)
    for side, security in zip(CLIENTS, (Security.VERIFIED, Security.ENCRYPTED), strict=True):
        client = contexts.context(TlsDemand(security))
        yield from look(side, partial(prober.against_client, context=client))
        yield _renegotiation(side, client)


def _renegotiation(side: Side, context: ssl.SSLContext) -> Row:
    """Python can't ask for one, so this is what the context says."""
    off = bool(context.options & ssl.OP_NO_RENEGOTIATION)
    detail = "switched off" if off else "not switched off"
    return Row(side, "TLS 1.2", "renegotiation by the peer", Level.INSUFFICIENT, not off, detail, not off)


def _certificate(side: Side, judged: Judged, detail: str) -> Row:
    return Row(side, "certificate", judged.what, judged.level, True, detail, not judged.level.passes)


def _remote(folder: Path, host: str, port: int, *, starttls: bool) -> Iterator[Row]:
    try:
        socket.create_connection((host, port), TIMEOUT).close()
    except OSError as error:
        raise RelaydError(f"{host}:{port} can't be reached: {error.strerror or type(error).__name__}") from error
    remote = Remote(Prober(folder, {}), host, port, starttls=starttls)
    yield from look(Side.REMOTE, remote.attempt)
    for judged in guideline.certificate(read_chain(remote.chain)):
        yield _certificate(Side.REMOTE, judged, "")
