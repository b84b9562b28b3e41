"""The store over its socket: the same answers, errors by name, and what happens when either side goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from relayd.errors import NotFound, StoreError, StoreUnavailable
from relayd.journal.event import Event
from relayd.store.client import StoreClient
from relayd.store.queue_commands import Chosen, Waiting
from relayd.store.records import Settlement, State
from relayd.store.server import SOCKET, StoreServer, serve
from relayd.store.sqlite import SqliteStore
from tests.store.rig import Rig

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def server(rig: Rig, store: SqliteStore) -> AsyncIterator[StoreServer]:
    server = await serve(store, rig.state / SOCKET)
    yield server
    await server.close()


@pytest.fixture
async def client(rig: Rig, server: StoreServer) -> AsyncIterator[StoreClient]:
    client = StoreClient(rig.state / SOCKET)
    yield client
    await client.close()


async def test_every_call_gives_what_the_store_itself_gives(rig: Rig, store: SqliteStore, client: StoreClient) -> None:
    now = rig.clock.now()
    new = await rig.message("a@clinic.example", "b@clinic.example")
    await client.accept(new)
    assert await client.heartbeat("w1", now, 30)
    assert await client.next_due(now) == now
    [claimed] = await client.claim("w1", now, 10, now + 600)
    assert claimed.message == await client.message(new.id) == await store.message(new.id)
    assert list(claimed.deliveries) == await client.deliveries(new.id)
    done = Settlement(
        message_id=new.id,
        number=0,
        generation=1,
        state=State.DELIVERED,
        events=(Event(now, "delivered", "a", {"n": 1}),),
    )
    assert await client.settle([done, done]) == [True, False]
    assert await client.journal(new.id) == await store.journal(new.id)
    assert await client.free("w1") == 1
    assert await client.next_due(now) == now + 600


async def test_operations_get_and_give_their_own_types(rig: Rig, store: SqliteStore, client: StoreClient) -> None:
    await client.accept(await rig.message())
    [waiting] = await client.call("queue_list", chosen=Chosen(domain="clinic.example"))
    assert isinstance(waiting, Waiting)
    assert waiting.delivery.state is State.QUEUED


async def test_errors_keep_their_names(rig: Rig, client: StoreClient) -> None:
    with pytest.raises(NotFound, match="no message"):
        await client.message("0000000000000000")
    with pytest.raises(NotFound):
        await client.call("no_such_operation")
    with pytest.raises(StoreError):
        await client.call("queue_list", wrong="argument")
    rig.disk.broken = {"free"}
    rig.clock.turn(2)
    with pytest.raises(StoreUnavailable):
        await client.claim("w1", 0, 1, 0)


async def test_many_requests_at_once_each_get_their_own_answer(rig: Rig, client: StoreClient) -> None:
    messages = [await rig.message(f"r{number}@clinic.example") for number in range(200)]
    await asyncio.gather(*[client.accept(message) for message in messages])
    found = await asyncio.gather(*[client.deliveries(message.id) for message in messages])
    assert [one.recipient for [one] in found] == [f"r{number}@clinic.example" for number in range(200)]


async def test_a_large_answer_arrives_whole(rig: Rig, client: StoreClient) -> None:
    new = await rig.message(*[f"r{number}@clinic.example" for number in range(3000)])
    await client.accept(new)
    assert len(await client.deliveries(new.id)) == 3000


async def test_without_a_store_process_everything_is_unavailable_and_then_works_by_itself(rig: Rig) -> None:
    client = StoreClient(rig.state / SOCKET)
    new = await rig.message()
    with pytest.raises(StoreUnavailable):
        await client.accept(new)
    store = await rig.open()
    server = await serve(store, rig.state / SOCKET)
    await client.accept(new)
    await server.close()
    with pytest.raises(StoreUnavailable):
        await client.accept(new)
    server = await serve(store, rig.state / SOCKET)
    await client.accept(new)
    assert (await client.message(new.id)).id == new.id
    await client.close()
    await server.close()
    await store.close()


async def test_what_was_in_flight_when_the_store_went_away_is_unavailable(rig: Rig, client: StoreClient) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.close()

    path = rig.state / "deaf.sock"
    listener = await asyncio.start_unix_server(deaf, path)
    lonely = StoreClient(path)
    with pytest.raises(StoreUnavailable):
        await lonely.next_due(0)
    await lonely.close()
    listener.close()
    await listener.wait_closed()


@pytest.mark.parametrize("octets", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x01\xc1", b"\x00\x00\x00\x02\x91\x01"])
async def test_a_confused_client_is_dropped_and_the_others_stay(rig: Rig, client: StoreClient, octets: bytes) -> None:
    await client.connect()
    reader, writer = await asyncio.open_unix_connection(rig.state / SOCKET)
    writer.write(octets)
    assert await reader.read() == b""
    writer.close()
    await client.next_due(0)


async def test_the_socket_is_ours_alone(rig: Rig, server: StoreServer) -> None:
    assert (rig.state / SOCKET).stat().st_mode & 0o777 == 0o600


async def test_windows_are_one_for_all_clients(rig: Rig, client: StoreClient) -> None:
    other = StoreClient(rig.state / SOCKET)
    assert await client.count_unique("m", ["a", "b"], MINUTE) == 2
    assert await other.count_unique("m", ["b", "c"], MINUTE) == 3
    assert await client.take("auth", 2, 3, MINUTE)
    assert not await other.take("auth", 2, 3, MINUTE)
    assert await other.take("auth", 1, 3, MINUTE)
    rig.clock.turn(60)
    assert await other.count_unique("m", ["d"], MINUTE) == 1
    assert await client.take("auth", 3, 3, MINUTE)
    await other.close()
