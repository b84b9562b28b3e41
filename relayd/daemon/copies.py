"""The header of each copy as it leaves: what policies changed, what a mail client left out, signature and trace."""

from __future__ import annotations

from collections.abc import Sequence

from relayd.authenticity.authentication_results import authenticated_field, field, forged
from relayd.authenticity.dkim_sign import BodyHash, Signer, sign_all
from relayd.authenticity.results import Authentication
from relayd.daemon.arriving import Arriving
from relayd.daemon.in_force import InForce
from relayd.directory.directory import Via
from relayd.mail.envelope import Listener
from relayd.mail.headers import Headers, split_fields
from relayd.mail.meta import HeaderPatch
from relayd.mail.patch import apply
from relayd.mail.received import Hop, date_line, message_id_line, received_line, written_line
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
    ours = mail.peer.listener is Listener.VIEWER
    signature = _signature(in_force, headers, organisation, patch, arriving, now, ours=ours)
    if ours:
        return HeaderPatch(drop, written_line(hostname, mail.id, now) + signature + put)
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
    in_force: InForce,
    headers: Headers,
    organisation: str,
    patch: HeaderPatch,
    arriving: Arriving,
    now: float,
    *,
    ours: bool,
) -> bytes:
    """The signatures of the From domain over the header as the copy will have it; empty where we hold no key, and for
    whoever didn't prove that the domain is his to use. The Viewer's own domain is that of mail of ``ours``."""
    authors = headers.addresses("from")
    directory = in_force.directory
    sender = directory.organisations.get(organisation)
    if not authors:
        return b""
    for author in authors:
        proper = sender is not None and sender.may_send_from(author.domain)
        if not proper and not (ours and directory.is_the_viewers(author.domain)):
            return b""
    signers = in_force.signers.get(authors[0].domain, ())
    if not signers or arriving.body_hash is None:
        return b""
    return _signed(in_force, signers, apply(patch, headers.head), arriving.body_hash, now)


def _signed(in_force: InForce, signers: Sequence[Signer], head: bytes, body_hash: BodyHash, now: float) -> bytes:
    """NTA 7516's header is signed whether the copy has it or not: nobody can add it on the way."""
    header, _ = in_force.directory.nta_provider.header
    return sign_all(signers, head, body_hash.digest(), now, (header.lower(),) if header else ())


def amended_patch(
    in_force: InForce, headers: Headers, old: HeaderPatch, change: HeaderPatch, body_hash: BodyHash, now: float
) -> HeaderPatch:
    """The patch of a copy that was finished at the accept and is changed now that its way is known. What is the same in
    both isn't put twice, and where it was signed it is signed anew."""
    fields = split_fields(old.put)
    signatures = [one for one in fields if _is_signature(one)]
    others = [one for one in fields if not _is_signature(one)]
    fresh = b"".join(one for one in split_fields(change.put) if one not in others)
    # In front of the signature stands what isn't signed: the trace, and whatever was put on top of it.
    front = fields.index(signatures[0]) if signatures else _behind_trace(others)
    drop = tuple(sorted({*old.drop, *change.drop}))
    put = fresh + b"".join(others[front:])
    authors = headers.addresses("from")
    signers = in_force.signers.get(authors[0].domain, ()) if signatures and authors else ()
    signed = _signed(in_force, signers, apply(HeaderPatch(drop, put), headers.head), body_hash, now) if signers else b""
    return HeaderPatch(drop, b"".join(others[:front]) + signed + put)


def _behind_trace(fields: Sequence[bytes]) -> int:
    """How many of ``fields`` are our trace: up to our own Received, which always stands there."""
    return next((number for number, one in enumerate(fields, 1) if _name(one) == b"received"), 0)


def _is_signature(raw: bytes) -> bool:
    return _name(raw) == b"dkim-signature"


def _name(raw: bytes) -> bytes:
    return raw.partition(b":")[0].strip().lower()
