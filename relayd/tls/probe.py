"""Handshakes with peers that offer one thing each, to see what the other side takes and what it refuses."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal

from relayd.tls.hello import Hello, read_hello

#: Seconds for one handshake.
TIMEOUT: Final = 10.0

#: The group ffdhe2048 (RFC 7919 appendix A.1), for servers that do DHE with too small a group.
_FFDHE2048: Final = """\
-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a peer is able to. ``suites`` is an OpenSSL cipher string for TLS 1.2 and below; the others are lists of
    OpenSSL's configuration, "" for its own. ``shows`` says which certificate a server has. ``compression`` is for
    clients of TLS 1.2."""

    lowest: str = "TLSv1_2"
    highest: str = "TLSv1_3"
    suites: str = "ALL"
    tls13_suites: str = ""
    groups: str = ""
    signatures: str = ""
    options: str = ""
    shows: Literal["elliptic", "rsa", "weak"] = "elliptic"
    compression: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a handshake. ``error`` is why there was none, in OpenSSL's words; ``unable`` why it couldn't be
    tried. ``client`` and ``server`` are what they said in the clear. ``chain`` is the server's (DER, as sent, its
    own first) where the peer was a client."""

    error: str = ""
    unable: str = ""
    version: str = ""
    suite: str = ""
    client: Hello | None = None
    server: Hello | None = None
    chain: tuple[bytes, ...] = ()

    @property
    def done(self) -> bool:
        return not self.error and not self.unable


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its key, both PEM files."""

    certificate: Path
    key: Path


class Prober:
    """Starts peers. ``folder`` is for their configuration files; ``pairs`` has what servers show."""

    def __init__(self, folder: Path, pairs: Mapping[str, Pair]) -> None:
        self._folder = folder
        self._pairs = pairs
        self._count = 0
        (folder / "dh.pem").write_text(_FFDHE2048)

    def client(self, offer: Offer, connection: socket.socket, server_name: str = "") -> Seen:
        """A client with this offer on a connected socket, whose other end is the caller's or somebody else's server."""
        return self._seen(self._start("client", offer, connection, server_name), "client")

    def against_server(self, offer: Offer, context: ssl.SSLContext) -> Seen:
        """A client with this offer against a server of ``context``."""
        return self._against("client", offer, context)

    def against_client(self, offer: Offer, context: ssl.SSLContext) -> Seen:
        """A server with this offer against a client of ``context``."""
        return self._against("server", offer, context)

    def _against(self, role: str, offer: Offer, context: ssl.SSLContext) -> Seen:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                peer = self._start(role, offer, theirs, "")
            error = _our_end(context, ours, server=role == "client")
        seen = self._seen(peer, role)
        return replace(seen, error=error) if error and not seen.unable else seen

    def _start(self, role: str, offer: Offer, connection: socket.socket, server_name: str) -> subprocess.Popen[bytes]:
        self._count += 1
        conf = self._folder / f"{self._count}.cnf"
        conf.write_text(_configuration(offer))
        shown = self._pairs[offer.shows] if role == "server" else None
        argument = {
            **asdict(offer),
            "role": role,
            "server_name": server_name,
            "certificate": str(shown.certificate) if shown else "",
            "key": str(shown.key) if shown else "",
            "dh": str(self._folder / "dh.pem"),
            "timeout": TIMEOUT,
        }
        return subprocess.Popen(  # noqa: S603 (ourselves)
            [sys.executable, "-m", "relayd.tls.one_offer", json.dumps(argument)],
            env={**os.environ, "OPENSSL_CONF": str(conf)},
            stdin=connection.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def _seen(self, peer: subprocess.Popen[bytes], role: str) -> Seen:
        try:
            said = json.loads(peer.communicate(timeout=2 * TIMEOUT)[0])
        except (subprocess.TimeoutExpired, ValueError):
            peer.kill()
            peer.wait()
            return Seen(unable="the probing process failed")
        if "unable" in said:
            return Seen(unable=f"this OpenSSL can't offer it: {said['unable']}")
        heard = {way: read_hello(bytes.fromhex(said[way])) for way in ("sent", "received")}
        client, server = ("sent", "received") if role == "client" else ("received", "sent")
        return Seen(
            error=said["error"],
            version=said["version"],
            suite=said["suite"],
            client=heard[client],
            server=heard[server],
            chain=tuple(bytes.fromhex(one) for one in said["chain"]),
        )


def _our_end(context: ssl.SSLContext, connection: socket.socket, *, server: bool) -> str:
    """Our side of the handshake; why it failed, "" when it didn't."""
    connection.settimeout(TIMEOUT)
    try:
        with context.wrap_socket(connection, server_side=server, server_hostname=None) as tls:
            tls.settimeout(TIMEOUT)
    except ssl.SSLError as error:
        return error.reason or "the handshake failed"
    except OSError as error:
        return error.strerror or "the connection was lost"
    return ""


def _configuration(offer: Offer) -> str:
    """A file for OPENSSL_CONF."""
    wanted = {
        "Ciphersuites": offer.tls13_suites,
        "Groups": offer.groups,
        "SignatureAlgorithms": offer.signatures,
        "Options": offer.options,
    }
    lines = [f"{name} = {value}" for name, value in wanted.items() if value]
    head = ["openssl_conf = peer", "[peer]", "ssl_conf = ssl", "[ssl]", "system_default = offer", "[offer]"]
    return "\n".join([*head, *lines, ""])
