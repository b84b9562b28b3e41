"""The real daemon as a child process, and its commands."""

from __future__ import annotations

import contextlib
import json
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.kit.process import Child
from tests.kit.site import Site
from tests.kit.small_disk import SmallDisk

RELAYD = Path(sys.executable).parent / "relayd"


class Notifications:
    """The other end of NOTIFY_SOCKET (sd_notify(3)): what the daemon says of itself, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0.2)

    def close(self) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)

    def forget(self) -> None:
        """Drop what has come but nobody waited for."""
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(4096)
        self._socket.settimeout(0.2)

    def wait(self, key: str, child: Child, timeout: float = 60.0) -> dict[str, str]:
        """The first message with ``key`` in it, as a mapping, with all STATUS text since the call."""
        end = time.monotonic() + timeout
        status = ""
        while time.monotonic() < end:
            try:
                text = self._socket.recv(4096).decode("utf-8", "replace")
            except TimeoutError:
                if child.returncode is not None:
                    raise RuntimeError(f"relayd ended with {child.returncode}:\n{child.output[-4000:]}") from None
                continue
            said = dict(line.partition("=")[::2] for line in text.splitlines())
            status = said.get("STATUS", status)
            if key in said:
                return {**said, "STATUS": status}
        raise TimeoutError(f"relayd didn't say {key} within {timeout:g} s:\n{child.output[-4000:]}")


class RelayProcess:
    """``relayd serve`` on the folder that ``site`` describes.

    With keys made on the first start. Used as a context manager it is started and stopped; :meth:`kill` and
    :meth:`start` again is a crash and recovery. ``command`` runs in place of ``relayd``. With ``disk`` it, and its
    commands, see that as the state folder.
    """

    def __init__(
        self,
        site: Site,
        *,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str | Path] = (RELAYD,),
        disk: SmallDisk | None = None,
    ) -> None:
        self.site = site
        self._command = command
        self._disk = disk
        self._environment = dict(environment or {})
        self._child: Child | None = None
        self._notifications: Notifications | None = None

    def __enter__(self) -> RelayProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def child(self) -> Child:
        if self._child is None:
            raise RuntimeError("relayd was not started")
        return self._child

    @property
    def log(self) -> str:
        path = self.site.folder / "relayd.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Returns when it says READY=1."""
        notifications, child = self.launch(environment)
        try:
            notifications.wait("READY", child)
        except BaseException:
            self.stop()
            raise

    def prepare(self) -> None:
        """Write its configuration, and make keys when it has none."""
        self.site.write()
        if not (self.site.keys / "root.json").exists():
            self.cli("keys", "generate")

    def launch(self, environment: Mapping[str, str] | None = None) -> tuple[Notifications, Child]:
        """The same for one that may never be ready."""
        self.prepare()
        if self._notifications is None:
            self._notifications = Notifications(self.site.folder / "notify")
        self._notifications.forget()
        self._child = Child(
            [
                *(self._disk.around(self.site.state) if self._disk else ()),
                *self._command,
                "serve",
                "--config",
                self.site.config,
            ],
            self.site.folder / "relayd.log",
            environment={
                **self._environment,
                **(environment or {}),
                "NOTIFY_SOCKET": str(self._notifications.path),
            },
        )
        return self._notifications, self._child

    def stop(self, timeout: float = 60.0) -> int:
        """SIGTERM and wait: the exit status."""
        status = self._child.stop(timeout) if self._child else 0
        if self._notifications:
            self._notifications.close()
            self._notifications = None
        return status

    def kill(self) -> None:
        """SIGKILL for every process of it, at once: a power cut as far as processes go."""
        self.child.kill()

    def reload(self) -> str:
        """SIGHUP; returns the STATUS it then gives."""
        assert self._notifications is not None
        self._notifications.forget()
        self.child.signal(signal.SIGHUP)
        self._notifications.wait("RELOADING", self.child)
        return self._notifications.wait("READY", self.child)["STATUS"]

    def processes(self) -> dict[int, str]:
        """The supervisor's children: "store", "worker-0", "worker-1", "web" by process id, as it tells itself."""
        return {process["pid"]: process["role"] for process in self.status()}

    def status(self) -> list[dict[str, Any]]:
        """The same with all that the supervisor knows of each."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(10)
            control.connect(str(self.site.state / "control.sock"))
            control.sendall(b'{"command": "status"}')
            answer = json.loads(control.makefile("rb").read())
        return list(answer["processes"])

    def cli(self, *arguments: str | Path, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """``relayd COMMAND … --config DIR``."""
        inside = self._disk.enter(self._child.pid) if self._disk and self._child else ()
        done = subprocess.run(
            [*inside, RELAYD, *map(str, arguments), "--config", self.site.config],
            capture_output=True,
            text=True,
            input=stdin,
            timeout=120,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"relayd {' '.join(map(str, arguments))}: {done.stderr}{done.stdout}")
        return done

    def json(self, *arguments: str | Path) -> Any:
        """The same with ``--json``, parsed."""
        return json.loads(self.cli(*arguments, "--json").stdout)

    def client_context(self, *, certificate: bool = False) -> ssl.SSLContext:
        """Trusts relayd's certificate; shows the hospital's with ``certificate``."""
        context = ssl.create_default_context(cafile=self.site.authority.certificate)
        if certificate:
            context.load_cert_chain(self.site.hospital.certificate, self.site.hospital.key)
        return context

    @contextlib.contextmanager
    def hospital(self) -> Iterator[smtplib.SMTP]:
        """A session of the hospital's mail server, recognised by its certificate."""
        with smtplib.SMTP("127.0.0.1", self.site.relay_port, "mail.noord.example", timeout=30) as client:
            client.starttls(context=self.client_context(certificate=True))
            yield client

    @contextlib.contextmanager
    def stranger(self, *, tls: bool = True) -> Iterator[smtplib.SMTP]:
        """A session of a mail server that nobody knows."""
        with smtplib.SMTP("127.0.0.1", self.site.relay_port, "mail.stranger.example", timeout=30) as client:
            if tls:
                client.starttls(context=self.client_context())
            yield client

    @contextlib.contextmanager
    def submission(self, account: str, password: str | None = None) -> Iterator[smtplib.SMTP]:
        """A mail client on port 587, logged in."""
        with smtplib.SMTP("127.0.0.1", self.site.submission_port, timeout=30) as client:
            client.starttls(context=self.client_context())
            client.login(account, password or self.site.accounts[account])
            yield client
