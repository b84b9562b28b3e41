"""``scripts/bench tls``: the same with STARTTLS in and out, client certificates, proven next hops and DKIM signatures.

smtp-source → stunnel → mail server → a sink with TLS. stunnel does for both servers alike what smtp-source can't: it
says STARTTLS and shows the sender's certificate, by which each server knows whose mail it may relay and sign. Both
prove the next hop by its name under a private CA. Postfix signs through opendkim, whose CPU time counts as its own.
"""

from __future__ import annotations

import argparse
import functools
import shutil
import socket
import sys
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from scripts.lib.bench import DOMAIN, Case, Counter, Server, table, table_of_accepts, time_both
from tests.kit import postfix
from tests.kit.ca import Authority, Certificate
from tests.kit.daemon import RelayProcess
from tests.kit.ports import free_port
from tests.kit.postfix import Postfix
from tests.kit.process import Child, python
from tests.kit.site import Site
from tests.kit.wait import wait_for

STUNNEL, OPENDKIM = Path("/usr/bin/stunnel4"), Path("/usr/sbin/opendkim")
_SENDING = "noord.example"
_SENDER = f"lab@{_SENDING}"
_NEXT_HOP = "mail.partner.example"


def notes(*, reuse: bool, sign: bool) -> str:
    """What the figures are of."""
    signing = (
        "Both sign. Postfix: RSA-2048 through opendkim (smtpd_milters), whose CPU time is in its figures and whose\n"
        "  memory is not. relayd: RSA-2048 and Ed25519, two signatures."
        if sign
        else "relayd signs, with RSA-2048 and Ed25519. Postfix doesn't."
    )
    return f"""\
* Both sides of both servers: STARTTLS with TLS 1.3 and ECDSA certificates on P-256. The sender shows a client
  certificate, which is why it may relay; the next hop proves its name under a private CA, or nothing is sent.
* {signing}
* Postfix: Debian's package with its shipped settings, and its TLS session cache for next hops;
  smtp_tls_connection_reuse is {"on" if reuse else "off, as it is shipped"}.
  relayd: all policies on, 2 workers, content encrypted at rest, journal written, retention on.
* smtp-source has no TLS: stunnel says STARTTLS for it, the same in front of both, and resumes its sessions. The sink is
  a small one of ours with TLS. Both take part of the machine, alike for both servers.
* The other columns: as in the table without TLS.
"""


class Tunnel:
    """stunnel as a client that says STARTTLS and shows ``certificate``; plain SMTP goes in at ``port``."""

    def __init__(self, folder: Path, server_port: int, certificate: Certificate) -> None:
        folder.mkdir()
        self.port = free_port()
        settings = folder / "stunnel.conf"
        settings.write_text(
            "foreground = yes\ndebug = 3\npid =\nsocket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\n"
            f"[smtp]\nclient = yes\naccept = 127.0.0.1:{self.port}\nconnect = 127.0.0.1:{server_port}\n"
            f"protocol = smtp\ncert = {certificate.certificate}\nkey = {certificate.key}\nTIMEOUTclose = 0\n"
        )
        self._child = Child([STUNNEL, settings], folder / "stunnel.log")
        wait_for(lambda: _listens(self.port), "stunnel")

    def stop(self) -> None:
        self._child.stop()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Signer:
    """opendkim with an RSA-2048 key for the sending domain."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.port = free_port()
        key = rsa.generate_private_key(65537, 2048)
        file = folder / "dkim.key"
        file.touch(mode=0o600)
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        settings = folder / "opendkim.conf"
        settings.write_text(
            f"Mode s\nSyslog no\nDomain {_SENDING}\nSelector bench\nKeyFile {file}\nSocket inet:{self.port}@127.0.0.1\n"
            "Canonicalization relaxed/simple\nOversignHeaders From\nInternalHosts 127.0.0.1\nBackground no\n"
            "RequireSafeKeys no\n"  # /var/tmp above it is everybody's
        )
        self._child = Child([OPENDKIM, "-f", "-x", settings], folder / "opendkim.log")
        wait_for(lambda: _listens(self.port), "opendkim")

    @property
    def pid(self) -> int:
        return self._child.pid

    def stop(self) -> None:
        self._child.stop()


def _sink(partner: Certificate) -> Counter:
    files = ["--certificate", str(partner.certificate), "--key", str(partner.key)]
    return Counter(lambda port: [*python("scripts.lib.tls_sink"), "--port", str(port), *files])


def start_postfix(folder: Path, *, reuse: bool, sign: bool) -> Server:
    authority = Authority(folder / "postfix-ca")
    sender = authority.issue("mail.noord.example")
    sink = _sink(authority.issue(_NEXT_HOP))
    signer = Signer(folder / "opendkim") if sign else None
    server = Postfix(
        "mail.postfix.example",
        relay_to=sink.port,
        ca=authority.certificate,
        relay_name=_NEXT_HOP,
        server=authority.issue("mail.postfix.example"),
        parent=folder,
        impatient=False,
        settings={
            "mynetworks": "127.0.0.2/32",
            "smtpd_relay_restrictions": "permit_tls_all_clientcerts, reject_unauth_destination",
            "smtpd_tls_ask_ccert": "yes",
            "smtpd_tls_CAfile": "$smtp_tls_CAfile",
            "smtpd_tls_loglevel": "0",
            "smtp_tls_loglevel": "0",
            "smtp_tls_session_cache_database": "btree:${data_directory}/smtp_scache",
            "smtp_tls_connection_reuse": "yes" if reuse else "no",
            "smtpd_milters": f"inet:127.0.0.1:{signer.port}" if signer else "",
            "milter_default_action": "tempfail",
        },
    )
    tunnel = Tunnel(folder / "postfix-tunnel", server.port, sender)

    def stop() -> None:
        tunnel.stop()
        server.stop()
        if signer:
            signer.stop()

    return Server("Postfix", tunnel.port, server.master_pid, sink, stop, _SENDER, (signer.pid,) if signer else ())


def start_relayd(folder: Path) -> Server:
    site = Site(folder / "relayd")
    sink = _sink(site.partner)
    site.domainbook[DOMAIN] = {
        "network": "partner",
        "delivers": "relay",
        "next_hops": [f"127.0.0.1:{sink.port}"],
        "tls_names": [_NEXT_HOP],
    }
    site.relayd |= {"viewer": {"enabled": False}, "log": "json"}
    site.policies = [one for one in site.policies if one["policy"] != "viewer"]
    relayd = RelayProcess(site)
    relayd.prepare()
    relayd.cli("dkim", "create", _SENDING, "--activate")
    relayd.start()
    tunnel = Tunnel(folder / "relayd-tunnel", site.relay_port, site.hospital)

    def stop() -> None:
        tunnel.stop()
        relayd.stop()

    return Server("relayd", tunnel.port, relayd.child.pid, sink, stop, _SENDER)


def all_cases(quick: bool) -> list[Case]:
    share = 4 if quick else 1
    return [
        Case("4 KiB, a connection per message", 4096, 2000 // share, False),
        Case("4 KiB, connections reused", 4096, 4000 // share, True),
        Case("100 KiB, connections reused", 102400, 1000 // share, True),
    ]


def _lacking() -> str:
    if reason := postfix.available():
        return reason
    return next((f"{program.name} is not installed" for program in (STUNNEL, OPENDKIM) if not program.exists()), "")


def main(arguments_given: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench tls", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a quarter of the messages")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per case (%(default)s)")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="on the disk that should be measured")
    parser.add_argument("--reuse", action="store_true", help="Postfix with smtp_tls_connection_reuse, through tlsproxy")
    parser.add_argument("--unsigned", action="store_true", help="Postfix alone doesn't sign")
    arguments = parser.parse_args(arguments_given)
    if reason := _lacking():
        print(f"bench: {reason}; there is nothing to compare with", file=sys.stderr)
        return 2
    cases = [case for case in all_cases(arguments.quick) if arguments.only in case.name]
    folder = Path(tempfile.mkdtemp(prefix="relayd-bench-", dir=arguments.folder))
    folder.chmod(0o755)
    try:
        starts = (functools.partial(start_postfix, reuse=arguments.reuse, sign=not arguments.unsigned), start_relayd)
        results = time_both(folder, cases, arguments.rounds, starts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    said = notes(reuse=arguments.reuse, sign=not arguments.unsigned)
    print(f"{table(results)}\n\n{table_of_accepts(results, {})}\n\n{said}", end="")
    return 0
