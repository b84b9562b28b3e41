"""A relayd that is to be hurt, its partner's server, and what a test of faults asks of both."""

from __future__ import annotations

import itertools
import smtplib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from relayd.store import claims
from relayd.store.database import connect_reader
from relayd.store.verify import database_of
from tests.kit import mail
from tests.kit.daemon import RelayProcess
from tests.kit.failing import Machine
from tests.kit.sink import Sink
from tests.kit.site import Site
from tests.kit.small_disk import SmallDisk
from tests.kit.talk import DOCTOR, say
from tests.kit.wait import wait_for

#: Beyond what a body may have to stay in memory (relayd/store/receiving.py).
LARGE = 400_000
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Sent:
    """What a client saw of one message. ``id`` is relayd's name for it, "" when it wasn't accepted."""

    recipient: str
    content: bytes
    code: int
    text: str

    @property
    def accepted(self) -> bool:
        return self.code == 250

    @property
    def id(self) -> str:
        return self.text.rpartition(" ")[2] if self.accepted else ""

    @property
    def message_id(self) -> str:
        return mail.message_id_of(self.content)

    @property
    def saw(self) -> str:
        """Code and enhanced code, for the matrix."""
        return f"{self.code} {self.text.split(' ')[0]}" if self.code else self.text


@dataclass
class Ward:
    """relayd, its machine and the partner's server."""

    site: Site
    relayd: RelayProcess
    partner: Sink
    machine: Machine | None = field(default=None)

    def send(self, recipient: str = "", *, size: int = 0) -> Sent:
        """One message of the hospital's, of at least ``size`` octets, to an address nobody used before."""
        recipient = recipient or f"na{next(_numbers)}@partner.example"
        text = mail.LAB_RESULT + ("y" * 70 + "\n") * (size // 71)
        return self.offer(recipient, mail.message(DOCTOR, [recipient], text=text))

    def offer(self, recipient: str, content: bytes) -> Sent:
        try:
            with self.relayd.hospital() as client:
                return Sent(recipient, content, *say(client, DOCTOR, [recipient], content))
        except smtplib.SMTPServerDisconnected:
            return Sent(recipient, content, 0, "the connection ended")

    def journal(self, message_id: str) -> list[str]:
        """What the journal says of a message: its kinds, in order."""
        with self.database() as db:
            return [event.kind for event in claims.journal(db, message_id)]

    def next_attempt(self, sent: Sent) -> float:
        """When this message's only delivery is due."""
        with self.database() as db:
            (delivery,) = claims.deliveries(db, sent.id)
        return delivery.next_attempt

    def kept_for(self, recipient: str) -> str:
        """The id of the only message for this recipient."""
        with self.database() as db:
            (row,) = db.execute("SELECT message_id FROM delivery WHERE recipient = ?", (recipient,)).fetchall()
        return str(row[0])

    def messages(self) -> int:
        with self.database() as db:
            count: int = db.execute("SELECT count(*) FROM message").fetchone()[0]
            return count

    def database(self) -> closing[sqlite3.Connection]:
        """The store's database, for reading."""
        return closing(connect_reader(database_of(self.site.state)))

    def arrived(self, sent: Sent) -> int:
        """How often the partner took it."""
        return sum(receipt.message_id == sent.message_id for receipt in self.partner.receipts)

    def reports(self) -> list[str]:
        """The reports that the sender got."""
        partner = self.partner
        receipts = [receipt for receipt in partner.receipts if DOCTOR in receipt.recipients]
        return [partner.content(receipt).decode("utf-8", "replace") for receipt in receipts]

    def wait_until_final(self, sent: Sent) -> list[str]:
        """The journal once nothing more will happen to this message."""

        def final() -> list[str] | None:
            kinds = self.journal(sent.id)
            return kinds if {"delivered", "relayed", "failed", "expired"} & set(kinds) else None

        return wait_for(final, f"an end of {sent.id}")


@contextmanager
def ward(site: Site, machine: Machine | None = None, disk: SmallDisk | None = None) -> Iterator[Ward]:
    """Both running."""
    with (
        Sink(site.folder / "partner", site.partner, port=site.partner_port) as partner,
        RelayProcess(site, environment=machine.environment if machine else {}, disk=disk) as relayd,
    ):
        yield Ward(site, relayd, partner, machine)
