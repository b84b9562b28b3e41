"""The header of each copy as it leaves: what policies changed, what a mail client left out, signature and trace."""

from __future__ import annotations

from relayd.authenticity.authentication_results import authenticated_field, field, forged
from relayd.authenticity.dkim_sign import sign_all
from relayd.authenticity.results import Authentication
from relayd.daemon.arriving import Arriving
from relayd.daemon.in_force import InForce
from relayd.directory.directory import Via
from relayd.mail.envelope import Listener
from relayd.mail.headers import Headers
from relayd.mail.meta import HeaderPatch
from relayd.mail.patch import apply
from relayd.mail.received import Hop, date_line, message_id_line, received_line
from relayd.pipeline.plan import CopyPlan
from relayd.pipeline.policy import Mail


def finished_patch(
    in_force: InForce,
    mail: Mail,
    organisation: str,
    arriving: Arriving,
    copy: CopyPlan,
    now: float,
    authentication: Authentication | None,
) -> HeaderPatch:
    """The policies' patch for ``copy`` with everything of ours in front. ``mail`` is complete; ``organisation`` is who
    its sender proved to be, "" for a stranger. ``authentication`` is what is known of a stranger's message."""
    headers, hostname = mail.headers, in_force.configuration.hostname
    assert headers is not None
    put = copy.patch.put
    if mail.peer.listener is Listener.SUBMISSION:  # RFC 6409 §8.1, §8.3: what a mail client may leave out.
        if not headers.all("message-id"):
            put = message_id_line(mail.id, hostname) + put
        if not headers.all("date"):
            put = date_line(now) + put
    # Nobody else says what we found out (RFC 8601 §5), in whatever mail it stands.
    drop = tuple(dict.fromkeys((*copy.patch.drop, *forged(headers, hostname))))
    patch = HeaderPatch(drop, put)
    signature = _signature(in_force, headers, organisation, patch, arriving, now)
    hop = Hop(
        peer=mail.peer,
        by=hostname,
        id=mail.id,
        at=now,
        smtputf8=mail.envelope.smtputf8,
        recipient=copy.deliveries[0].recipient.address if len(copy.deliveries) == 1 else None,
    )
    results = _authentication_results(hostname, mail, authentication)
    return HeaderPatch(drop, results + received_line(hop) + signature + put)


def _authentication_results(hostname: str, mail: Mail, authentication: Authentication | None) -> bytes:
    """What is said of who wrote it, on top of everything; nothing for peers who are recognised without a login."""
    if authentication is not None:
        return field(hostname, authentication)
    return authenticated_field(hostname, str(mail.envelope.sender)) if mail.origin.via is Via.ACCOUNT else b""


def _signature(
    in_force: InForce, headers: Headers, organisation: str, patch: HeaderPatch, arriving: Arriving, now: float
) -> bytes:
    """The signatures of the From domain over the header as the copy will have it; empty where we hold no key, and for
    whoever didn't prove that the domain is his to use."""
    authors = headers.addresses("from")
    sender = in_force.directory.organisations.get(organisation)
    if not authors or sender is None or not all(sender.may_send_from(author.domain) for author in authors):
        return b""
    signers = in_force.signers.get(authors[0].domain, ())
    if not signers or arriving.body_hash is None:
        return b""
    # Signed whether the copy has it or not: nobody can add it on the way.
    header, _ = in_force.directory.nta_provider.header
    also = (header.lower(),) if header else ()
    return sign_all(signers, apply(patch, headers.head), arriving.body_hash.digest(), now, also)
