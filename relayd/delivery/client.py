"""One connection to a next hop: aiosmtplib's client on our wire, with TLS proven before the first MAIL."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import aiosmtplib
import msgspec

from relayd.clock import Clock, SystemClock
from relayd.delivery.wire import PeerBroken, Wire, one_line, reply_text
from relayd.mail.address import is_address
from relayd.mail.envelope import TlsFacts
from relayd.telemetry.metrics import TLS_OUT, TLS_OUT_FAILURES
from relayd.tls.contexts import ClientTls
from relayd.tls.demand import Security, TlsDemand
from relayd.tls.identity import judge
from relayd.tls.results import Applied, PolicyType, ResultType


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a peer may take, in seconds (RFC 5321 §4.5.3.2). The final dot's wait grows with the size."""

    connect: float = 30.0
    greeting: float = 300.0
    command: float = 300.0
    data: float = 120.0
    block: float = 180.0
    final_dot: float = 600.0
    octets_per_second: float = 50_000.0

    def after_dot(self, size: int) -> float:
        return self.final_dot + size / self.octets_per_second


@dataclass(frozen=True, slots=True)
class Hop:
    """Where to connect and what it has to prove: a host and port, or the path of a Unix socket. ``applied`` is the
    policy that the daily report names; it makes no other place of it."""

    host: str
    port: int
    demand: TlsDemand
    socket_path: str = ""
    lmtp: bool = False
    applied: Applied | None = field(default=None, compare=False)

    def __str__(self) -> str:
        if self.socket_path:
            return f"unix:{self.socket_path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class HopUnavailable(Exception):
    """This next hop can't be used now, or, with an enhanced code ``status`` of class 5, never for this message.
    ``failure`` says how the daily report calls it when it was for TLS."""

    def __init__(self, status: str, reply: str, remote: str = "", failure: ResultType | None = None) -> None:
        self.status = status
        self.reply = reply
        self.remote = remote
        self.failure = failure
        super().__init__(reply)

    @property
    def permanent(self) -> bool:
        return self.status.startswith("5")


#: Enhanced codes for what a connection can lack (RFC 3463 §3.8, RFC 8689 §4.2.2 for X.7.10).
NO_TLS: Final = "4.7.10"
_NOT_PROVEN: Final = "4.7.5"
_CONNECTION: Final = "4.4.1"
#: OpenSSL's numbers for a certificate that isn't in force (yet).
_VERIFY_ERRORS: Final = {9: ResultType.CERTIFICATE_EXPIRED, 10: ResultType.CERTIFICATE_EXPIRED}


class Client(aiosmtplib.SMTP):
    """A connected, greeted and, where demanded, proven peer. ``tls`` says what its handshake showed,
    ``counted_for`` in which domains' reports this session was counted."""

    def __init__(self, hop: Hop, hostname: str, timeouts: Timeouts, clock: Clock | None = None) -> None:
        super().__init__(local_hostname=hostname, timeout=timeouts.command, start_tls=False)
        self.hop = hop
        self.timeouts = timeouts
        self.tls: TlsFacts | None = None
        self.remote = hop.host
        self.used = 0
        self.address = ""
        self.counted_for: set[str] = set()
        self._clock = clock or SystemClock()

    @property
    def wire(self) -> Wire:
        if not isinstance(self.protocol, Wire):
            raise aiosmtplib.SMTPServerDisconnected("The connection was lost")
        return self.protocol

    @property
    def reusable(self) -> bool:
        return isinstance(self.protocol, Wire) and self.protocol.idle

    def abort(self) -> None:
        """Drop the connection without another octet."""
        if isinstance(self.protocol, Wire):
            self.protocol.abort()
        self.close()

    async def _create_connection(self, timeout: float | None) -> aiosmtplib.SMTPResponse:  # noqa: ASYNC109
        """Connect our own wire and read its greeting; aiosmtplib would make its own protocol here."""
        loop = self.loop or asyncio.get_running_loop()
        wire = Wire(loop)
        if self.hop.socket_path:
            connecting = loop.create_unix_connection(lambda: wire, self.hop.socket_path)
            async with asyncio.timeout(self.timeouts.connect):
                self.transport, _ = await connecting
        else:
            async with asyncio.timeout(self.timeouts.connect):
                self.transport, _ = await loop.create_connection(
                    lambda: wire, self.hostname or self.hop.host, self.hop.port
                )
        self.protocol = wire
        greeting = await wire.reply(self.timeouts.greeting)
        if greeting.code != 220:
            raise aiosmtplib.SMTPConnectResponseError(greeting.code, greeting.message)
        return greeting

    async def open(self, address: str, contexts: ClientTls) -> None:
        """Connect to ``address``, say who we are, and prove the peer as demanded. Raises HopUnavailable."""
        self.address = address
        try:
            await self.connect(hostname=address or None)
            await self._hello()
            await self._secure(contexts)
        except HopUnavailable:
            self.abort()
            raise
        except aiosmtplib.SMTPResponseException as error:
            self.abort()
            said = reply_text(aiosmtplib.SMTPResponse(error.code, error.message))
            raise HopUnavailable("4.3.2", said, self.remote) from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            self.abort()
            raise HopUnavailable(_CONNECTION, f"{self.hop}: {_words(error)}", self.remote) from error
        except asyncio.CancelledError:
            self.abort()
            raise

    async def _hello(self) -> None:
        if not self.hop.lmtp:
            await self._ehlo_or_helo_if_needed()
            return
        name = (self.local_hostname or "").encode("ascii")
        response = await self.execute_command(b"LHLO", name)
        if response.code != 250:
            raise aiosmtplib.SMTPHeloError(response.code, response.message)
        self.last_ehlo_response = response

    async def _secure(self, contexts: ClientTls) -> None:
        demand = self.hop.demand
        if not self.supports_extension("starttls"):
            if demand.security is not Security.OFFERED:
                TLS_OUT_FAILURES.add("starttls")
                words = "TLS is required, and it offers none"
                raise self._insecure(NO_TLS, words, ResultType.STARTTLS_NOT_SUPPORTED)
            return
        if self.hop.socket_path:
            return
        try:
            context = contexts.context(demand)
        except (OSError, ssl.SSLError) as error:
            raise HopUnavailable("4.3.5", f"{self.hop.host}: the CA file for it can't be read") from error
        await self._shake_hands(context)
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        self.tls, fault = judge(self.get_transport_info("ssl_object"), demand, now)
        if fault is not None:
            TLS_OUT_FAILURES.add("proof")
            raise self._insecure(_NOT_PROVEN, fault.reason, fault.type)
        proof = demand.security if demand.security in (Security.DANE, Security.VERIFIED) else Security.ENCRYPTED
        TLS_OUT.add(proof.value, self.tls.version)
        # RFC 3207 §4.2: what was said before TLS is forgotten.
        await self._hello()

    async def _shake_hands(self, context: ssl.SSLContext) -> None:
        """STARTTLS and the handshake, with a name for each way in which they can fail."""
        try:
            await self.starttls(server_hostname=self._server_name(), tls_context=context, timeout=self.timeouts.command)
        except aiosmtplib.SMTPResponseException as error:
            TLS_OUT_FAILURES.add("starttls")
            said = reply_text(aiosmtplib.SMTPResponse(error.code, error.message))
            words = f"it offers STARTTLS and refuses it: {said}"
            raise self._insecure(NO_TLS, words, ResultType.STARTTLS_NOT_SUPPORTED) from error
        except PeerBroken as error:
            TLS_OUT_FAILURES.add("handshake")
            words = "octets came with its reply to STARTTLS or in place of one: somebody may have put them there"
            raise self._insecure(NO_TLS, words, ResultType.VALIDATION_FAILURE) from error
        except ssl.SSLCertVerificationError as error:
            TLS_OUT_FAILURES.add("certificate")
            words = f"its certificate isn't trusted: {error.verify_message}"
            type_ = _VERIFY_ERRORS.get(error.verify_code, ResultType.CERTIFICATE_NOT_TRUSTED)
            raise self._insecure(_NOT_PROVEN, words, type_) from error
        except ssl.SSLError as error:
            TLS_OUT_FAILURES.add("handshake")
            words = f"the TLS handshake failed: {error.reason or 'no reason given'}"
            raise self._insecure(_NOT_PROVEN, words, ResultType.VALIDATION_FAILURE) from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            TLS_OUT_FAILURES.add("handshake")
            words = f"it offers STARTTLS, and then: {_words(error)}"
            raise self._insecure(_CONNECTION, words, ResultType.VALIDATION_FAILURE) from error

    def _insecure(self, status: str, words: str, failure: ResultType) -> HopUnavailable:
        return HopUnavailable(status, one_line(f"{self.hop.host}: {words}"), self.remote, failure)

    def tls_for(self, hop: Hop | None) -> TlsFacts | None:
        """What the handshake proved to a copy that goes by ``hop``. A connection that was made for another domain's
        sake serves an MTA-STS policy just as well, when both demand the same."""
        by_sts = hop is not None and hop.applied is not None and hop.applied.type is PolicyType.STS
        if self.tls is not None and self.tls.proof == "ca" and by_sts:
            return msgspec.structs.replace(self.tls, proof="mta-sts")
        return self.tls

    def _server_name(self) -> str | None:
        """The name for SNI; an IP address is none (RFC 6066 §3)."""
        demand = self.hop.demand
        for name in (demand.server_name, *demand.names, self.hop.host):
            if name and not is_address(name):
                return name
        return None

    async def goodbye(self) -> None:
        """QUIT without waiting for long: the peer's answer changes nothing."""
        if self.reusable:
            try:
                await self.wire.execute_command(b"QUIT", timeout=min(5.0, self.timeouts.command))
            except (aiosmtplib.SMTPException, OSError):
                pass
        self.close()


def _words(error: BaseException) -> str:
    if isinstance(error, aiosmtplib.SMTPException):
        return error.message
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "can't be reached"
