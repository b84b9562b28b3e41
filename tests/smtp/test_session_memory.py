"""What a session holds while its peer says nothing: a thousand of them may wait at once."""

from __future__ import annotations

import asyncio
import gc
import socket
import tracemalloc

from tests.kit.smtp_door import FakeDoor, running

SESSIONS = 50
#: Octets of Python objects for a session that waits for its next command.
MOST = 8 * 1024


async def greeted(port: int) -> socket.socket:
    """A client that has said EHLO and read the answer."""
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setblocking(False)
    await loop.sock_connect(client, ("127.0.0.1", port))
    await loop.sock_recv(client, 1024)
    await loop.sock_sendall(client, b"EHLO mail.example\r\n")
    await loop.sock_recv(client, 1024)
    return client


async def test_a_waiting_session_costs_little() -> None:
    door = FakeDoor()
    async with running(door) as server:
        clients = [await greeted(server.port)]
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            clients += [await greeted(server.port) for _ in range(SESSIONS)]
            gc.collect()
            held = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert door.present == SESSIONS + 1
        assert held < SESSIONS * MOST
        for client in clients:
            client.close()
