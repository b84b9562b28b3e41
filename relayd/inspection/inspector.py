"""The Inspector that policies are given: bounded in processes, octets and time."""

from __future__ import annotations

import asyncio
import os
from typing import Final

import structlog

from relayd.inspection.budget import ByteBudget
from relayd.inspection.candidates import attachments
from relayd.inspection.process import Child, ChildLost
from relayd.inspection.wire import Request, Slice
from relayd.mail.body import Body
from relayd.mail.meta import Part
from relayd.mail.mime import decoder
from relayd.pipeline.policy import Inspection, InspectionLimits, Mail

_log = structlog.get_logger("relayd.inspection")

#: A child is replaced after this many messages, so that nothing a decoder leaks adds up.
_MESSAGES_PER_CHILD: Final = 500


class ProcessInspector:
    """Inspects in up to ``processes`` children at once, which start when first needed.

    ``budget`` bounds the decoded octets in memory for inspection in this worker: the machine's budget divided by its
    workers. Whoever finds no child or no room free waits; the policy's own timeout then defers the message.
    """

    def __init__(self, processes: int = 1, budget: int = 128 * 2**20) -> None:
        self._places = asyncio.Semaphore(processes)
        self._budget = ByteBudget(budget)
        self._idle: list[Child] = []
        self._closed = False

    async def inspect(self, mail: Mail, limits: InspectionLimits) -> Inspection:
        """Look into every attachment of ``mail``. What can't be looked into is a finding, not an exception."""
        parts = attachments(mail.parts)
        if not parts:
            return Inspection(())
        assert mail.body is not None
        # Decoding never makes a part longer, so that its length bounds the memory.
        async with self._budget.reserve(sum(part.length for part in parts)), self._places:
            memory = os.memfd_create("inspection", os.MFD_CLOEXEC)
            try:
                slices, length = await _decode(parts, mail.body, memory)
                return await self._ask(memory, length, Request(slices, limits), mail.id)
            finally:
                os.close(memory)

    async def close(self) -> None:
        """Kill the idle children; those at work are killed when their inspection ends."""
        self._closed = True
        while self._idle:
            self._idle.pop().kill()

    async def _ask(self, memory: int, length: int, request: Request, message_id: str) -> Inspection:
        for last_try in (False, True):
            child = self._idle.pop() if self._idle else await Child.start()
            answer: Inspection | None = None
            try:
                async with asyncio.timeout(request.limits.seconds):
                    answer = await child.ask(memory, length, request)
                    return answer
            except TimeoutError:
                _log.warning("inspection took too long", message=message_id)
                return Inspection((), complete=False, reason="looking into it takes too long")
            except ChildLost:
                # It may have been the machine's doing; twice on the same message is the message's.
                _log.warning("inspecting child lost", message=message_id, last_try=last_try)
            finally:
                self._put_back(child, sound=answer is not None)
        return Inspection((), complete=False, reason="the inspection of it fails")

    def _put_back(self, child: Child, *, sound: bool) -> None:
        if sound and not self._closed and child.served < _MESSAGES_PER_CHILD:
            self._idle.append(child)
        else:
            child.kill()


async def _decode(parts: list[Part], body: Body, memory: int) -> tuple[tuple[Slice, ...], int]:
    """Write every part's decoded content to the memory, one after the other."""
    slices: list[Slice] = []
    end = 0
    for part in parts:
        start = end
        decode = decoder(part)
        async for block in body.blocks(part.offset, part.length):
            end += _write(memory, decode.feed(block), end)
        end += _write(memory, decode.finish(), end)
        slices.append(Slice(part.path, part.names, part.type, start, end - start))
    return tuple(slices), end


def _write(memory: int, octets: bytes, at: int) -> int:
    return os.pwrite(memory, octets, at) if octets else 0
