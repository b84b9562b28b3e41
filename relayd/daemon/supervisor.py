"""The supervisor: binds the sockets, forks the processes, watches over them, passes on reload and stop.

It is plain synchronous code without threads or an event loop, so that forking is safe at any time: a process that
died is forked again, and inherits the sockets that never closed. What each process does is in ``processes.py``.

A *control channel* (a socket pair) joins the supervisor to each child. Messages are one byte each from the child
(``R`` ready) and framed pickles to it (``("reload", Loaded)``, ``("stop", None)``). A child that reads the channel's
end knows that the supervisor is gone, and ends: nobody serves unsupervised.
"""

from __future__ import annotations

import gc
import json
import os
import pickle
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from relayd.clock import SystemClock
from relayd.daemon import notify
from relayd.daemon.in_force import load_tried
from relayd.daemon.sockets import Listening, bind_all
from relayd.errors import ConfigurationError, Problem, StoreUnavailable
from relayd.settings.load import Loaded
from relayd.telemetry.lag import LagHistogram
from relayd.vault.files import make_private_folder

log = structlog.get_logger("relayd.daemon")

#: How long workers may finish what they began before they are killed, in seconds.
GRACE = 30.0
#: A process that dies within this many seconds of its start is started again only after as long a pause.
TOO_SOON = 1.0

#: The exit status of a process that can't serve before somebody has mended something, a database or the keys, and
#: then ours: EX_DATAERR of sysexits.h.
REFUSED = 65

#: What a forked process runs: (what it serves, its end of the control channel) → exit status.
Main = Callable[[Loaded, "list[Listening]", socket.socket], int]


@dataclass(frozen=True, slots=True)
class Role:
    """One kind of process. ``order`` says who starts first; stopping goes the other way round. ``lag`` is where
    it notes how late its event loop is."""

    name: str
    main: Main
    order: int
    lag: LagHistogram = field(default_factory=LagHistogram)


@dataclass(slots=True)
class Child:
    """A running process."""

    role: Role
    pid: int
    channel: socket.socket
    started: float
    ready: bool = False


class Supervisor:
    """Runs until SIGTERM or SIGINT. SIGHUP reloads."""

    def __init__(self, folder: Path, roles: Callable[[Loaded], list[Role]]) -> None:
        self.folder = folder
        self.loaded = load_tried(folder, SystemClock())
        self.listening: list[Listening] = []
        self.children: dict[int, Child] = {}
        #: Those whose first start waits until the ones before them serve.
        self.waiting = sorted(roles(self.loaded), key=lambda role: role.order)
        #: Those that were started and have never served yet. One that dies later holds nobody up.
        self.unserved: set[str] = set()
        self.restarts: list[tuple[float, Role]] = []
        self.selector = selectors.DefaultSelector()
        self.stopping_since: float | None = None
        self.announced = False
        self.status = 0

    def run(self) -> int:
        """Serve. Returns the exit status."""
        os.umask(0o077)  # Whatever any process of ours makes is ours alone; folders are private besides.
        self.listening = bind_all(self.loaded.configuration)
        control = self._open_control()
        wake, wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        self.selector.register(wake, selectors.EVENT_READ, lambda: self._on_signals(wake))
        self.selector.register(control, selectors.EVENT_READ, lambda: self._on_control(control))
        # What is loaded now is shared by all children; don't let the collector touch, and so copy, its pages.
        gc.collect()
        gc.freeze()
        self._start_next()
        while self.children or (self.restarts and self.stopping_since is None):
            for key, _ in self.selector.select(self._next_wait()):
                key.data()
            self._on_time()
        control.close()
        self._control_path.unlink(missing_ok=True)
        log.info("stopped")
        return self.status

    # -- processes ---------------------------------------------------------------------------------------------

    def _start_next(self) -> None:
        """Once all that were started have served, start those that come after them; announce it when none is left."""
        if self.announced or self.stopping_since is not None or self.unserved:
            return
        if not self.waiting:
            self.announced = True
            notify.notify("READY=1", f"STATUS=serving with {len(self.children)} processes")
            log.info("ready", listeners=[item.settings.address for item in self.listening])
            return
        order = self.waiting[0].order
        while self.waiting and self.waiting[0].order == order:
            role = self.waiting.pop(0)
            self.unserved.add(role.name)
            self._start(role)

    def _start(self, role: Role) -> None:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._become(role, theirs)
        theirs.close()
        child = Child(role, pid, ours, time.monotonic())
        self.children[pid] = child
        self.selector.register(ours, selectors.EVENT_READ, lambda: self._on_channel(child))

    def _become(self, role: Role, channel: socket.socket) -> None:
        """In the forked process: run the role and end, never return into the supervisor's code."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)  # The supervisor passes these on in its own words.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.selector.close()
            for sibling in self.children.values():
                sibling.channel.close()
            # Being watched is the supervisor's business; a child that notified would confuse it.
            for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID"):
                os.environ.pop(name, None)
            status = role.main(self.loaded, self.listening, channel)
        except BaseException:
            log.critical("process failed", role=role.name, exc_info=True)
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _on_channel(self, child: Child) -> None:
        if self.children.get(child.pid) is not child:
            return  # Reaped a moment ago, for a signal that came in the same wakeup.
        try:
            data = child.channel.recv(64)
        except ConnectionResetError:  # It died with messages of ours unread.
            data = b""
        if not data:
            self.selector.unregister(child.channel)
            return
        child.ready = True
        self.unserved.discard(child.role.name)
        self._start_next()

    def _reap(self) -> None:
        while self.children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self.children.pop(pid, None)
            if child is None:
                continue
            try:
                self.selector.unregister(child.channel)
            except KeyError:
                pass
            child.channel.close()
            if self.stopping_since is not None:
                self._stop_next()
                continue
            code = os.waitstatus_to_exitcode(status)
            log.error("process ended", role=child.role.name, status=code)
            if code == REFUSED and not self.announced:
                # Nothing was promised yet, and trying again heals nothing: whoever started us should hear of it.
                self.status = code
                self._stop()
                continue
            lived = time.monotonic() - child.started
            self.restarts.append((time.monotonic() + (TOO_SOON if lived < TOO_SOON else 0.0), child.role))

    def _on_time(self) -> None:
        now = time.monotonic()
        if self.stopping_since is None:
            due = [role for at, role in self.restarts if at <= now]
            self.restarts = [(at, role) for at, role in self.restarts if at > now]
            for role in due:
                self._start(role)
        elif now - self.stopping_since > GRACE:
            for child in self.children.values():
                log.warning("killed after grace", role=child.role.name)
                os.kill(child.pid, signal.SIGKILL)
            self.stopping_since = now
        if notify.watchdog_interval():
            notify.notify("WATCHDOG=1")

    def _next_wait(self) -> float:
        waits = [notify.watchdog_interval() or 60.0]
        now = time.monotonic()
        waits += [max(0.0, at - now) for at, _ in self.restarts]
        if self.stopping_since is not None:
            waits.append(max(0.0, self.stopping_since + GRACE - now) + 0.01)
        return min(waits)

    # -- signals and the control socket ------------------------------------------------------------------------

    def _on_signals(self, wake: int) -> None:
        try:
            numbers = set(os.read(wake, 256))
        except BlockingIOError:
            return
        if signal.SIGCHLD in numbers:
            self._reap()
        if signal.SIGHUP in numbers:
            self.reload()
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._stop()

    def _stop(self) -> None:
        if self.stopping_since is not None:
            return
        notify.notify("STOPPING=1")
        log.info("stopping")
        self.stopping_since = time.monotonic()
        self._stop_next()

    def _stop_next(self) -> None:
        """Tell the rightmost processes to stop; those they depend on are told once they are gone."""
        if not self.children:
            return
        last = max(child.role.order for child in self.children.values())
        for child in self.children.values():
            if child.role.order == last:
                _tell(child.channel, ("stop", None))

    def reload(self) -> list[str]:
        """Read the configuration anew. Returns the mistakes, in which case the old one stays in force."""
        notify.reloading()
        try:
            loaded = load_tried(self.folder, SystemClock())
            _refuse_what_needs_a_restart(self.loaded, loaded)
        except ConfigurationError as error:
            problems = [str(problem) for problem in error.problems]
            log.error("reload refused, the old configuration stays in force", problems=problems)
            notify.notify("READY=1", f"STATUS=reload refused: {problems[0]}")
            return problems
        self.loaded = loaded
        for child in self.children.values():
            _tell(child.channel, ("reload", loaded))
        log.info("reloaded")
        notify.notify("READY=1", "STATUS=reloaded")
        return []

    @property
    def _control_path(self) -> Path:
        return self.loaded.configuration.state / "control.sock"

    def _open_control(self) -> socket.socket:
        path = self._control_path
        control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            make_private_folder(path.parent)
            path.unlink(missing_ok=True)
            control.bind(str(path))
            path.chmod(0o600)
        except OSError as error:
            raise StoreUnavailable(f"{path.parent} can't be used: {error.strerror}") from error
        control.listen(8)
        return control

    def _on_control(self, control: socket.socket) -> None:
        connection, _ = control.accept()
        with connection:
            connection.settimeout(2.0)
            try:
                request = json.loads(connection.recv(4096))
                answer = self._answer(request.get("command") if isinstance(request, dict) else None)
                connection.sendall(json.dumps(answer).encode())
            except (OSError, ValueError, RecursionError):
                return  # Whoever asked has gone or talks nonsense; serving goes on.

    def _answer(self, command: object) -> dict[str, object]:
        if command == "reload":
            problems = self.reload()
            return {"ok": not problems, "problems": problems}
        if command == "status":
            processes = [
                {"role": c.role.name, "pid": c.pid, "ready": c.ready, "loop_lag": c.role.lag.counts()}
                for c in self.children.values()
            ]
            return {"ok": True, "processes": processes}
        return {"ok": False, "problems": [f"unknown command {command!r}"]}


def _tell(channel: socket.socket, message: tuple[str, Loaded | None]) -> None:
    data = pickle.dumps(message)
    try:
        channel.sendall(struct.pack("!I", len(data)) + data)
    except OSError:
        return  # It is dying; waitpid will tell.


#: Sections that a process reads once, when it starts. What isn't told here would seem to be in force and not be.
_READ_AT_THE_START: Final = (
    "state",
    "keys",
    "listeners",
    "workers",
    "store",
    "viewer",
    "sms",
    "resolver",
    "dnssec",
    "metrics",
)


def _refuse_what_needs_a_restart(old: Loaded, new: Loaded) -> None:
    problems = [
        Problem("relayd.yaml", None, key, "can't change while relayd runs; restart it for this")
        for key in _READ_AT_THE_START
        if getattr(old.configuration, key) != getattr(new.configuration, key)
    ]
    if problems:
        raise ConfigurationError(problems)
