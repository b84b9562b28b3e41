"""The door on the inside: what a reader writes in the Viewer goes through the same pipeline as mail that comes by
SMTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final

from msgspec.structs import replace

from relayd.authenticity.observation import DmarcResults, NoDmarcResults
from relayd.clock import Clock
from relayd.daemon.in_force import InForce
from relayd.daemon.intake import IntakeTransaction
from relayd.directory.directory import Origin, Via
from relayd.errors import SmtpError
from relayd.mail.address import Address
from relayd.mail.body import Body
from relayd.mail.envelope import BodyType, Envelope, Listener, Notify, Peer, Recipient
from relayd.mail.meta import MessageMeta
from relayd.pipeline.policy import Context, Mail
from relayd.pipeline.runner import answer
from relayd.store.blobs import Blobs
from relayd.store.ids import new_id
from relayd.store.interface import Store
from relayd.store.records import Claimed
from relayd.vault.vault import Vault

#: No machine of anybody's: where a reader sits is nobody's business.
_READER: Final = Peer(ip_address("0.0.0.0"), 0, Listener.VIEWER)  # noqa: S104 (an address that is nobody's)


class NoLanes:
    """This process delivers nothing: workers find what it accepts."""

    has_room = False

    def offer(self, claimed: Claimed, body: Body, meta: MessageMeta) -> None:
        raise AssertionError("nothing is owned by a process that delivers nothing")


@dataclass(frozen=True, slots=True)
class Inside:
    """Implements ``viewer_web.services.Outgoing``. ``state`` gives what is in force, ``context`` what policies may
    use."""

    state: Callable[[], InForce]
    context: Callable[[InForce], Context]
    store: Store
    vault: Vault
    blobs: Blobs
    clock: Clock
    dmarc: DmarcResults = field(default_factory=NoDmarcResults)
    lanes: NoLanes = field(default_factory=NoLanes)
    owner: str = ""

    @property
    def in_force(self) -> InForce:
        return self.state()

    async def submit(
        self,
        *,
        organisation: str,
        sender: Address,
        recipient: Address,
        content: AsyncIterator[bytes],
        parent: str,
        operations: Sequence[tuple[str, dict[str, Any]]] = (),
    ) -> str:
        """See ``Outgoing``."""
        in_force = self.in_force
        context = self.context(in_force)
        to = Recipient(recipient, notify=frozenset({Notify.FAILURE}))
        envelope = Envelope(sender=sender, body=BodyType.EIGHT_BIT_MIME, smtputf8=not str(recipient).isascii())
        mail = Mail(
            id=new_id(self.clock), peer=_READER, origin=Origin(Via.INTERNAL, (organisation,)), envelope=envelope
        )
        judged = await in_force.pipeline.judge_sender(mail, context)
        if reply := answer(judged):
            raise SmtpError(reply, "pipeline")
        transaction = IntakeTransaction(self, in_force, mail, judged, context, operations, parent)
        await transaction.recipient(to)
        receiving = transaction.receive(replace(envelope, recipients=(to,)))
        try:
            async for block in content:
                receiving.write(block)
        except BaseException:
            receiving.discard()
            raise
        reply = await transaction.commit(receiving)
        if not reply.positive:
            raise SmtpError(reply, "pipeline")
        return mail.id
