"""A reader's draft: its text and files, sealed from the first octet on."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any, Final

from relayd.delivery.installation import digest
from relayd.mail.body import Body
from relayd.store.receiving import BlobReceiving
from relayd.store.viewer_drafts import FILES_SIZE, Draft, Upload
from relayd.store.viewer_tables import Grant
from relayd.vault.vault import MessageKey
from viewer_web.access import SEEN_EVERY, Opened
from viewer_web.reading import clean_name
from viewer_web.services import Services

#: Characters of a reply.
TEXT_LIMIT: Final = 100_000
_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,60}")
_OCTETS: Final = "application/octet-stream"
#: Types that a mail program would take for something else than a file.
_NOT_A_FILE: Final = ("multipart/", "message/")


@dataclass(frozen=True, slots=True)
class Attached:
    """One file of a draft, as its reader sees it."""

    id: str
    name: str
    type: str
    size: int


@dataclass(frozen=True, slots=True)
class Written:
    """A draft, opened; without an ``id`` there is none. ``replies`` were sent in this cycle."""

    id: str
    version: int
    text: str
    files: tuple[Attached, ...]
    replies: int


class Drafts:
    """The drafts of one grant, for the browser that holds its session. ``opened`` is the message that is answered."""

    def __init__(self, services: Services, grant: Grant, browser: str, opened: Opened) -> None:
        self._services = services
        self._grant = grant
        #: The digest of the browser's cookie, as the store knows it.
        self.browser = digest(browser)
        self._seen_at = services.clock.now()
        self._key = opened.key
        self._message = opened.message

    async def read(self) -> Written:
        """The draft, empty where there is none."""
        draft: Draft | None = await self._services.store.call("viewer_draft", grant_id=self._grant.id)
        if draft is None:
            replies: int = await self._services.store.call("viewer_replies", thread=self._grant.thread)
            return Written("", 0, "", (), replies)
        text = self._text(draft.text)
        files = tuple(Attached(one.id, self._name(one), one.type, one.size) for one in draft.uploads)
        return Written(draft.id, draft.version, text, files, draft.replies)

    async def keep(self, form: str, text: str) -> str | None:
        """Keep what stands in this form: None when that was done, else what this form has sent already, and nothing
        was changed. Raises Conflict when the session has ended."""
        sealed = self._key.seal(f"draft:{self._grant.id}", text.encode()) if text else b""
        sent: bytes | None = await self._change("viewer_draft_keep", form=form, text=sealed)
        return None if sent is None else self._text(sent)

    async def remove(self, upload_id: str) -> None:
        """Raises Conflict when the session has ended."""
        await self._change("viewer_upload_remove", upload_id=upload_id)

    async def begin(self, size: int) -> None:
        """So many octets of files are about to come. Raises LimitReached beyond the day's share, and Conflict when the
        session has ended."""
        await self._change("viewer_upload_begin", size=size)

    async def alive(self) -> None:
        """Files come: over a slow line that may take longer than a session lasts without a sign of life."""
        now = self._services.clock.now()
        if now - self._seen_at >= SEEN_EVERY:
            self._seen_at = now
            await self._change("viewer_session_seen")

    def arriving(self, name: str, kind: str) -> Arriving:
        """Where a file goes while it arrives. Raises StoreUnavailable and KeyUnavailable."""
        identity = self._services.random.token_hex(16)
        key = self._services.vault.new(self._message.organisation, self._message.epoch, identity)
        return Arriving(self, clean_name(name) or "file", _type(kind), key, self._services.blobs.receive(key))

    async def add(self, file: Arriving) -> None:
        """The file has come whole. Raises LimitReached, Conflict when the session has ended, and StoreUnavailable."""
        stored = file.receiving.finish()
        ref = await self._services.blobs.make_durable(stored)
        upload = Upload(
            id=file.key.message_id,
            name=self._key.seal(f"upload:{file.key.message_id}", file.name.encode()),
            type=file.type,
            size=stored.size,
            organisation=file.key.organisation,
            epoch=file.key.epoch,
            wrapped_key=file.key.wrapped,
            body=ref,
        )
        await self._change("viewer_upload_keep", upload=upload)

    async def bodies(self) -> list[tuple[Attached, Body]]:
        """The files of the draft, to be read while they are sent."""
        draft: Draft | None = await self._services.store.call("viewer_draft", grant_id=self._grant.id)
        found = []
        for one in draft.uploads if draft else ():
            key = await asyncio.to_thread(
                self._services.vault.open, one.organisation, one.epoch, one.id, one.wrapped_key
            )
            body = self._services.blobs.open(one.body, key, 0, one.size)
            found.append((Attached(one.id, self._name(one), one.type, one.size), body))
        return found

    async def _change(self, operation: str, **arguments: object) -> Any:
        return await self._services.store.call(operation, grant_id=self._grant.id, browser=self.browser, **arguments)

    def _text(self, sealed: bytes) -> str:
        return self._key.unseal(f"draft:{self._grant.id}", sealed).decode() if sealed else ""

    def _name(self, upload: Upload) -> str:
        return self._key.unseal(f"upload:{upload.id}", upload.name).decode()


@dataclass(slots=True)
class Arriving:
    """One file on its way in. Its octets are sealed before they are on any disk."""

    drafts: Drafts
    name: str
    type: str
    key: MessageKey
    receiving: BlobReceiving
    size: int = 0

    def write(self, block: bytes) -> None:
        self.size += len(block)
        if self.size <= FILES_SIZE:
            self.receiving.write(block)

    @property
    def too_large(self) -> bool:
        return self.size > FILES_SIZE

    def discard(self) -> None:
        self.receiving.discard()


def _type(said: str) -> str:
    """The browser's word for it, where that is a type that a file can have."""
    kind = said.split(";")[0].strip().lower()
    return kind if _TYPE.fullmatch(kind) and not kind.startswith(_NOT_A_FILE) else _OCTETS
