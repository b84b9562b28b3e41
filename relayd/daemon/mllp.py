"""What comes by MLLP, on its way to a mail: implements ``relayd.mllp.door``.

The message travels as the attachment of a mail from its sender's organisation to the EDI gateway's address, so that
addressing, policies, store and journal are those of all mail.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final
from zoneinfo import ZoneInfo

import structlog

from relayd.daemon.intake import Intake, IntakeTransaction
from relayd.daemon.services import Services
from relayd.delivery.installation import InstallationSecrets
from relayd.directory.directory import EDI_GATEWAY, Organisation, Via
from relayd.errors import Conflict, SmtpError
from relayd.mail.address import Address, parse_address
from relayd.mail.composing import POLICY, Base64Lines
from relayd.mail.envelope import Envelope, Notify, Peer, Recipient
from relayd.mail.reply import Reply
from relayd.mllp.door import Named
from relayd.smtp.door import Receiving

#: As FHIR and mail programs name it; none is registered.
MEDIA_TYPE: Final = "application/hl7-v2+er7"
NOT_KNOWN: Final = Reply(530, "5.7.0", "Show the client certificate of an organisation that is connected here")
NO_SENDER: Final = Reply(550, "5.7.1", "Your organisation has no address for what it sends by MLLP (edi_sender)")
NO_GATEWAY: Final = Reply(550, "5.3.5", "No EDI gateway is configured (edi.gateway in relayd.yaml)")
TAKEN_BEFORE: Final = Reply(250, "2.0.0", "Taken before")

log = structlog.get_logger("relayd.mllp")


class MllpIntake(Intake):
    """The door of one connection."""

    def __init__(self, services: Services, secrets: InstallationSecrets) -> None:
        super().__init__(services)
        self._secrets = secrets

    def now(self) -> datetime:
        """See ``Door``."""
        return datetime.fromtimestamp(self.services.clock.now(), ZoneInfo("UTC"))

    async def begin(self, peer: Peer, named: Named) -> MllpExchange:
        """See ``Door``."""
        directory = self.in_force.directory
        origin = directory.recognise(peer)
        organisation = directory.organisations.get(origin.organisation or "")
        if origin.via is not Via.CERTIFICATE or organisation is None:
            raise SmtpError(NOT_KNOWN, "mllp")
        if not organisation.settings.edi_sender:
            raise SmtpError(NO_SENDER, "mllp")
        if directory.edi_gateway is None:
            raise SmtpError(NO_GATEWAY, "mllp")
        sender = parse_address(organisation.settings.edi_sender)
        gateway = Address(EDI_GATEWAY, directory.edi_gateway)
        key = await self._secrets.key("mllp")
        to = Recipient(gateway, notify=frozenset({Notify.FAILURE}))
        envelope = Envelope(sender=sender)
        transaction = await self.mail(peer, envelope)
        await transaction.recipient(to)
        receiving = transaction.receive(Envelope(sender=sender, recipients=(to,)))
        try:
            receiving.write(self._head(organisation, sender, gateway, named, transaction.mail.id))
        except BaseException:
            receiving.discard()
            raise
        whose = "\0".join((organisation.id, named.application, named.facility, named.control_id))
        return MllpExchange(self.services, transaction, receiving, hmac.digest(key, whose.encode(), "sha256"), key)

    def _head(self, organisation: Organisation, sender: Address, gateway: Address, named: Named, id_: str) -> bytes:
        mail = EmailMessage(policy=POLICY)
        mail["From"] = HeaderAddress(organisation.name, username=sender.local, domain=sender.domain)
        mail["To"] = HeaderAddress(username=gateway.local, domain=gateway.domain)
        mail["Subject"] = " ".join(f"HL7 {named.type} {named.control_id}".split())[:200]
        mail["Date"] = format_datetime(self.now())
        mail["Message-ID"] = f"<{id_}@{self.in_force.configuration.hostname}>"
        mail["MIME-Version"] = "1.0"
        mail["Content-Type"] = f'{MEDIA_TYPE}; charset="{named.charset}"' if named.charset else MEDIA_TYPE
        mail["Content-Transfer-Encoding"] = "base64"
        mail.add_header("Content-Disposition", "attachment", filename=f"{id_}.hl7")
        return mail.as_bytes().rstrip(b"\r\n") + b"\r\n\r\n"


class MllpExchange:
    """One message between its first octet and its acknowledgement."""

    def __init__(
        self,
        services: Services,
        transaction: IntakeTransaction,
        receiving: Receiving,
        name: bytes,
        key: bytes,
    ) -> None:
        self._services = services
        self._transaction = transaction
        self._receiving = receiving
        self._name = name
        self._content = hmac.new(key, digestmod=hashlib.sha256)
        self._lines = Base64Lines()

    def write(self, block: bytes) -> None:
        self._content.update(block)
        if lines := self._lines.feed(block):
            self._receiving.write(lines)

    async def commit(self) -> Reply:
        content = self._content.digest()
        taken = {"name": self._name, "content": content}
        if await self._services.store.call("mllp_taken", **taken) is not None:
            self._receiving.discard()
            return TAKEN_BEFORE
        self._transaction.operations = [("mllp_take", {**taken, "message_id": self._transaction.mail.id})]
        try:
            return await self._accept()
        except Conflict:
            return TAKEN_BEFORE  # by another connection, at the same moment

    async def _accept(self) -> Reply:
        if lines := self._lines.finish():
            self._receiving.write(lines)
        return await self._transaction.commit(self._receiving)

    def discard(self) -> None:
        self._receiving.discard()
