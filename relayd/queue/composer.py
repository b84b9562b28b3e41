"""Mail of our own, reports and notifications: sealed, its body durable, ready to be committed with what it is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from relayd.authenticity.dkim_sign import BodyHash, Signer, sign_all
from relayd.clock import Clock
from relayd.directory.directory import Delivers, Directory
from relayd.errors import KeyUnavailable, StoreUnavailable
from relayd.journal import kinds
from relayd.journal.event import Event
from relayd.mail.address import Address, Domain, parse_address
from relayd.mail.body import Body
from relayd.mail.headers import Headers
from relayd.mail.meta import HeaderPatch, MessageMeta
from relayd.pipeline.verdict import MessageClass, RouteKind, RouteTarget
from relayd.store.blobs import Blobs
from relayd.store.ids import new_id
from relayd.store.records import NewDelivery, NewMessage
from relayd.vault.epochs import epoch_of
from relayd.vault.meta import seal_meta
from relayd.vault.vault import Vault

_BLOCK: Final = 256 * 1024
#: What says whom a TLS report is about belongs under its signature (RFC 8460 §5.3).
_REPORT_FIELDS: Final = ("tls-report-domain", "tls-report-submitter")


def way_to(directory: Directory, address: Address) -> RouteTarget:
    """How mail of our own reaches ``address``: as anyone's mail does where the domainbook knows the domain, else as a
    notice."""
    if directory.is_the_viewers(address.domain):
        return RouteTarget(RouteKind.BOUNCE)
    entry = directory.domainbook.get(address.domain)
    if entry is None:
        return RouteTarget(RouteKind.RELAY, "", MessageClass.NOTICE)
    if entry.delivers is Delivers.RELAY:
        return RouteTarget(RouteKind.RELAY, entry.domain)
    kind = RouteKind.MAILBOX if entry.delivers is Delivers.MAILBOX else RouteKind.FOLDER
    return RouteTarget(kind, entry.store)


class Composer:
    """Makes NewMessages from finished content, signed where ``signers`` has keys of the domain in its From. The caller
    commits what it returns."""

    def __init__(
        self,
        vault: Vault,
        blobs: Blobs,
        directory: Callable[[], Directory],
        clock: Clock,
        retention_days: int,
        signers: Callable[[], Mapping[Domain, tuple[Signer, ...]]] = dict,
    ) -> None:
        self._vault = vault
        self._blobs = blobs
        self._directory = directory
        self._clock = clock
        self._retention_days = retention_days
        self._signers = signers

    async def compose(
        self,
        *,
        organisation: str,
        recipient: str,
        content: bytes,
        parent: str,
        body: Body | None = None,
        after: bytes = b"",
        identity: str = "",
        sender: str = "",
    ) -> NewMessage:
        """Seal ``content``, with ``body`` and ``after`` behind it where given, as a message to ``recipient``: from the
        null sender, or from ``sender``, an address of ours that hears when it fails. ``identity`` is its id where the
        content names it. Raises StoreUnavailable, and SyntaxInvalid
        for what isn't an address."""
        address = parse_address(recipient)
        now = self._clock.now()
        identity, epoch = identity or new_id(self._clock), epoch_of(now)
        try:
            key = self._vault.new(organisation, epoch, identity)
        except (KeyUnavailable, OSError) as error:
            raise StoreUnavailable("the key for a message of our own can't be had") from error
        receiving = self._blobs.receive(key)
        hashed = BodyHash()
        hashed.feed(content.partition(b"\r\n\r\n")[2])
        try:
            for start in range(0, len(content), _BLOCK):
                receiving.write(content[start : start + _BLOCK])
            if body is not None:
                async for block in body.blocks():
                    receiving.write(block)
                    hashed.feed(block)
                receiving.write(after)
                hashed.feed(after)
            stored = receiving.finish()
            ref = await self._blobs.make_durable(stored)
        finally:
            receiving.discard()  # without effect once it is durable
        signed = HeaderPatch(put=self._signatures(stored.head, hashed, now))
        way = way_to(self._directory(), address)
        days = self._days(organisation)
        return NewMessage(
            id=identity,
            organisation=organisation,
            epoch=epoch,
            received_at=now,
            expires_at=now + days * 86400,
            sender=sender,
            size=stored.size,
            origin="internal",
            wrapped_key=key.wrapped,
            body=ref,
            meta=seal_meta(key, MessageMeta(head_length=len(stored.head), copies=(signed,))),
            smtputf8=not recipient.isascii() or not content.isascii(),
            body_type="7BIT" if content.isascii() and body is None else "8BITMIME",
            parent=parent,
            deliveries=(
                NewDelivery(
                    number=0,
                    recipient=str(address),
                    domain=address.domain,
                    route=way.kind.value,
                    target=way.target,
                    message_class=way.message_class.value,
                    notify="FAILURE" if sender else "NEVER",
                    next_attempt=now,
                ),
            ),
            events=(Event(now, kinds.CREATED, facts={"parent": parent}),),
        )

    def _signatures(self, head: bytes, hashed: BodyHash, now: float) -> bytes:
        """So that DMARC holds for mail of our own, whose envelope sender is nobody's."""
        headers = Headers(head)
        authors = headers.addresses("from")
        signers = self._signers().get(authors[0].domain, ()) if authors else ()
        also = [name for name in _REPORT_FIELDS if headers.all(name)]
        return sign_all(signers, head, hashed.digest(), now, also) if signers else b""

    def _days(self, organisation: str) -> int:
        found = self._directory().organisations.get(organisation)
        return found.settings.retention_days if found is not None else self._retention_days
