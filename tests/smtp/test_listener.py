"""Listening sockets that several workers share."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import capture_logs

from relayd.settings.models import ListenerSettings
from relayd.smtp.listener import listen
from relayd.smtp.service import Service
from tests.kit.smtp_dialogue import Client
from tests.kit.smtp_door import HOSTNAME, FakeDoor, make_limits, running
from tests.kit.smtp_tls import server_context


async def test_workers_share_a_socket() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    settings = ListenerSettings(address="127.0.0.1:25", kind="relay")
    doors = [FakeDoor(), FakeDoor()]
    # Each worker process has a descriptor of its own for the same socket.
    sockets = (sock, sock.dup())
    servers = [
        listen([shared], Service(HOSTNAME, settings, make_limits(), lambda door=door: door))  # type: ignore[misc]
        for shared, door in zip(sockets, doors, strict=True)
    ]
    # All knock before either worker looks.
    knocking = [socket.create_connection(sock.getsockname()) for _ in range(40)]
    clients = [Client(*await asyncio.open_connection(sock=one)) for one in knocking]
    for client in clients:
        assert (await client.reply())[0].startswith("220 ")
    assert all(door.present for door in doors), "one connection per readiness event leaves some for the other"
    assert sum(door.present for door in doors) == 40
    for client in clients:
        await client.close()
    for server in servers:
        await server.close()
    for shared in sockets:
        shared.close()


async def test_a_crowded_worker_leaves_connections_to_the_other_but_never_for_good() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    settings = ListenerSettings(address="127.0.0.1:25", kind="relay")
    crowded, free = FakeDoor(), FakeDoor()
    sockets = (sock, sock.dup())
    services = [
        Service(HOSTNAME, settings, make_limits(), lambda: crowded, crowded=lambda: True),
        Service(HOSTNAME, settings, make_limits(), lambda: free),
    ]
    servers = [listen([shared], service) for shared, service in zip(sockets, services, strict=True)]
    clients = [await Client.connect("127.0.0.1", sock.getsockname()[1]) for _ in range(10)]
    for client in clients:
        assert (await client.reply())[0].startswith("220 ")
    assert free.present > crowded.present
    await servers[1].close()
    late = await Client.connect("127.0.0.1", sock.getsockname()[1])
    assert (await late.reply())[0].startswith("220 "), "nobody else takes it"
    for client in (*clients, late):
        await client.close()
    await servers[0].close()
    for shared in sockets:
        shared.close()


async def test_a_replaced_service_holds_for_later_connections_only() -> None:
    async with running() as server:
        early = await Client.connect("127.0.0.1", server.port)
        await early.reply()
        service = server.listener.service
        server.listener.service = Service(
            "new.example.org", service.settings, make_limits(message_size=1000), service.door, service.tls
        )
        late = await Client.connect("127.0.0.1", server.port)
        assert (await late.reply())[0].startswith("220 new.example.org ")
        early.send(b"EHLO c.example\r\n")
        assert "250-SIZE 52428800" in await early.reply()
        late.send(b"EHLO c.example\r\n")
        assert "250-SIZE 1000" in await late.reply()
        await early.close()
        await late.close()


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("few_descriptors")
async def test_running_out_of_descriptors_pauses_accepting() -> None:
    async with running() as server:
        sock = socket.create_connection(("127.0.0.1", server.port))
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        with capture_logs() as logs:
            resource.setrlimit(resource.RLIMIT_NOFILE, (sock.fileno() + 1, hard))
            async with asyncio.timeout(10):
                while not logs:  # noqa: ASYNC110
                    await asyncio.sleep(0)
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        assert logs[0]["event"] == "accept_paused"
        client = Client(*await asyncio.open_connection(sock=sock))
        assert (await client.reply())[0].startswith("220 ")
        await client.close()


async def test_implicit_tls_needs_a_context() -> None:
    settings = ListenerSettings(address="127.0.0.1:465", kind="submission", tls="implicit")
    with pytest.raises(ValueError, match="TLS context"):
        listen([], Service(HOSTNAME, settings, make_limits(), FakeDoor))


async def test_a_failed_handshake_is_forgotten() -> None:
    async with running(context=server_context(), tls="implicit") as server:
        client = await Client.connect("127.0.0.1", server.port)
        client.send(b"EHLO plain.example\r\n" * 3)
        while await client.reader.read(100):
            pass
        await client.close()
        async with asyncio.timeout(10):
            while server.listener.sessions:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert (server.door.arrived, server.door.present) == (1, 0)


async def test_no_argument_and_no_content_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    secrets = ("geheim", "jan@example.org", "piet", "onderwerp")
    with capture_logs() as logs:
        for failing in ("mail", "recipient", "receive", "commit", "nothing"):
            async with running(FakeDoor(failing={failing})) as server:
                client = await Client.connect("127.0.0.1", server.port)
                await client.reply()
                for line in (
                    "EHLO geheim.example",
                    "MAIL FROM:<jan@example.org> GEHEIM=1",
                    "MAIL FROM:<jan@example.org>",
                    "RCPT TO:<piet@geheim.example>",
                    "GEHEIM",
                    "DATA",
                    "Subject: onderwerp\r\n\r\ngeheim\r\n.",
                    "QUIT",
                ):
                    await client.say(line)
                await client.close()
    assert len(logs) == 4, "each defect is logged once"
    shown = caplog.text + repr([{key: value for key, value in event.items() if key != "exc_info"} for event in logs])
    assert not [secret for secret in secrets if secret in shown.lower()]
    assert structlog.get_config()["processors"]
