"""What REQUIRETLS and ``TLS-Required: No`` ask of a delivery (RFC 8689)."""

from __future__ import annotations

from relayd.delivery.client import NO_TLS, Client, HopUnavailable
from relayd.queue.outcome import Job
from relayd.store.records import Message
from relayd.tls.demand import Security, Wishes


def wishes_of(job: Job) -> Wishes:
    """What the sender asks of the way. REQUIRETLS outweighs ``TLS-Required: No`` (RFC 8689 §3)."""
    return Wishes(_insists(job.message), job.meta.tls_optional and not job.message.require_tls)


def demand(client: Client, message: Message) -> None:
    """Raise HopUnavailable where this message may not go to this peer: with REQUIRETLS it goes only to a proven one
    that offers it, and else to the next host (RFC 8689 §4.2.1). Behind LMTP nothing is relayed."""
    hop = client.hop
    if hop.lmtp or not _insists(message):
        return
    if client.tls is None or hop.demand.security not in (Security.DANE, Security.VERIFIED):
        raise HopUnavailable("5.7.10", f"{hop.host}: REQUIRETLS was given, and it isn't proven", client.remote)
    if not offers(client):
        raise HopUnavailable("5.7.30", f"{hop.host}: REQUIRETLS was given, and it doesn't support that", client.remote)


def offers(client: Client) -> bool:
    """Whether the peer takes REQUIRETLS: what it said before TLS doesn't count."""
    return client.tls is not None and "requiretls" in client.esmtp_extensions


def for_good(error: HopUnavailable) -> HopUnavailable:
    """RFC 8689 §4.2.1, §4.2.2: with REQUIRETLS, a host without TLS is none."""
    return HopUnavailable("5.7.10", error.reply, error.remote, error.failure) if error.status == NO_TLS else error


def _insists(message: Message) -> bool:
    """A report isn't lost for want of REQUIRETLS (RFC 8689 §5)."""
    return message.require_tls and bool(message.sender)
