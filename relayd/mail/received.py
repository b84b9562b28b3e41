"""Trace fields (RFC 5321 §4.4) and the dates in them (RFC 5322 §3.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

from relayd.errors import SyntaxInvalid
from relayd.mail.address import Address, normalise_domain
from relayd.mail.envelope import Listener, Peer
from relayd.mail.headers import Headers

_CIPHER = re.compile(r"[A-Za-z0-9._-]+")


def format_date(now: float) -> str:
    """A date-time of RFC 5322 §3.3, in UTC with the numeric zone that RFC 5321 §4.4 asks for."""
    return _format_second(int(now))


@lru_cache(4)
def _format_second(now: int) -> str:
    return format_datetime(datetime.fromtimestamp(now, UTC))


def protocol_word(*, esmtp: bool, tls: bool, authenticated: bool, smtputf8: bool) -> str:
    """The WITH keyword: RFC 3848, and RFC 6531 §4.3 for SMTPUTF8."""
    if not esmtp:
        return "SMTP"
    return ("UTF8SMTP" if smtputf8 else "ESMTP") + ("S" if tls else "") + ("A" if authenticated else "")


@dataclass(frozen=True, slots=True)
class Hop:
    """One receipt: from whom, ``by`` which of our names, under which message ``id``, when.

    ``recipient`` goes into FOR: only where there is exactly one (RFC 5321 §7.6 warns of revealing blind copies).
    """

    peer: Peer
    by: str
    id: str
    at: float
    smtputf8: bool = False
    recipient: Address | None = None


def received_line(hop: Hop) -> bytes:
    """Our own Received field, folded, with its line end."""
    peer = hop.peer
    protocol = protocol_word(
        esmtp=peer.esmtp, tls=peer.tls is not None, authenticated=peer.account is not None, smtputf8=hop.smtputf8
    )
    how = "(MLLP)" if peer.listener is Listener.MLLP else f"with {protocol}"
    literal = f"[IPv6:{peer.address}]" if peer.address.version == 6 else f"[{peer.address}]"
    lines = [
        f"Received: from {_helo(peer.helo) or literal} ({literal})",
        f"by {hop.by} {how} id {hop.id}{_tls_comment(peer)}",
    ]
    if hop.recipient is not None and (hop.smtputf8 or str(hop.recipient).isascii()):
        lines.append(f"for <{hop.recipient}>")
    return ("\r\n\t".join(lines) + f";\r\n\t{format_date(hop.at)}\r\n").encode()


def written_line(by: str, id: str, at: float) -> bytes:
    """The Received field of what a reader wrote in the Viewer. It doesn't say from where."""
    return f"Received: by {by} (Viewer) id {id};\r\n\t{format_date(at)}\r\n".encode()


def date_line(now: float) -> bytes:
    """The Date that a submitted message lacked (RFC 6409 §8.1)."""
    return f"Date: {format_date(now)}\r\n".encode()


def message_id_line(id: str, hostname: str) -> bytes:
    """The Message-ID that a submitted message lacked (RFC 6409 §8.3)."""
    return f"Message-ID: <{id}@{hostname}>\r\n".encode()


def count_received(headers: Headers) -> int:
    """How many hosts a message has passed (RFC 5321 §6.3)."""
    return len(headers.all("received"))


def _helo(helo: str) -> str:
    """What the peer called itself, "" unless that is a domain or literal: it may hold anything."""
    try:
        return normalise_domain(helo)
    except SyntaxInvalid:
        return ""


def _tls_comment(peer: Peer) -> str:
    if peer.tls is None or not (_CIPHER.fullmatch(peer.tls.version) and _CIPHER.fullmatch(peer.tls.cipher)):
        return ""
    return f"\r\n\t({peer.tls.version} {peer.tls.cipher})"
