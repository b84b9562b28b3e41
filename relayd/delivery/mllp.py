"""Route ``system``: the HL7 messages of a copy handed to a system by MLLP, over TLS that proves both sides.

What a system says decides: taken (AA, CA), never (AE, CE), or later (AR, CR, or nothing at all). All messages of a mail
go over one connection; when one isn't taken, those before it are sent again with it later, and the system knows them by
their control ids. A copy that holds no HL7 has no way to a system.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog
from msgspec.structs import replace

from relayd.delivery.parts import Decoded
from relayd.delivery.ways import split_host
from relayd.dns.resolver import Resolver
from relayd.edi.acknowledge import Answered, read_answer
from relayd.edi.detect import sniff
from relayd.edi.model import Format
from relayd.errors import RelaydError
from relayd.mail.envelope import TlsFacts
from relayd.mail.meta import Part
from relayd.mllp.frames import END, START, Frames, Mark
from relayd.queue.outcome import Job, Outcome, Result
from relayd.settings.models import SystemSettings
from relayd.tls.contexts import https_context
from relayd.tls.identity import facts_of

#: Octets of an acknowledgement.
_MOST: Final = 64 * 1024
#: Addresses of a system that are tried.
_ADDRESSES: Final = 4
#: Octets of a part that say what it is.
_START: Final = 1024
#: Codes of an answer that are told.
_CODES: Final = 5

log = structlog.get_logger("relayd.delivery")


class Unreachable(RelaydError):
    """No proven connection to the system can be had now; the text says why."""


async def dial(
    system: SystemSettings, certificate: Path, key: Path, resolver: Resolver
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which both sides have shown a certificate. Raises Unreachable."""
    host, port = split_host(system.address)
    found = await resolver.addresses(host)
    if not found.addresses:
        raise Unreachable(f"looking up its address ended in {found.answer}")
    problem = ""
    for address in found.addresses[:_ADDRESSES]:
        try:
            # Made for each connection: certificates are renewed while relayd runs.
            context = await asyncio.to_thread(_context, system, certificate, key)
            async with asyncio.timeout(system.timeout.total_seconds()):
                return await asyncio.open_connection(
                    address, port, ssl=context, server_hostname=system.tls_name or host
                )
        except (OSError, TimeoutError) as error:
            problem = _reason(error)
    raise Unreachable(problem)


def _reason(error: OSError | TimeoutError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return getattr(error, "verify_message", "") or str(error.reason)
    return os.strerror(error.errno) if error.errno else type(error).__name__


def _context(system: SystemSettings, certificate: Path, key: Path) -> ssl.SSLContext:
    context = https_context(system.ca_file)
    context.load_cert_chain(certificate, key)
    return context


class SystemRoute:
    """Delivers to one system. ``certificate`` and ``key`` are ours, which it asks for."""

    def __init__(self, system: SystemSettings, certificate: Path, key: Path, resolver: Resolver) -> None:
        self._system = system
        self._certificate = certificate
        self._key = key
        self._resolver = resolver

    async def deliver(self, job: Job) -> list[Outcome]:
        # Only of a copy that was made for it are the parts' places those in the content.
        made = job.meta.parts if job.made_by is not None else ()
        parts = [part for part in made if not part.is_container and "." not in part.path and await _is_hl7(job, part)]
        if not parts:
            return _all(job, Outcome(0, Result.FAILED, "5.6.0", "the mail holds no HL7 message"))
        return _all(job, await self._hand_over(job, parts))

    async def close(self) -> None:
        return

    async def _hand_over(self, job: Job, parts: Sequence[Part]) -> Outcome:
        host = split_host(self._system.address)[0]
        try:
            reader, writer = await dial(self._system, self._certificate, self._key, self._resolver)
        except Unreachable as error:
            log.info("system_unavailable", system=self._system.address, reason=str(error))
            return Outcome(0, Result.DEFERRED, "4.4.1", f"{host} can't be reached: {error}", remote=host)
        tls = replace(facts_of(writer.get_extra_info("ssl_object")), proof="ca")
        try:
            return await self._converse(job, parts, reader, writer, tls)
        finally:
            writer.transport.abort()

    async def _converse(
        self,
        job: Job,
        parts: Sequence[Part],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        tls: TlsFacts,
    ) -> Outcome:
        host = split_host(self._system.address)[0]
        patience = self._system.timeout.total_seconds()
        answered: Answered | None = None
        for part in parts:
            complete = False
            try:
                async with asyncio.timeout(patience):
                    writer.write(START)
                    async for block in Decoded(job.content, part).blocks():
                        if START in block or END in block:
                            return Outcome(0, Result.FAILED, "5.6.0", "a message holds an octet that ends its frame")
                        writer.write(block)
                        await writer.drain()
                    if not job.still_mine():
                        return Outcome(0, Result.DEFERRED, "4.3.0", "another worker has it now")
                    complete = True
                    writer.write(END + b"\r")
                    await writer.drain()
                    answered = await _answer(reader)
            except (OSError, TimeoutError, EOFError):
                words = "the connection ended, or nothing came in time"
                result = Result.AMBIGUOUS if complete else Result.DEFERRED
                return Outcome(0, result, "4.4.2", f"{host}: {words}", remote=host, tls=tls)
            if answered is None or answered.answer.may_be_retried:
                return Outcome(0, Result.DEFERRED, "4.3.0", _said(answered), remote=host, tls=tls)
            if not answered.answer.is_positive:
                return Outcome(0, Result.FAILED, "5.6.0", _said(answered), remote=host, tls=tls)
        return Outcome(0, Result.DELIVERED, "2.0.0", _said(answered), remote=host, tls=tls)


async def _is_hl7(job: Job, part: Part) -> bool:
    async for block in Decoded(job.content, part).blocks():
        return sniff(block[:_START]) is Format.HL7
    return False


async def _answer(reader: asyncio.StreamReader) -> Answered | None:
    """The acknowledgement that comes; None for one that says nothing. Raises EOFError when none comes."""
    frames, message = Frames(), b""
    while True:
        block = await reader.read(4096)
        if not block:
            raise EOFError
        for piece in frames.feed(block):
            if piece is Mark.START:
                message = b""
            elif piece is Mark.END:
                return read_answer(message)
            elif isinstance(piece, bytes):
                message += piece
        if len(message) > _MOST:
            raise EOFError


def _said(answered: Answered | None) -> str:
    """What it says, as far as it may be told: its texts may name a patient."""
    if answered is None:
        return "an answer without MSA"
    codes = [code for code in answered.errors if code.isdigit()][:_CODES]
    return " ".join([answered.answer.value, *codes])


def _all(job: Job, outcome: Outcome) -> list[Outcome]:
    return [
        Outcome(
            one.number, outcome.result, outcome.status, outcome.reply, outcome.next_hop, outcome.remote, outcome.tls
        )
        for one in job.deliveries
    ]
