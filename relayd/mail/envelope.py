"""The RFC 5321 envelope as a value: reverse-path, recipients and their parameters, who brought it."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

import msgspec

from relayd.mail.address import Address, Sender


class BodyType(StrEnum):
    """BODY= of RFC 6152. BINARYMIME isn't offered, since next hops may lack it."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT_MIME = "8BITMIME"


class Notify(StrEnum):
    """NOTIFY= of RFC 3461 §4.1. NEVER stands alone."""

    NEVER = "NEVER"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    DELAY = "DELAY"


class Ret(StrEnum):
    """RET= of RFC 3461 §4.3: what of the message a failure report returns."""

    FULL = "FULL"
    HEADERS = "HDRS"


class Recipient(msgspec.Struct, frozen=True):
    """One RCPT TO. ``notify`` is None when the client sent none; ``orcpt`` is "type;xtext" exactly as sent."""

    address: Address
    notify: frozenset[Notify] | None = None
    orcpt: str | None = None


class Envelope(msgspec.Struct, frozen=True):
    """One transaction. ``size`` is the announced SIZE; ``envid`` and ``auth`` are xtext exactly as sent.
    ``require_tls``: REQUIRETLS was given (RFC 8689 §2)."""

    sender: Sender
    recipients: tuple[Recipient, ...] = ()
    size: int | None = None
    body: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None
    auth: str | None = None
    require_tls: bool = False


class Listener(StrEnum):
    """What a listening socket is for. It decides what is asked of the peer, not the port number. VIEWER is no socket:
    what a reader writes comes in there. MLLP takes HL7 messages of systems."""

    RELAY = "relay"
    SUBMISSION = "submission"
    VIEWER = "viewer"
    MLLP = "mllp"


class TlsFacts(msgspec.Struct, frozen=True):
    """What a handshake proved: ``version`` ("TLSv1.3"), ``cipher`` and the peer's certificate.

    ``spki_sha256`` is the lower-case hex digest of the peer's SubjectPublicKeyInfo, None without a certificate.
    ``names`` are its DNS names in lower case, filled only when ``verified`` (the chain led to a CA we trust).
    ``proof`` is what a next hop proved itself by: "dane 3 1 1", "mta-sts", "ca", "pin", "" for nothing.
    """

    version: str
    cipher: str
    spki_sha256: str | None = None
    names: tuple[str, ...] = ()
    verified: bool = False
    proof: str = ""


class Peer(msgspec.Struct, frozen=True):
    """Who is at the other end of a session. ``account`` is the authenticated login name (an address key)."""

    address: IPv4Address | IPv6Address
    port: int
    listener: Listener
    helo: str = ""
    esmtp: bool = True
    tls: TlsFacts | None = None
    account: str | None = None
    account_mechanism: str = ""
    proxied_by: IPv4Address | IPv6Address | None = None
