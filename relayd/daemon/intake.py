"""The door's decisions: from MAIL to the commit behind 250. Implements ``relayd.smtp.door``.

One Intake per session: it holds the pipeline and directory that were in force when the session began.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog

from relayd import failpoints
from relayd.authenticity.dkim_sign import BodyHash
from relayd.daemon.policies_in_force import InForce
from relayd.daemon.services import Services
from relayd.directory.directory import Origin, Via
from relayd.errors import SmtpError, StoreUnavailable, VaultError
from relayd.mail.address import NullSender
from relayd.mail.envelope import Envelope, Listener, Peer, Recipient
from relayd.mail.headers import Headers
from relayd.mail.meta import HeaderPatch, MessageMeta, Part
from relayd.mail.mime import MimeScanner
from relayd.mail.patch import apply
from relayd.mail.received import Hop, count_received, date_line, message_id_line, received_line
from relayd.mail.reply import Reply
from relayd.pipeline.plan import CopyPlan, Plan
from relayd.pipeline.policy import Context, Mail
from relayd.smtp.door import Credentials, Receiving
from relayd.store.blobs import BlobReceiving, StoredBody
from relayd.store.ids import new_id
from relayd.store.records import Claimed, Delivery, Event, Message, NewDelivery, NewMessage, State
from relayd.vault.epochs import epoch_of
from relayd.vault.vault import MessageKey

log = structlog.get_logger("relayd.intake")

TOO_MANY = Reply(421, "4.7.0", "Too many connections; try again later")
UNAVAILABLE = Reply(451, "4.3.0", "Storage is unavailable for the moment; nothing is lost, try again later")
LOOP = Reply(554, "5.4.6", "This message has passed too many servers; it is going round in circles")


class Intake:
    """The door of one session."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.in_force = services.in_force
        self._held: list[str] = []

    @property
    def credentials(self) -> Credentials:
        return self.services.credentials

    async def connect(self, peer: Peer) -> Reply | None:
        limits = self.in_force.configuration.limits
        wanted = (("connections", limits.connections), (f"peer {peer.address}", limits.connections_per_peer))
        try:
            for key, limit in wanted:
                if not await self.services.store.hold(key, limit):
                    await self.disconnect(peer)
                    return TOO_MANY
                self._held.append(key)
        except StoreUnavailable:
            return replace(UNAVAILABLE, code=421)
        return None

    async def disconnect(self, peer: Peer) -> None:
        while self._held:
            key = self._held.pop()
            try:
                await self.services.store.release(key)
            except StoreUnavailable:
                pass  # The store process counts holds by our socket; when that is gone so is the count.

    async def mail(self, peer: Peer, envelope: Envelope) -> IntakeTransaction:
        origin = self.in_force.directory.recognise(peer)
        mail = Mail(id=new_id(self.services.clock), peer=peer, origin=origin, envelope=envelope)
        verdict = await self.in_force.pipeline.judge_sender(mail, self.services.context(self.in_force))
        if verdict is not None:
            raise SmtpError(verdict, "pipeline")
        return IntakeTransaction(self.services, self.in_force, mail)


@dataclass(frozen=True, slots=True)
class Arriving:
    """Where a body's blocks go: sealed store, MIME scanner and DKIM body hash, each block seen once."""

    key: MessageKey
    organisation: str
    epoch: str
    blob: BlobReceiving
    scanner: MimeScanner
    body_hash: BodyHash | None

    def write(self, block: bytes) -> None:
        self.blob.write(block)
        self.scanner.feed(block)

    def discard(self) -> None:
        self.blob.discard()


class IntakeTransaction:
    """One message on its way in."""

    def __init__(self, services: Services, in_force: InForce, mail: Mail) -> None:
        self.services = services
        self.in_force = in_force
        self.mail = mail
        self.context: Context = services.context(in_force)

    async def recipient(self, recipient: Recipient) -> None:
        asked = replace(self.mail, recipients=(recipient,))
        verdict = await self.in_force.pipeline.judge_recipient(asked, self.context)
        if verdict is not None:
            raise SmtpError(verdict, "pipeline")

    def receive(self, envelope: Envelope) -> Receiving:
        self.mail = replace(self.mail, envelope=envelope, recipients=envelope.recipients)
        organisation = self._owner(envelope)
        epoch = epoch_of(self.services.clock.now())
        try:
            key = self.services.vault.new(organisation, epoch, self.mail.id)
        except (VaultError, OSError) as error:
            raise SmtpError(UNAVAILABLE, "vault") from error
        return Arriving(key, organisation, epoch, self.services.blobs.receive(key), MimeScanner(), None)

    def _owner(self, envelope: Envelope) -> str:
        """The organisation whose key protects the message: the sender's, else the first recipient's."""
        directory, sender = self.in_force.directory, envelope.sender
        candidates = self.mail.origin.candidates
        if len(candidates) > 1 and not isinstance(sender, NullSender):
            # Behind a shared platform: the one whose domain it is. The sender policy demands the proof after DATA.
            candidates = tuple(c for c in candidates if directory.organisations[c].may_send_from(sender.domain)) or candidates
        if candidates:
            return candidates[0]
        for recipient in envelope.recipients:
            if served := directory.served(recipient.address.domain):
                return served.id
        return ""
