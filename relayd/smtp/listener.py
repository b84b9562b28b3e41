"""Accepts connections on listening sockets that several workers share, and keeps their sessions.

Each worker takes one connection per readiness event, so the least busy one, which comes back to its loop first, takes
the most. One that has more sessions than another gives way for a moment first: sessions can last, and which worker was
quicker when they began says little.

Before there is a session: the PROXY header where one is due, the door's admission, and for implicit TLS the handshake.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol

import structlog

from relayd.mail.envelope import Peer
from relayd.mail.reply import Reply
from relayd.smtp import handshake, replies
from relayd.smtp.door import Door
from relayd.smtp.failure import reply_to
from relayd.smtp.proxy import Origin, ProxyHeaderInvalid, plain_address, read_header
from relayd.smtp.server import Session
from relayd.smtp.service import Service
from relayd.telemetry.metrics import TLS_IN

#: Seconds without accepting when the process or the machine has no descriptor or memory left.
_PAUSE: Final = 1.0
#: Seconds in which another worker may take a connection that this one would be less suited for.
_GIVE_WAY: Final = 0.002

log = structlog.get_logger("relayd.smtp")


class Connection(Protocol):
    """A protocol of asyncio's that serves one admitted connection. ``task`` runs until it is over."""

    peer: Peer
    task: asyncio.Task[None] | None

    def drain(self) -> None:
        """End as soon as nothing is under way."""
        ...

    def abort(self) -> None:
        """Cut it."""
        ...


class ListenerServer:
    """The sessions of one or more sockets with the same settings. ``service`` may be replaced at any time; it then
    holds for connections that come later. ``session`` makes the protocol of one connection: SMTP's by itself."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        service: Service,
        loop: asyncio.AbstractEventLoop,
        session: Callable[..., Connection] = Session,
    ) -> None:
        self.service = service
        self._session = session
        self._sockets = tuple(sockets)
        self._loop = loop
        self._sessions: set[Connection] = set()
        self._arrivals: set[asyncio.Task[None]] = set()
        self._accepting = False
        self._pauses: dict[int, asyncio.TimerHandle] = {}  # by descriptor
        self._gave_way = False
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def sessions(self) -> int:
        """Connections in hand, those that are just arriving included."""
        return len(self._sessions) + len(self._arrivals)

    def start(self) -> None:
        self._accepting = True
        for sock in self._sockets:
            sock.setblocking(False)
            self._loop.add_reader(sock.fileno(), self._accept, sock)

    async def drain(self, grace: float) -> None:
        """Accept no more, send idle sessions away with 421 and let transactions finish; after ``grace`` seconds cut
        what is left. Whatever the door is doing by then is waited for."""
        self.stop_accepting()
        for session in tuple(self._sessions):
            session.drain()
        try:
            async with asyncio.timeout(grace):
                await self._empty.wait()
        except TimeoutError:
            log.warning("sessions_cut", sessions=self.sessions)
            await self.close()

    async def close(self) -> None:
        """Cut every connection. Commits in progress are waited for."""
        self.stop_accepting()
        for task in tuple(self._arrivals):
            task.cancel()
        for session in tuple(self._sessions):
            session.abort()
        await self._empty.wait()

    def stop_accepting(self) -> None:
        if not self._accepting:
            return
        self._accepting = False
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())
        for handle in self._pauses.values():
            handle.cancel()

    # Arrival

    def _accept(self, listening: socket.socket) -> None:
        self._gave_way = not self._gave_way and self.service.crowded()
        if self._gave_way:
            self._pause(listening, _GIVE_WAY)
            return
        try:
            sock, address = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was faster, or the peer has left again
        except OSError as error:  # no descriptor or memory left, or the network is ill: accept(2)
            log.error("accept_paused", reason=errno.errorcode.get(error.errno or 0, ""), sessions=self.sessions)
            self._pause(listening, _PAUSE)
            return
        sock.setblocking(False)
        task = self._loop.create_task(self._arrive(sock, Origin(plain_address(address[0]), address[1]), self.service))
        self._arrivals.add(task)
        self._empty.clear()
        task.add_done_callback(self._arrived)

    def _pause(self, listening: socket.socket, seconds: float) -> None:
        self._loop.remove_reader(listening.fileno())
        self._pauses[listening.fileno()] = self._loop.call_later(seconds, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        if self._accepting:
            self._loop.add_reader(listening.fileno(), self._accept, listening)

    def _arrived(self, task: asyncio.Task[None]) -> None:
        self._arrivals.discard(task)
        self._check_empty()

    async def _arrive(self, sock: socket.socket, origin: Origin, service: Service) -> None:
        taken = False
        try:
            if any(origin.address in network for network in service.settings.proxy_from):
                origin = await read_header(self._loop, sock, origin)
            peer = Peer(origin.address, origin.port, service.kind, proxied_by=origin.proxied_by)
            taken = await self._admit(sock, peer, service)
        except ProxyHeaderInvalid:
            log.warning("proxy_header_invalid", balancer=str(origin.address))
        finally:
            if not taken:
                sock.close()

    async def _admit(self, sock: socket.socket, peer: Peer, service: Service) -> bool:
        """Ask the door; True when a session has taken the socket over."""
        door = service.door()
        try:
            refusal = door.connect(peer)
        except Exception as error:
            refusal = _greeting(reply_to(error, "connect"))
        if refusal is None and service.settings.tls != "implicit" and _spoke_first(sock):
            door.disconnect(peer)
            refusal = replies.SPOKE_FIRST
        if refusal is not None:
            if service.settings.tls != "implicit":
                _say(sock, refusal)
            return False
        return await self._begin(sock, peer, service, door)

    async def _begin(self, sock: socket.socket, peer: Peer, service: Service, door: Door) -> bool:
        make: Callable[[], Any] = partial(self._session, service, door, peer, self._loop, self._session_ended)
        try:
            context = service.tls() if service.tls is not None and service.settings.tls == "implicit" else None
            _, session = await self._loop.connect_accepted_socket(
                make, sock, ssl=context, ssl_handshake_timeout=None if context is None else handshake.TIMEOUT
            )
        except (OSError, EOFError) as error:  # ssl.SSLError is an OSError
            TLS_IN.add("failed")
            log.info("tls_failed", peer=str(peer.address), reason=getattr(error, "reason", type(error).__name__))
            door.disconnect(peer)
            return False
        except asyncio.CancelledError:
            door.disconnect(peer)
            raise
        if session.peer.tls is not None:
            TLS_IN.add(session.peer.tls.version)
        if session.task is not None and not session.task.done():
            self._sessions.add(session)
            if not self._accepting:
                session.drain()
        return True

    # End

    def _session_ended(self, session: Connection) -> None:
        self._sessions.discard(session)
        self._check_empty()

    def _check_empty(self) -> None:
        if not self._sessions and not self._arrivals:
            self._empty.set()


def listen(
    sockets: Sequence[socket.socket], service: Service, session: Callable[..., Connection] = Session
) -> ListenerServer:
    """Serve connections to ``sockets``, which are bound and listening, on the running loop."""
    if service.settings.tls == "implicit" and service.tls is None:
        raise ValueError("implicit TLS needs a TLS context")
    server = ListenerServer(sockets, service, asyncio.get_running_loop(), session)
    server.start()
    return server


def _greeting(reply: Reply) -> Reply:
    """RFC 5321 §4.3.2 knows 421 and 554 in the place of a greeting."""
    return reply if reply.code in (421, 554) else Reply(421, reply.enhanced, reply.text)


def _spoke_first(sock: socket.socket) -> bool:
    """Whether input is waiting before the greeting: no mail server does that, spam programs do."""
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


def _say(sock: socket.socket, reply: Reply) -> None:
    """A last word that fits into the empty send buffer of a new connection."""
    try:
        sock.send(reply.encode())
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass
