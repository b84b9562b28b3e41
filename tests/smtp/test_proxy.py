"""PROXY headers: believed from listed load balancers only, and then required."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

import pytest

from tests.kit.smtp_dialogue import Client
from tests.kit.smtp_door import running
from tests.kit.smtp_tls import client_context, server_context

V2 = b"\r\n\r\n\0\r\nQUIT\n"
LISTED = {"proxy_from": ["127.0.0.0/8"]}


def v2(command: int, family: int, addresses: bytes) -> bytes:
    return V2 + struct.pack("!BBH", 0x20 | command, family, len(addresses)) + addresses


IPV4 = v2(1, 0x11, socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 4711, 25))
IPV6 = v2(1, 0x21, ip_address("2001:db8::7").packed + ip_address("2001:db8::1").packed + struct.pack("!HH", 4711, 25))


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n", "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 25\r\n", "2001:db8::7"),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:192.0.2.1 4711 25\r\n", "192.0.2.7"),
        (IPV4, "192.0.2.7"),
        (IPV6, "2001:db8::7"),
    ],
)
async def test_the_header_says_who_the_client_is(header: bytes, address: str) -> None:
    async with running(**LISTED) as server:
        client = await Client.connect("127.0.0.1", server.port)
        client.send(header)
        await client.reply()
        await client.say("EHLO c.example")
        await client.say("MAIL FROM:<a@b.example>")
        peer = server.door.taken[0].peer
        assert (str(peer.address), peer.port, str(peer.proxied_by)) == (address, 4711, "127.0.0.1")
        await client.close()


async def test_a_health_check_is_the_balancers_own() -> None:
    async with running(**LISTED) as server:
        client = await Client.connect("127.0.0.1", server.port)
        client.send(v2(0, 0, b""))
        assert (await client.reply())[0].startswith("220 ")
        await client.close()


@pytest.mark.parametrize(
    "header",
    [
        b"EHLO client.example\r\n",
        b"PROXY UNKNOWN\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 4711\r\n",
        b"PROXY TCP4 192.0.2.7 2001:db8::1 4711 25\r\n",
        b"PROXY TCP4 " + b"1" * 200 + b"\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\n",
        v2(1, 0x31, b"/a".ljust(108, b"\0") * 2),
        v2(1, 0x11, b"short"),
        V2[:11] + b"x",
    ],
)
async def test_a_listed_balancer_without_a_proper_header_is_cut(header: bytes) -> None:
    async with running(**LISTED) as server:
        client = await Client.connect("127.0.0.1", server.port)
        client.send(header)
        client.writer.write_eof()
        assert await client.reply() == []
        await client.close()
        assert server.door.arrived == 0


async def test_tls_begins_right_behind_the_header() -> None:
    async with running(context=server_context(), tls="implicit", **LISTED) as server:
        client = await Client.connect("127.0.0.1", server.port)
        client.send(IPV4)
        await client.start_tls(client_context())
        assert (await client.reply())[0].startswith("220 ")
        await client.say("EHLO c.example")
        await client.say("MAIL FROM:<a@b.example>")
        assert str(server.door.taken[0].peer.address) == "192.0.2.7"
        await client.close()


async def test_a_binary_header_from_others_is_no_command() -> None:
    async with running() as server:
        client = await Client.connect("127.0.0.1", server.port)
        await client.reply()
        client.send(IPV4)
        said = await client.reader.read()
        assert said.startswith(b"500 5.5.2")
        assert not server.door.taken
        await client.close()


async def test_who_speaks_before_the_greeting_is_sent_away() -> None:
    async with running() as server:
        # Connected and heard of only once the listener accepts: what is sent before that is early for certain.
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.send(b"EHLO early.example\r\n")
            sock.setblocking(False)
            client = Client(*(await open_socket(sock)))
            assert (await client.reply())[0].startswith("554 5.5.0")
            assert await client.reply() == []
            await client.close()
        assert server.door.present == 0


async def open_socket(sock: socket.socket):
    import asyncio

    return await asyncio.open_connection(sock=sock)
