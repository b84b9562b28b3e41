"""Copies whose content is made anew: once, after the commit, sealed before the first attempt.

The work is done in the rendering process, one copy after the other; only so many may wait for it that relayed mail
keeps its lanes. Whatever goes wrong there costs nobody his mail: the copy goes out as it came, and the journal says so.
A worker that dies in between leaves nothing behind, and the next one begins anew.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Final, Protocol

import structlog

from relayd import failpoints
from relayd.authenticity.dkim_sign import BodyHash
from relayd.clock import Clock
from relayd.daemon.copies import amended_patch
from relayd.daemon.in_force import InForce
from relayd.errors import NotFound, RelaydError, StoreError, VaultError
from relayd.journal import kinds
from relayd.journal.event import Event
from relayd.mail.body import Body
from relayd.mail.decode import decoder
from relayd.mail.headers import Headers
from relayd.mail.meta import Derived, MessageMeta, Part
from relayd.mail.mime import MimeScanner
from relayd.mail.patch import apply
from relayd.mail.remade import Remade as NewContent
from relayd.mail.remade import remade
from relayd.queue.attempt import Crowded
from relayd.rendering.renderer import NotAnswered, NotRendered
from relayd.rendering.wire import Leaf, Remade
from relayd.store.blobs import Blobs
from relayd.store.derived import NOT_MADE, DerivedCopy
from relayd.store.interface import Store
from relayd.store.records import Message
from relayd.telemetry.metrics import COPIES_MADE
from relayd.vault.meta import copy_part, open_derived, seal_derived
from relayd.vault.vault import MessageKey, Vault

log = structlog.get_logger("relayd.deriving")

#: Copies that are made or wait for it at once, in one worker.
_AT_ONCE: Final = 4
#: Seconds that one waits at least for its turn, and how much the last copy counts in how long one takes.
_LEAST_WAIT: Final = 1.0
_WEIGHT: Final = 0.1
#: Octets of all leaves together that one copy is made from.
_MOST: Final = 32 * 2**20
#: A child that died or took too long is tried again in later attempts, up to so many: it may have been the machine.
_TRIES: Final = 3
#: A part of no more octets than that is an empty line.
_EMPTY: Final = 2


class NotMade(RelaydError):
    """This copy can't be made anew; the text says why, without content."""


class Services(Protocol):
    """What is needed of the worker."""

    @property
    def in_force(self) -> InForce: ...

    @property
    def store(self) -> Store: ...

    @property
    def vault(self) -> Vault: ...

    @property
    def blobs(self) -> Blobs: ...

    @property
    def clock(self) -> Clock: ...


class Renderer(Protocol):
    """Runs transforms. Raises NotRendered."""

    async def remake(self, transform: str, options: dict[str, str], leaves: tuple[Leaf, ...]) -> Remade: ...


class Deriving:
    """Implements ``relayd.queue.attempt.Derive``."""

    def __init__(self, services: Services, renderer: Renderer) -> None:
        self._services = services
        self._renderer = renderer
        self._making = 0
        self._takes = 0.0
        self._full_until = 0.0

    async def __call__(
        self, message: Message, copy: int, body: Body, meta: MessageMeta, attempts: int
    ) -> tuple[Body, Derived] | None:
        services = self._services
        key = services.vault.open(message.organisation, message.epoch, message.id, message.wrapped_key)
        kept: DerivedCopy | None = await services.store.call("derived_copy", message_id=message.id, copy=copy)
        if kept is None:
            kept = await self._made(message, copy, body, meta, key, last=attempts + 1 >= _TRIES)
        if not kept.made:
            return None
        derived = open_derived(key, copy, kept.meta)
        return services.blobs.open(kept.body, key, derived.head_length, kept.size, copy_part(copy)), derived

    async def _made(
        self, message: Message, copy: int, body: Body, meta: MessageMeta, key: MessageKey, *, last: bool
    ) -> DerivedCopy:
        """Make it, and keep it; or find what another worker kept meanwhile."""
        clock = self._services.clock
        if self._making >= _AT_ONCE:
            raise Crowded(self._wait(clock.boot()))
        self._making += 1
        start = clock.boot()
        try:
            derived, event = await self._make(copy, body, meta, key, last=last)
        finally:
            # With so many at once, each took its own time and that of those before it.
            self._takes += ((clock.boot() - start) / self._making - self._takes) * _WEIGHT
            self._making -= 1
        store, place = self._services.store, {"message_id": message.id, "copy": copy}
        failpoints.reach("copy-made")
        if await store.call("derived_keep", derived=derived, events=[event], **place):
            COPIES_MADE.add(meta.transformations[copy].name, "made" if derived.made else "not-made")
            return derived
        kept: DerivedCopy | None = await store.call("derived_copy", **place)
        if kept is None:
            raise NotFound(f"message {message.id} has no copy {copy} any more")
        return kept

    def _wait(self, now: float) -> float:
        """How long one more has to wait, when each of those that wait already takes as long as the last ones did. A
        laboratory's thousand results of one morning come back when it is their turn, and not all every few seconds."""
        self._full_until = max(self._full_until, now + _LEAST_WAIT) + self._takes
        return self._full_until - now

    async def _make(
        self, copy: int, body: Body, meta: MessageMeta, key: MessageKey, *, last: bool
    ) -> tuple[DerivedCopy, Event]:
        """The copy, its body durable, with what the journal says of it."""
        transformation, now = meta.transformations[copy], self._services.clock.now()
        facts = {"transform": transformation.name, **dict(transformation.options)}
        try:
            leaves, used = await _leaves(body, meta.parts, transformation.parts)
            content = await self._renderer.remake(transformation.name, dict(transformation.options), leaves)
            if not content.shown and not content.files:
                return NOT_MADE, Event(now, kinds.NOT_TRANSFORMED, facts={**facts, **content.facts})
            derived = await self._sealed(copy, body, meta, key, content, used)
        except (StoreError, VaultError, OSError):
            raise  # not the copy's fault: another try may work
        except NotAnswered as error:
            if not last:
                raise
            return NOT_MADE, Event(now, kinds.NOT_TRANSFORMED, facts={**facts, "reason": str(error)})
        except (NotMade, NotRendered) as error:
            return NOT_MADE, Event(now, kinds.NOT_TRANSFORMED, facts={**facts, "reason": str(error)})
        except Exception as error:
            log.exception("transform_defect", id=key.message_id, transform=transformation.name)
            return NOT_MADE, Event(now, kinds.NOT_TRANSFORMED, facts={**facts, "reason": type(error).__name__})
        return derived, Event(now, kinds.TRANSFORMED, facts={**facts, **content.facts})

    async def _sealed(
        self,
        copy: int,
        body: Body,
        meta: MessageMeta,
        key: MessageKey,
        content: Remade,
        used: Sequence[Part],
    ) -> DerivedCopy:
        headers = Headers(body.head)
        keep = not content.says_all or _says_more(meta.parts, used)
        names = used[0].names if used else ()
        name = "" if meta.parts and meta.parts[0].is_container else next(iter(names), content.name)
        new = remade(headers, content.shown, content.files, f"relayd-{os.urandom(16).hex()}", keep=keep, name=name)
        hashed = BodyHash()
        async for block in _content(new, body):
            hashed.feed(block)
        now = self._services.clock.now()
        patch = amended_patch(self._services.in_force, headers, meta.copies[copy], new.change, hashed, now)
        receiving, scanner = self._services.blobs.receive(key, copy_part(copy)), MimeScanner()
        try:
            head = apply(patch, body.head) + b"\r\n"
            receiving.write(head)
            scanner.feed(head)
            async for block in _content(new, body):
                receiving.write(block)
                scanner.feed(block)
            stored = receiving.finish()
            ref = await self._services.blobs.make_durable(stored)
        finally:
            receiving.discard()  # without effect once it is durable
        derived = Derived(len(stored.head), scanner.finish())
        return DerivedCopy(stored.size, ref, seal_derived(key, copy, derived))


async def _content(new: NewContent, body: Body) -> AsyncIterator[bytes]:
    """What follows the new header's empty line."""
    yield new.before
    if new.keeps:
        async for block in body.blocks(len(body.head) + 2):
            yield block
    yield new.after


async def _leaves(body: Body, parts: Sequence[Part], paths: Collection[str]) -> tuple[tuple[Leaf, ...], list[Part]]:
    """The parts with these paths, decoded."""
    used = [part for part in parts if part.path in paths and not part.is_container]
    leaves, room = [], _MOST
    for part in used:
        decode, data = decoder(part), bytearray()
        async for block in body.blocks(part.offset, part.length):
            data += decode.feed(block)
            if len(data) > room:
                raise NotMade(f"it would be made from more than {_MOST // 2**20} MiB")
        data += decode.finish()
        room -= len(data)
        leaves.append(Leaf(bytes(data), next(iter(part.names), ""), part.charset))
    return tuple(leaves), used


def _says_more(parts: Sequence[Part], used: Sequence[Part]) -> bool:
    """Whether the mail has content beside what the copy was made from."""
    return any(part.length > _EMPTY and part not in used for part in parts if not part.is_container)
