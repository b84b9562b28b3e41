"""A small DNS server on loopback that says what a test tells it to, also what no honest server would."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset


@dataclass(frozen=True)
class Reply:
    """``records`` as in a master file, or "raw " and octets in hex; none and not ``failed`` means that the name has
    none, and ``failed`` with records that they are forged: seen with checking disabled only. ``alias`` puts a CNAME in
    front. ``secure`` sets the AD bit. ``silent`` says nothing at all."""

    records: Sequence[str] = ()
    alias: str = ""
    secure: bool = False
    failed: bool = False
    silent: bool = False


class LyingDns(asyncio.DatagramProtocol):
    """``async with LyingDns() as server``: over UDP, and over TCP what UDP has no room for. A name that nobody told it
    about doesn't exist. ``asked`` lists the questions; while ``open`` isn't set, answers wait."""

    def __init__(self) -> None:
        self._replies: dict[tuple[str, str], Reply] = {}
        self.asked: list[tuple[str, str]] = []
        self.was_asked = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def say(self, name: str, kind: str, reply: Reply) -> None:
        self._replies[name.rstrip(".") + ".", kind] = reply

    async def __aenter__(self) -> LyingDns:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", self.port))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        task = asyncio.get_running_loop().create_task(self._datagram(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _datagram(self, data: bytes, addr: tuple[str, int]) -> None:
        response = await self._answer(data)
        if response is None:
            return
        wire = response.to_wire(max_size=65535)
        if len(wire) > 1232:
            response.answer.clear()
            response.flags |= dns.flags.TC
            wire = response.to_wire()
        self._transport.sendto(wire, addr)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            size = int.from_bytes(await reader.readexactly(2))
            response = await self._answer(await reader.readexactly(size))
            if response is not None:
                wire = response.to_wire(max_size=65535)
                writer.write(len(wire).to_bytes(2) + wire)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, data: bytes) -> dns.message.Message | None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(), question.rdtype.name
        self.asked.append((name, kind))
        self.was_asked.set()
        await self.open.wait()
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        reply = self._replies.get((name, kind))
        if reply is None:
            known = any(other == name for other, _ in self._replies)
            response.set_rcode(dns.rcode.NOERROR if known else dns.rcode.NXDOMAIN)
            return response
        if reply.silent:
            return None
        if reply.failed and not (reply.records and query.flags & dns.flags.CD):
            response.set_rcode(dns.rcode.SERVFAIL)
            return response
        if reply.secure:
            response.flags |= dns.flags.AD
        owner = name
        if reply.alias:
            owner = reply.alias
            response.answer.append(dns.rrset.from_text(name, 300, "IN", "CNAME", owner))
        if reply.records:
            response.answer.append(_records(owner, kind, reply.records))
        return response


def _records(owner: str, kind: str, texts: Sequence[str]) -> dns.rrset.RRset:
    sound = [text for text in texts if not text.startswith("raw ")]
    type_ = dns.rdatatype.from_text(kind)
    records = dns.rrset.RRset(dns.name.from_text(owner), dns.rdataclass.IN, type_)
    if sound:
        records = dns.rrset.from_text(owner, 300, "IN", kind, *sound)
    for text in texts:
        if text.startswith("raw "):
            octets = bytes.fromhex(text.removeprefix("raw "))
            records.add(dns.rdata.GenericRdata(dns.rdataclass.IN, type_, octets), 300)
    return records
