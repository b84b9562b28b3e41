"""The door's decisions: from MAIL to the commit behind 250. Implements ``relayd.smtp.door``.

One Intake per session: it holds the pipeline and directory that were in force when the session began.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import structlog
from msgspec.structs import replace

from relayd import failpoints
from relayd.authenticity.authentication_results import summary
from relayd.authenticity.observation import DmarcResults
from relayd.authenticity.results import Authentication
from relayd.clock import Clock
from relayd.daemon.arriving import Arriving
from relayd.daemon.copies import finished_patch
from relayd.daemon.dmarc import note_dmarc
from relayd.daemon.in_force import InForce
from relayd.daemon.services import Services
from relayd.errors import BodyNotStored, SmtpError, StoreAway, StoreFull, StoreUnavailable, VaultError
from relayd.journal.event import Event
from relayd.journal.kinds import RECEIVED
from relayd.mail.address import NullSender
from relayd.mail.body import Body
from relayd.mail.envelope import Envelope, Notify, Peer, Recipient
from relayd.mail.headers import Headers
from relayd.mail.meta import MessageMeta
from relayd.mail.received import count_received
from relayd.mail.reply import Reply
from relayd.mail.tls_required import says_tls_optional
from relayd.mail.wishes import is_automatic, wants_receipt
from relayd.pipeline.plan import CopyPlan, Plan
from relayd.pipeline.policy import Context, Mail
from relayd.pipeline.runner import Judged, answer
from relayd.pipeline.verdict import Defer, Refuse
from relayd.smtp.door import Credentials, Receiving
from relayd.store.blobs import Blobs, StoredBody
from relayd.store.ids import new_id
from relayd.store.interface import Store
from relayd.store.records import Claimed, Delivery, NewDelivery, NewMessage, State
from relayd.telemetry.metrics import ACCEPTED, REFUSED
from relayd.vault.epochs import epoch_of
from relayd.vault.meta import seal_meta
from relayd.vault.vault import Vault

log = structlog.get_logger("relayd.intake")

TOO_MANY = Reply(421, "4.7.0", "Too many connections; try again later")
UNAVAILABLE = Reply(451, "4.3.0", "Storage is unavailable for the moment; nothing is lost, try again later")
FULL = Reply(452, "4.3.1", "The disk is nearly full; nothing is lost, try again later")
#: Seconds between two questions to a store process that is being restarted.
_ASK_AGAIN = 0.2
LOOP = Reply(554, "5.4.6", "This message has passed too many servers; it is going round in circles")


class Intake:
    """The door of one session."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.in_force = services.in_force
        self._counted = False

    @property
    def credentials(self) -> Credentials:
        return self.services.credentials

    def connect(self, peer: Peer) -> Reply | None:
        limits = self.in_force.configuration.limits
        self._counted = self.services.seat.enter(
            peer.address, most=limits.connections, most_per_peer=limits.connections_per_peer
        )
        return None if self._counted else TOO_MANY

    def disconnect(self, peer: Peer) -> None:
        if self._counted:
            self._counted = False
            self.services.seat.leave(peer.address)

    async def mail(self, peer: Peer, envelope: Envelope) -> IntakeTransaction:
        origin = self.in_force.directory.recognise(peer)
        mail = Mail(id=new_id(self.services.clock, self.services.random), peer=peer, origin=origin, envelope=envelope)
        context = self.services.context(self.in_force)
        judged = await self.in_force.pipeline.judge_sender(mail, context)
        if reply := answer(judged):
            _log_refusal(mail, judged, reply)
            raise SmtpError(reply, "pipeline")
        return IntakeTransaction(self.services, self.in_force, mail, judged, context)


class Accepting(Protocol):
    """What a transaction needs of the process that it runs in."""

    @property
    def in_force(self) -> InForce: ...

    @property
    def owner(self) -> str: ...

    @property
    def store(self) -> Store: ...

    @property
    def vault(self) -> Vault: ...

    @property
    def blobs(self) -> Blobs: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def dmarc(self) -> DmarcResults: ...

    @property
    def lanes(self) -> Taking: ...


class Taking(Protocol):
    """Where deliveries go that this process has owned from the accept on."""

    @property
    def has_room(self) -> bool: ...

    def offer(self, claimed: Claimed, body: Body, meta: MessageMeta) -> None: ...


class IntakeTransaction:
    """One message on its way in. ``operations`` are carried out in the transaction that accepts it; ``parent`` is the
    message that it answers or passes on."""

    def __init__(
        self,
        services: Accepting,
        in_force: InForce,
        mail: Mail,
        judged: list[Judged],
        context: Context,
        operations: Sequence[tuple[str, dict[str, Any]]] = (),
        parent: str | None = None,
    ) -> None:
        self.services = services
        self.in_force = in_force
        self.mail = mail
        self.judged = judged
        self.context = context
        self.operations = operations
        self.parent = parent

    async def recipient(self, recipient: Recipient) -> None:
        asked = replace(self.mail, recipients=(recipient,))
        judged = await self.in_force.pipeline.judge_recipient(asked, self.context)
        if reply := answer(judged):
            _log_refusal(self.mail, judged, reply)
            raise SmtpError(reply, "pipeline")
        self.judged += judged

    def receive(self, envelope: Envelope) -> Receiving:
        self.mail = replace(self.mail, envelope=envelope, recipients=envelope.recipients)
        organisation = self._owner(envelope)
        epoch = epoch_of(self.services.clock.now())
        try:
            key = self.services.vault.new(organisation, epoch, self.mail.id)
            blob = self.services.blobs.receive(key)
        except (VaultError, OSError) as error:
            raise SmtpError(UNAVAILABLE, "vault") from error
        sender = envelope.sender
        sign = not isinstance(sender, NullSender) and self.mail.origin.recognised and bool(self.in_force.signers)
        return Arriving(key, organisation, epoch, blob, sign=sign)

    def abandon(self) -> None:
        """Nothing to undo: what was received is discarded by the session, nothing was committed."""

    async def commit(self, receiving: Receiving) -> Reply:
        assert isinstance(receiving, Arriving)
        try:
            return await self._commit(receiving)
        except StoreFull as error:
            raise SmtpError(FULL, "store") from error
        except StoreUnavailable as error:
            raise SmtpError(UNAVAILABLE, "store") from error
        finally:
            receiving.discard()  # Without effect once the body has been made durable.

    async def _commit(self, arriving: Arriving) -> Reply:
        parts = arriving.scanner.finish()
        stored = arriving.blob.finish()
        headers = Headers(stored.head)
        if count_received(headers) > self.in_force.configuration.limits.received:
            return LOOP
        mail = replace(self.mail, headers=headers, body=stored, parts=parts)
        plan = await self.in_force.pipeline.judge_message(mail, self.context, earlier=self.judged)
        if plan.reply is not None:
            _log_refusal(mail, plan.judged, plan.reply)
            note_dmarc(self.services.dmarc, mail, self.context.authenticator.known, plan)
            return plan.reply
        stranger = not mail.origin.recognised or plan.organisation == ""
        authentication = await self.context.authenticator.authenticate(mail) if stranger else None
        message, meta = await self._durable(mail, arriving, stored, plan, authentication)
        await self._accept(message)
        note_dmarc(self.services.dmarc, mail, authentication, plan)
        ACCEPTED.add(mail.peer.listener.value)
        failpoints.reach("before-reply")
        log.info(
            "accepted",
            id=mail.id,
            size=stored.size,
            deliveries=len(message.deliveries),
            organisation=message.organisation,
        )
        if any(one.owner for one in message.deliveries):
            self.services.lanes.offer(_claimed(message), stored, meta)
        return Reply(250, "2.0.0", f"Accepted as {mail.id}")

    async def _durable(
        self,
        mail: Mail,
        arriving: Arriving,
        stored: StoredBody,
        plan: Plan,
        authentication: Authentication | None,
    ) -> tuple[NewMessage, MessageMeta]:
        """The message as it will be committed, its body where it stays."""
        now = self.services.clock.now()
        patches = tuple(
            finished_patch(self.in_force, mail, plan.organisation or "", arriving, copy, now, authentication)
            for copy in plan.copies
        )
        headers = mail.headers
        assert headers is not None
        meta = MessageMeta(
            head_length=len(stored.head),
            parts=mail.parts,
            copies=patches,
            transformations={
                number: copy.transformation for number, copy in enumerate(plan.copies) if copy.transformation
            },
            readers=dict(plan.readers),
            subject=headers.text("subject"),
            message_id=headers.text("message-id"),
            header_from=headers.text("from"),
            tls_optional=says_tls_optional(headers),
            automatic=is_automatic(headers),
            receipt=wants_receipt(headers, mail.envelope.sender),
        )
        ref = await self.services.blobs.keep(stored)
        envelope, peer = mail.envelope, mail.peer
        owner = self.in_force.directory.organisations.get(arriving.organisation)
        days = owner.settings.retention_days if owner else self.in_force.configuration.retention.days
        message = NewMessage(
            id=mail.id,
            organisation=arriving.organisation,
            epoch=arriving.epoch,
            received_at=now,
            expires_at=now + days * 86400,
            sender=str(envelope.sender),
            size=stored.size,
            origin=peer.listener.value,
            wrapped_key=arriving.key.wrapped,
            body=ref,
            meta=seal_meta(arriving.key, meta),
            smtputf8=envelope.smtputf8,
            body_type=envelope.body.value,
            ret=envelope.ret.value if envelope.ret else None,
            envid=envelope.envid,
            account=peer.account,
            parent=self.parent,
            require_tls=envelope.require_tls,
            deliveries=tuple(self._deliveries(plan, now)),
            events=(_received_event(mail, stored.size, now, authentication), *plan.events),
        )
        return message, meta

    async def _accept(self, message: NewMessage) -> None:
        """Commit. While the store process is being restarted nobody knows whether it did, and asking again is safe;
        after a lease's length what it may have given us is anyone's, and the client may as well try again."""
        clock, blobs = self.services.clock, self.services.blobs
        patience = clock.boot() + self.in_force.configuration.queue.lease.total_seconds()
        while True:
            try:
                await self._commit_rows(message)
                break
            except StoreAway:
                if clock.boot() > patience:
                    raise
                await asyncio.sleep(_ASK_AGAIN)
                # The next store can't know what the last one met when it synced the body.
                await blobs.sync(message.body)
            except BodyNotStored:
                blobs.distrust()
                raise
        if not blobs.trusts(message.body):
            # A sync of our own failed meanwhile, and the store may have opened the file after the kernel had told us.
            raise BodyNotStored("a body could not be stored: its segment was given up while it was accepted")

    async def _commit_rows(self, message: NewMessage) -> None:
        if not self.operations:
            await self.services.store.accept(message)
            return
        await self.services.blobs.sync(message.body)  # accept would have had the store do it
        await self.services.store.commit([message], self.operations)

    def _deliveries(self, plan: Plan, now: float) -> Iterator[NewDelivery]:
        settings = self.in_force.configuration.queue
        first_retry = now + settings.schedule[0].total_seconds()
        owner = self.services.owner if self.services.lanes.has_room else None
        number = 0
        for index, copy in enumerate(plan.copies):
            for planned in copy.deliveries:
                route, recipient = planned.route, planned.recipient
                state = State.HELD if planned.held else State.UNDECIDED if route is None else State.QUEUED
                yield NewDelivery(
                    number=number,
                    recipient=str(recipient.address),
                    domain=recipient.address.domain,
                    state=state,
                    route=route.kind.value if route else "",
                    target=route.target if route else "",
                    message_class=route.message_class.value if route else "confidential",
                    copy=index,
                    notify=",".join(sorted(notify)) if (notify := _notify(recipient, copy)) else None,
                    orcpt=recipient.orcpt,
                    # Written before anything is dialled: should we die now, nobody is hammered after the restart.
                    next_attempt=now if state is State.QUEUED and owner is None else first_retry,
                    owner=owner if state is State.QUEUED else None,
                )
                number += 1

    def _owner(self, envelope: Envelope) -> str:
        """The organisation whose key protects the message: the sender's, else the first recipient's."""
        directory, sender = self.in_force.directory, envelope.sender
        candidates = self.mail.origin.candidates
        if len(candidates) > 1 and not isinstance(sender, NullSender):
            # Behind a shared platform: the one whose domain it is. The sender policy demands the proof after DATA.
            domain = sender.domain
            candidates = tuple(c for c in candidates if directory.organisations[c].may_send_from(domain))
        if candidates:
            return candidates[0]
        for recipient in envelope.recipients:
            if served := directory.served(recipient.address.domain):
                return served.id
        return ""


def _notify(recipient: Recipient, copy: CopyPlan) -> frozenset[Notify] | None:
    """What is reported of a recipient: also of one that a rule promises a receipt for, though nobody asked."""
    promised = copy.transformation is not None and copy.transformation.option("receipt") == "yes"
    return (
        frozenset({Notify.SUCCESS, Notify.FAILURE, Notify.DELAY})
        if promised and not recipient.notify
        else recipient.notify
    )


def _log_refusal(mail: Mail, judged: Iterable[Judged], reply: Reply) -> None:
    """Count it, and say which policy refused and why: of what isn't accepted there is no journal."""
    said = next((one for one in judged if isinstance(one.verdict, Refuse | Defer)), None)
    REFUSED.add(said.policy if said else "", "5yz" if reply.permanent else "4yz")
    log.info(
        "refused",
        id=mail.id,
        peer=str(mail.peer.address),
        via=mail.origin.via.value,
        policy=said.policy if said else "",
        stage=said.stage.value if said else "",
        reason=said.verdict.reason if said else "no policy gives a route",
        reply=reply.code,
        status=reply.enhanced,
    )


def _claimed(message: NewMessage) -> Claimed:
    """What the accept's commit made ours: the same rows as a claim would return, without asking the store."""
    deliveries = tuple(
        Delivery(
            message_id=message.id,
            number=new.number,
            recipient=new.recipient,
            domain=new.domain,
            state=new.state,
            route=new.route,
            target=new.target,
            message_class=new.message_class,
            copy=new.copy,
            notify=new.notify,
            orcpt=new.orcpt,
            next_attempt=new.next_attempt,
            attempts=0,
            owner=new.owner,
            generation=1,
            delayed_notice=False,
            last_reply="",
            updated_at=message.received_at,
        )
        for new in message.deliveries
        if new.owner is not None
    )
    return Claimed(message, deliveries)


def _received_event(mail: Mail, size: int, now: float, authentication: Authentication | None) -> Event:
    """The journal's first record of a message: who brought it, and how."""
    peer = mail.peer
    facts: dict[str, object] = {
        "peer": str(peer.address),
        "helo": peer.helo,
        "listener": peer.listener.value,
        "via": mail.origin.via.value,
        "size": size,
    }
    if peer.tls:
        facts["tls"] = f"{peer.tls.version} {peer.tls.cipher}"
    if peer.account:
        facts["account"] = peer.account
    if authentication is not None:
        facts["authentication"] = summary(authentication)
    if mail.envelope.require_tls:
        facts["require_tls"] = True
    return Event(at=now, kind=RECEIVED, facts=facts)
