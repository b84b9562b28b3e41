"""A private Dovecot on the configuration that we ship, with its paths, port and users replaced."""

from __future__ import annotations

import contextlib
import imaplib
import pwd
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.kit.ca import Authority
from tests.kit.ports import free_port
from tests.kit.process import ROOT, Child
from tests.kit.wait import wait_for

SHIPPED = ROOT / "config" / "dovecot" / "dovecot.conf"
_NEEDED = {
    "/usr/sbin/dovecot": "dovecot-core",
    "/usr/bin/doveadm": "dovecot-core",
    "/usr/lib/dovecot/lmtp": "dovecot-lmtpd",
    "/usr/lib/dovecot/imap": "dovecot-imapd",
}


def missing() -> str:
    """What the tests with Dovecot can't do without; "" when all is there."""
    absent = sorted({package for path, package in _NEEDED.items() if not Path(path).exists()})
    if absent:
        return f"not installed: {', '.join(absent)}"
    return "" if Path("/proc/self").stat().st_uid == 0 else "Dovecot's tests need root"


class Dovecot:
    """One running instance: LMTP on ``folder/run/lmtp``, IMAP over TLS on ``port``, mail encrypted in ``vmail``."""

    def __init__(self, accounts: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="relayd-dovecot-"))
        self.folder.chmod(0o755)
        self.port = free_port()
        self._authority = Authority(self.folder / "ca")
        self._write(accounts)
        self._child = Child(["/usr/sbin/dovecot", "-F", "-c", self.folder / "dovecot.conf"], self.folder / "output")
        try:
            wait_for(self._listening, "Dovecot's LMTP socket")
        except (TimeoutError, RuntimeError):
            self.stop()
            raise

    def __enter__(self) -> Dovecot:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def lmtp(self) -> Path:
        return self.folder / "run" / "lmtp"

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    @property
    def files(self) -> list[Path]:
        """Everything that Dovecot keeps of the mail."""
        return [path for path in (self.folder / "vmail").rglob("*") if path.is_file()]

    @contextlib.contextmanager
    def imap(self, account: str, password: str) -> Iterator[imaplib.IMAP4_SSL]:
        """A session that is logged in, over TLS with a verified certificate."""
        context = ssl.create_default_context(cafile=self._authority.certificate)
        with imaplib.IMAP4_SSL("localhost", self.port, ssl_context=context) as session:
            session.login(account, password)
            yield session

    def messages(self, account: str, password: str) -> list[bytes]:
        """All of this person's inbox, as a mail client gets it."""
        with self.imap(account, password) as session:
            session.select("INBOX", readonly=True)
            numbers = session.search(None, "ALL")[1][0].split()
            fetched = [session.fetch(number.decode(), "(BODY.PEEK[])")[1] for number in numbers]
        return [part[1] for parts in fetched for part in parts if isinstance(part, tuple)]

    def stop(self) -> None:
        """Ends every process and removes the folder."""
        self._child.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, accounts: str) -> None:
        folder = self.folder
        certificate = self._authority.issue("localhost")
        shutil.copy(certificate.certificate, folder / "certificate.pem")
        shutil.copy(certificate.key, folder / "key.pem")
        (folder / "mail-ec.pem").write_bytes(_run("openssl", "ecparam", "-name", "secp521r1", "-genkey", "-noout"))
        _run("openssl", "pkey", "-in", f"{folder}/mail-ec.pem", "-out", f"{folder}/mail-private.pem")
        _run("openssl", "pkey", "-in", f"{folder}/mail-ec.pem", "-pubout", "-out", f"{folder}/mail-public.pem")
        (folder / "accounts").write_text(accounts)
        user = pwd.getpwnam("mail")
        (folder / "vmail").mkdir()
        shutil.chown(folder / "vmail", user.pw_uid, user.pw_gid)
        text = SHIPPED.read_text()
        for shipped, ours in {
            "/etc/relayd/tls": str(folder),
            "/etc/relayd/dovecot": str(folder),
            "/etc/relayd/accounts": f"{folder}/accounts",
            "/var/vmail": f"{folder}/vmail",
            "/run/dovecot": f"{folder}/run",
            "port = 993": f"port = {self.port}\n    address = 127.0.0.1",
            "uid=vmail gid=vmail": f"uid={user.pw_uid} gid={user.pw_gid}",
            "user = relayd": "user = root",
            "log_path = syslog": f"log_path = {folder}/log\nfirst_valid_uid = 1",
        }.items():
            assert shipped in text, shipped
            text = text.replace(shipped, ours)
        (folder / "dovecot.conf").write_text(text)

    def _listening(self) -> bool:
        if self._child.returncode is not None:
            raise RuntimeError(f"Dovecot ended: {self._child.output}{self.log}")
        return self.lmtp.exists()


def _run(*command: str) -> bytes:
    return subprocess.run(command, check=True, capture_output=True, timeout=30).stdout
