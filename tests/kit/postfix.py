"""Private Postfix instances, each wholly inside a temporary folder: the peers relayd must work with.

As a *relay client* it takes mail on a port and hands all of it to a next hop (``relay_to``), as a hospital's own mail
server does. As a *partner* it takes mail for its domains over TLS and writes Maildirs. Postfix's master insists on
starting as root; :func:`available` says whether that can be here.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.kit.ca import Certificate
from tests.kit.ports import free_port
from tests.kit.wait import wait_for

_SERVICES = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix n - n 60    1 pickup
cleanup   unix n - n -     0 cleanup
qmgr      unix n - n 300   1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
tlsproxy  unix - - n -     0 tlsproxy
rewrite   unix - - n -     - trivial-rewrite
bounce    unix - - n -     0 bounce
defer     unix - - n -     0 bounce
trace     unix - - n -     0 bounce
verify    unix - - n -     1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n -     - proxymap
smtp      unix - - n -     - smtp
relay     unix - - n -     - smtp
error     unix - - n -     - error
retry     unix - - n -     - error
discard   unix - - n -     - discard
virtual   unix - n n -     - virtual
anvil     unix - - n -     1 anvil
scache    unix - - n -     1 scache
postlog   unix-dgram n - n - 1 postlogd
"""
_IMPATIENT = {"minimal_backoff_time": "2s", "maximal_backoff_time": "10s", "queue_run_delay": "2s"}


def available() -> str:
    """ "" when Postfix can be run here, else the reason why not."""
    if not shutil.which("postfix", path="/usr/sbin:/usr/bin"):
        return "Postfix is not installed"
    if os.geteuid() != 0:
        return "Postfix starts only as root"
    return ""


@dataclass(frozen=True, slots=True)
class Door:
    """One more address that an instance listens on, port 25, with its own certificate, or without TLS."""

    address: str
    chain: Path | None = None
    key: Path | None = None


class Postfix:
    """One running instance. ``settings`` are main.cf lines that replace the ones chosen here; ``doors`` are further
    addresses on which it takes mail (needs root: they are on port 25)."""

    def __init__(
        self,
        hostname: str,
        *,
        relay_to: int = 0,
        ca: Path | None = None,
        relay_name: str = "",
        client: Certificate | None = None,
        server: Certificate | None = None,
        domains: Iterable[str] = (),
        settings: Mapping[str, str] | None = None,
        parent: Path | None = None,
        impatient: bool = True,
        doors: Iterable[Door] = (),
    ) -> None:
        self.port = free_port()
        self.hostname = hostname
        # Postfix's unprivileged parts must reach it, which they can't below a tester's private folder.
        self.folder = Path(tempfile.mkdtemp(prefix="relayd-postfix-", dir=parent))
        self.folder.chmod(0o755)
        # Tests don't wait five minutes for a retry; a bench wants what is shipped.
        lines = self._basics() | (_IMPATIENT if impatient else {}) | self._relaying(relay_to, ca, relay_name, client)
        lines |= self._serving(server, tuple(domains))
        lines |= dict(settings or {})
        self._write(lines, tuple(doors))
        self._postfix("start")
        wait_for(lambda: (self.folder / "queue/pid/master.pid").exists(), f"Postfix {hostname}")

    def __enter__(self) -> Postfix:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> str:
        path = self.folder / "log/mail.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    @property
    def master_pid(self) -> int:
        return int((self.folder / "queue/pid/master.pid").read_text())

    def wait_for_log(self, text: str, timeout: float = 30.0) -> str:
        """The first line of the log with ``text`` in it."""

        def find() -> str | None:
            return next((line for line in self.log.splitlines() if text in line), None)

        return wait_for(find, f"{text!r} in the log of {self.hostname}", timeout)

    def mailbox(self, address: str) -> list[Path]:
        """Messages delivered to this address."""
        folder = self.folder / "mail" / address.partition("@")[2] / "new"
        return sorted(path for path in folder.glob("*") if f"\nDelivered-To: {address}\n" in path.read_text("latin-1"))

    def wait_for_mail(self, address: str, timeout: float = 30.0) -> bytes:
        """The first message in this mailbox."""
        return wait_for(lambda: self.mailbox(address), f"mail for {address}", timeout)[0].read_bytes()

    def queued(self) -> int:
        """Messages still in the queue."""
        folders = ("maildrop", "incoming", "active", "deferred", "hold")
        return sum(1 for name in folders for path in (self.folder / "queue" / name).rglob("*") if path.is_file())

    def flush(self) -> None:
        """Try everything that was put off, now."""
        subprocess.run(["/usr/sbin/postqueue", "-c", self.folder / "etc", "-f"], check=True, capture_output=True)

    def stop(self) -> None:
        """Ends every process and removes the folder."""
        if self.folder.exists():
            self._postfix("stop", check=False)
            shutil.rmtree(self.folder, ignore_errors=True)

    def _basics(self) -> dict[str, str]:
        return {
            "compatibility_level": "3.6",
            "myhostname": self.hostname,
            "mydestination": "",
            "queue_directory": f"{self.folder}/queue",
            "data_directory": f"{self.folder}/data",
            "mail_owner": "postfix",
            "setgid_group": "postdrop",
            "maillog_file": f"{self.folder}/log/mail.log",
            "maillog_file_prefixes": str(self.folder),
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8",
            "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
            "alias_maps": "",
            "local_recipient_maps": "",
            "biff": "no",
            "message_size_limit": "104857600",
            "smtpd_peername_lookup": "no",
            "smtp_host_lookup": "native",
            "disable_dns_lookups": "yes",
        }

    def _relaying(self, relay_to: int, ca: Path | None, relay_name: str, client: Certificate | None) -> dict[str, str]:
        if not relay_to:
            return {}
        lines = {"relayhost": f"[127.0.0.1]:{relay_to}", "smtp_tls_loglevel": "1"}
        if ca:
            lines |= {
                "smtp_tls_security_level": "secure",
                "smtp_tls_CAfile": str(self._copy(ca)),
                "smtp_tls_secure_cert_match": relay_name,
            }
        if client:
            lines |= {
                "smtp_tls_cert_file": str(self._copy(client.certificate)),
                "smtp_tls_key_file": str(self._copy(client.key)),
            }
        return lines

    def _serving(self, server: Certificate | None, domains: tuple[str, ...]) -> dict[str, str]:
        lines = {}
        if server:
            lines |= {
                "smtpd_tls_security_level": "encrypt",
                "smtpd_tls_cert_file": str(self._copy(server.certificate)),
                "smtpd_tls_key_file": str(self._copy(server.key)),
                "smtpd_tls_received_header": "yes",
                "smtpd_tls_loglevel": "1",
            }
        if domains:
            owner = pwd.getpwnam("postfix")
            mail = self.folder / "mail"
            mail.mkdir()
            os.chown(mail, owner.pw_uid, owner.pw_gid)
            boxes = self.folder / "etc" / "boxes"
            boxes.parent.mkdir(exist_ok=True)
            # An address whose local part starts with "refuse" doesn't exist, so that a refusal can be had.
            rules = "".join(f"/@{re.escape(domain)}$/ {domain}/\n" for domain in domains)
            boxes.write_text(f"if !/^refuse/\n{rules}endif\n")
            lines |= {
                "virtual_mailbox_domains": ", ".join(domains),
                "virtual_mailbox_base": str(mail),
                "virtual_mailbox_maps": f"regexp:{boxes}",
                "virtual_uid_maps": f"static:{owner.pw_uid}",
                "virtual_gid_maps": f"static:{owner.pw_gid}",
                "virtual_minimum_uid": "1",
                "virtual_mailbox_limit": "0",
            }
        return lines

    def _copy(self, file: Path) -> Path:
        folder = self.folder / "etc"
        folder.mkdir(exist_ok=True)
        copied = folder / file.name
        shutil.copy(file, copied)
        return copied

    def _write(self, lines: Mapping[str, str], doors: tuple[Door, ...]) -> None:
        for name in ("etc", "queue", "data", "log"):
            (self.folder / name).mkdir(exist_ok=True)
        shutil.chown(self.folder / "data", "postfix")
        text = "".join(f"{key} = {value}\n" for key, value in lines.items())
        (self.folder / "etc/main.cf").write_text(text)
        (self.folder / "etc/master.cf").write_text(
            _SERVICES.format(port=self.port) + "".join(self._door(door) for door in doors)
        )

    def _door(self, door: Door) -> str:
        if door.chain is None or door.key is None:
            return f"{door.address}:25 inet n - n - - smtpd -o smtpd_tls_security_level=none\n"
        chain, key = self._copy(door.chain), self._copy(door.key)
        tls = f"-o smtpd_tls_security_level=may -o smtpd_tls_cert_file={chain} -o smtpd_tls_key_file={key}"
        return f"{door.address}:25 inet n - n - - smtpd {tls}\n"

    def _postfix(self, command: str, *, check: bool = True) -> None:
        done = subprocess.run(
            ["/usr/sbin/postfix", "-c", self.folder / "etc", command],
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"postfix {command}: {done.stderr or done.stdout}{self.log}")
