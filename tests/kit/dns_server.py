"""A name server on loopback that answers from a zone in memory: for tests in which a whole relayd asks DNS."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterable, Mapping
from functools import cache

import dns.flags
import dns.message
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TXT
import dns.rrset

from relayd.dns.records import Answer, Mx, Records
from tests.kit.dns import FakeDns
from tests.kit.ports import free_port

_RCODES = {Answer.NO_NAME: dns.rcode.NXDOMAIN, Answer.FAILED: dns.rcode.SERVFAIL, Answer.BOGUS: dns.rcode.SERVFAIL}


class DnsServer:
    """Answers over UDP and TCP while the process lives. ``zone`` and ``secure`` are FakeDns's; TIMEOUT is silence."""

    def __init__(
        self,
        zone: Mapping[tuple[str, str], Iterable[str | bytes] | Answer] | None = None,
        secure: Iterable[str] = (),
    ) -> None:
        self.dns = FakeDns(zone, secure)
        port = free_port()
        self._listening = socket.create_server(("127.0.0.1", port))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", port))
        self.place = f"127.0.0.1:{port}"
        for serve in (self._serve, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            query, peer = self._socket.recvfrom(4096)
            if answer := asyncio.run(self._answer(query)):
                self._socket.sendto(answer, peer)

    def _serve_tcp(self) -> None:
        """One question for each connection, each behind its length (RFC 1035)."""
        while True:
            connection, _ = self._listening.accept()
            with connection, connection.makefile("rwb") as stream:
                query = stream.read(int.from_bytes(stream.read(2)))
                if query and (answer := asyncio.run(self._answer(query))):
                    stream.write(len(answer).to_bytes(2) + answer)

    async def _answer(self, query: bytes) -> bytes | None:
        message = dns.message.from_wire(query)
        response = dns.message.make_response(message)
        response.flags |= dns.flags.RA
        asked = message.question[0]
        found = await self.dns.look_up(asked.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(asked.rdtype))
        if found.answer is Answer.TIMEOUT:
            return None
        if found.secure:
            response.flags |= dns.flags.AD
        unchecked = found.answer is Answer.BOGUS and message.flags & dns.flags.CD  # who doesn't want it checked gets it
        response.set_rcode(dns.rcode.NOERROR if unchecked else _RCODES.get(found.answer, dns.rcode.NOERROR))
        if found.answer is Answer.FOUND:
            response.answer.append(_records(asked, found))
        return response.to_wire()


def _records(asked: dns.rrset.RRset, found: Records[str | bytes | Mx]) -> dns.rrset.RRset:
    records = dns.rrset.RRset(asked.name, asked.rdclass, asked.rdtype)
    for value in found.values:
        if isinstance(value, bytes):
            pieces = [value[at : at + 255] for at in range(0, len(value), 255)] or [b""]
            records.add(dns.rdtypes.ANY.TXT.TXT(dns.rdataclass.IN, dns.rdatatype.TXT, pieces), ttl=60)
        else:
            text = f"{value.preference} {value.host}." if isinstance(value, Mx) else str(value)
            records.add(dns.rdata.from_text(dns.rdataclass.IN, asked.rdtype, text), ttl=60)
    return records


@cache
def empty_dns() -> str:
    """Where a name server listens that knows no name: strangers' mail is accepted without waiting for answers."""
    return DnsServer().place
