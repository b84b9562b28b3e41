"""One mail transaction of a session: from MAIL to its commit or its end."""

from __future__ import annotations

from msgspec.structs import replace

from relayd.mail.envelope import Envelope, Recipient
from relayd.mail.reply import Reply
from relayd.settings.models import SmtpLimits
from relayd.smtp.data import ChunkReader, Content
from relayd.smtp.door import Receiving, Transaction


class Incoming:
    """Keeps the promise of the door's contract: exactly one of ``commit`` and ``abandon`` reaches the transaction."""

    __slots__ = ("_receiving", "_transaction", "_under_way", "chunks", "envelope", "recipients")

    def __init__(self, transaction: Transaction, envelope: Envelope) -> None:
        self._transaction = transaction
        self._receiving: Receiving | None = None
        self._under_way = True
        self.envelope = envelope
        self.recipients: list[Recipient] = []
        self.chunks: ChunkReader | None = None

    async def add(self, recipient: Recipient) -> None:
        await self._transaction.recipient(recipient)
        self.recipients.append(recipient)

    def receive(self, limits: SmtpLimits) -> Content:
        """DATA or the first BDAT has come."""
        self.envelope = replace(self.envelope, recipients=tuple(self.recipients))
        self._receiving = self._transaction.receive(self.envelope)
        return Content(self._receiving, limits)

    async def commit(self, content: Content) -> Reply:
        """The door's answer to the whole message."""
        self._under_way = False
        return await self._transaction.commit(content.receiving)

    def abandon(self) -> None:
        """Forget the transaction, unless it has been committed or abandoned before."""
        if not self._under_way:
            return
        self._under_way = False
        try:
            if self._receiving is not None:
                self._receiving.discard()
        finally:
            self._transaction.abandon()
