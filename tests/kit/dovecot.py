"""A private Dovecot: LMTP to deliver to, IMAP to log in to, with relayd's own accounts file for both.

``shipped`` are configuration files to include, such as the ones in config/dovecot/; ``changes`` is text after them,
for the paths and users that differ from an installed system.
"""

from __future__ import annotations

import contextlib
import imaplib
import os
import pwd
import shutil
import smtplib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.kit.ports import free_port
from tests.kit.process import Child
from tests.kit.wait import wait_for

_CONFIGURATION = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
instance_name = relayd-test
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {login}
first_valid_uid = 1
mail_location = maildir:{folder}/mail/%u
auth_mechanisms = plain
auth_verbose = yes

service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
passdb {{
  driver = passwd-file
  args = username_format=%u {accounts}
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {accounts}
  override_fields = uid={user} gid={group} home={folder}/home/%u
}}
"""


def available() -> str:
    """ "" when Dovecot can be run here, else the reason why not."""
    for path in ("/usr/sbin/dovecot", "/usr/lib/dovecot/lmtp", "/usr/lib/dovecot/imap"):
        if not Path(path).exists():
            return f"{path} is not installed"
    return "" if os.geteuid() == 0 else "Dovecot starts only as root"


class Dovecot:
    """One running instance. ``changes`` may say ``{folder}`` for its folder."""

    def __init__(self, accounts: Path, *, shipped: Iterable[Path] = (), changes: str = "") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="relayd-dovecot-"))
        self.folder.chmod(0o755)
        self.lmtp_port = free_port()
        self.imap_port = free_port()
        owner = pwd.getpwnam("dovecot")
        copied = self.folder / "accounts"
        shutil.copy(accounts, copied)
        shutil.chown(copied, "root", owner.pw_gid)
        copied.chmod(0o640)
        for name in ("mail", "home", "state"):
            (self.folder / name).mkdir()
            shutil.chown(self.folder / name, owner.pw_uid, owner.pw_gid)
        text = _CONFIGURATION.format(
            folder=self.folder,
            accounts=copied,
            user="dovecot",
            group="dovecot",
            login="dovenull",
            imap=self.imap_port,
            lmtp=self.lmtp_port,
        )
        text += "".join(f"!include {path}\n" for path in shipped)
        text += changes.replace("{folder}", str(self.folder))
        self._configuration = self.folder / "dovecot.conf"
        self._configuration.write_text(text)
        self._child = Child(["/usr/sbin/dovecot", "-F", "-c", self._configuration], self.folder / "output")
        try:
            wait_for(self._listening, "Dovecot's LMTP")
        except (TimeoutError, RuntimeError):
            self.stop()
            raise

    def __enter__(self) -> Dovecot:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    @contextlib.contextmanager
    def imap(self, account: str, password: str) -> Iterator[imaplib.IMAP4]:
        """A session that is logged in."""
        with imaplib.IMAP4("127.0.0.1", self.imap_port, timeout=30) as session:
            session.login(account, password)
            yield session

    def messages(self, account: str, password: str) -> list[bytes]:
        """All of this person's inbox, as a mail client gets it."""
        with self.imap(account, password) as session:
            session.select("INBOX", readonly=True)
            numbers = session.search(None, "ALL")[1][0].split()
            fetched = [session.fetch(number.decode(), "(BODY.PEEK[])")[1] for number in numbers]
        return [part[1] for parts in fetched for part in parts if isinstance(part, tuple)]

    def wait_for_message(self, account: str, password: str, timeout: float = 30.0) -> bytes:
        return wait_for(lambda: self.messages(account, password), f"mail for {account}", timeout)[0]

    def stop(self) -> None:
        """Ends every process and removes the folder."""
        if self.folder.exists():
            self._child.stop()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _listening(self) -> bool:
        if self._child.returncode is not None:
            raise RuntimeError(f"Dovecot ended: {self._child.output}{self.log}")
        with contextlib.suppress(OSError), smtplib.LMTP("127.0.0.1", self.lmtp_port, timeout=5):
            return True
        return False
