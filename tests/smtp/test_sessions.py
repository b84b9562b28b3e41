"""Sessions with a scripted door: who leaves when, what is finished, what is forgotten."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relayd.mail.address import NULL_SENDER
from relayd.mail.envelope import BodyType, Notify, Ret
from relayd.mail.reply import Reply
from tests.kit.smtp_dialogue import Client
from tests.kit.smtp_door import FakeDoor, Server, make_limits, running
from tests.kit.smtp_tls import authority, client_context, server_context

MESSAGE = b"Subject: x\r\n\r\n..dot\r\n.\r\n"
BODY = b"Subject: x\r\n\r\n.dot\r\n"


async def greeted(port: int, context: ssl.SSLContext | None = None) -> Client:
    client = await Client.connect("127.0.0.1", port, context)
    assert (await client.reply())[0].startswith("220 ")
    assert (await client.say("EHLO client.example")).startswith("250 ")
    return client


async def gone(server: Server) -> None:
    """Until the server has forgotten every session."""
    async with asyncio.timeout(10):
        while server.listener.sessions:  # noqa: ASYNC110
            await asyncio.sleep(0)


STEPS = [
    b"EHLO c\r\n",
    b"MAIL FROM:<a@b.example>\r\n",
    b"RCPT TO:<c@d.example>\r\n",
    b"DATA\r\n",
    b"Subject: x\r\n\r\nhal",
]


@pytest.mark.parametrize("abrupt", [False, True])
@pytest.mark.parametrize("steps", range(len(STEPS) + 1))
async def test_a_client_that_vanishes_leaves_nothing_behind(steps: int, abrupt: bool) -> None:
    async with running() as server:
        client = await Client.connect("127.0.0.1", server.port)
        await client.reply()
        for step in STEPS[:steps]:
            client.send(step)
            if step.endswith(b"\r\n"):
                await client.reply()
        if abrupt:
            client.writer.transport.abort()
        else:
            await client.close()
        await gone(server)
        assert server.door.present == 0
        for taken in server.door.taken:
            assert (taken.committed, taken.abandoned) == (0, 1)
            assert taken.receiving is None or taken.receiving.discarded


async def test_a_client_that_leaves_does_not_cancel_a_commit() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        entered.set()
        await leave.wait()

    async with running(FakeDoor(hold=hold)) as server:
        client = await greeted(server.port)
        client.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n")
        for _ in range(3):
            await client.reply()
        client.send(MESSAGE)
        await entered.wait()
        client.writer.transport.abort()
        closing = asyncio.ensure_future(server.listener.close())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not closing.done(), "closing waits for the commit"
        leave.set()
        await closing
        [taken] = server.door.taken
        assert (taken.committed, taken.abandoned, taken.body) == (1, 0, BODY)


async def test_the_envelope_is_handed_over_as_sent() -> None:
    async with running() as server:
        client = await greeted(server.port)
        await client.say("MAIL FROM:<Jan@Example.ORG> SIZE=20 BODY=8BITMIME RET=HDRS ENVID=A+2Bb AUTH=<>")
        await client.say("RCPT TO:<Piet@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;P+2Biet@example.net")
        await client.say("RCPT TO:<kees@example.net> NOTIFY=NEVER")
        await client.say("DATA")
        client.send(MESSAGE)
        await client.reply()
        await client.say("MAIL FROM:<>")
        [taken, report] = server.door.taken
        envelope = taken.envelope
        assert (str(envelope.sender), envelope.size, envelope.body) == ("Jan@example.org", 20, BodyType.EIGHT_BIT_MIME)
        assert (envelope.ret, envelope.envid, envelope.auth) == (Ret.HEADERS, "A+2Bb", "<>")
        piet, kees = envelope.recipients
        assert (piet.notify, piet.orcpt) == ({Notify.SUCCESS, Notify.DELAY}, "rfc822;P+2Biet@example.net")
        assert kees.notify == {Notify.NEVER}
        assert report.envelope.sender is NULL_SENDER
        assert taken.body == BODY
        await client.close()


@pytest.mark.parametrize(
    ("call", "line"),
    [("mail", "MAIL FROM:<a@b.example>"), ("recipient", "RCPT TO:<c@d.example>"), ("receive", "DATA"), ("commit", ".")],
)
async def test_a_defect_behind_the_door_is_temporary_and_silent(call: str, line: str) -> None:
    async with running(FakeDoor(failing={call})) as server:
        client = await greeted(server.port)
        reply = ""
        for said in ("MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "DATA", "."):
            reply = await client.say(said)
            if said == line:
                break
        assert reply.startswith("451 4.3.0 ")
        assert "ref " in reply
        assert "secret" not in reply
        assert "Error" not in reply
        assert (await client.say("NOOP")).startswith("250 2.0.0")
        await client.close()


async def test_a_defect_at_the_first_chunk_stays_in_step() -> None:
    async with running(FakeDoor(failing={"receive"})) as server:
        client = await greeted(server.port)
        await client.say("MAIL FROM:<a@b.example>")
        await client.say("RCPT TO:<c@d.example>")
        client.send(b"BDAT 6 LAST\r\nQUIT\r\n")
        assert (await client.reply())[0].startswith("451 4.3.0 ")
        assert (await client.say("NOOP")).startswith("250 2.0.0")
        await client.close()


async def test_the_door_may_refuse_a_connection() -> None:
    async with running(FakeDoor(greeting=Reply(421, "4.7.0", "Too many connections"))) as server:
        client = await Client.connect("127.0.0.1", server.port)
        assert await client.reply() == ["421 4.7.0 Too many connections"]
        assert await client.reply() == []
        await client.close()
    assert server.door.present == 0


async def test_silence_ends_a_session() -> None:
    async with running(limits=make_limits(idle="1s")) as server:
        client = await greeted(server.port)
        await client.say("MAIL FROM:<a@b.example>")
        assert (await client.reply())[0].startswith("421 4.4.2")
        assert await client.reply() == []
        await client.close()
        await gone(server)
        assert server.door.taken[0].abandoned == 1


async def test_the_time_the_door_takes_is_not_silence() -> None:
    async def slow() -> None:
        await asyncio.sleep(1.5)

    async with running(FakeDoor(hold=slow), limits=make_limits(idle="1s")) as server:
        client = await greeted(server.port)
        for line in ("MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "DATA"):
            await client.say(line)
        client.send(MESSAGE)
        assert (await client.reply())[0].startswith("250 2.0.0")
        await client.close()


async def test_draining_sends_idle_sessions_away_and_lets_a_transaction_finish() -> None:
    async with running() as server:
        idle, busy = await greeted(server.port), await greeted(server.port)
        await busy.say("MAIL FROM:<a@b.example>")
        draining = asyncio.ensure_future(server.listener.drain(20))
        assert (await idle.reply())[0].startswith("421 4.3.2")
        await busy.say("RCPT TO:<c@d.example>")
        await busy.say("DATA")
        busy.send(MESSAGE)
        assert (await busy.reply())[0].startswith("250 2.0.0")
        assert (await busy.reply())[0].startswith("421 4.3.2")
        await draining
        assert server.listener.sessions == 0
        await idle.close()
        await busy.close()


async def test_a_drain_cuts_what_does_not_finish() -> None:
    async with running() as server:
        client = await greeted(server.port)
        await client.say("MAIL FROM:<a@b.example>")
        await server.listener.drain(0.05)
        assert server.door.taken[0].abandoned == 1
        assert await client.reply() == []
        await client.close()


async def test_a_half_closed_connection_still_gets_its_replies() -> None:
    async with running() as server:
        client = await greeted(server.port)
        client.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nBDAT 20 LAST\r\n" + BODY[:18] + b"\r\n")
        client.writer.write_eof()
        replies = [(await client.reply())[0][:3] for _ in range(3)]
        assert replies == ["250", "250", "250"]
        assert await client.reply() == []
        await client.close()


async def test_a_stolen_handshake_ends_the_session() -> None:
    async with running(context=server_context()) as server:
        client = await greeted(server.port)
        assert (await client.say("STARTTLS")).startswith("220 ")
        client.send(b"EHLO attacker.example\r\n" * 3)
        assert await client.reader.read() not in (b"250",)
        await client.close()
        await gone(server)


async def test_nothing_sent_before_tls_is_answered_inside_it() -> None:
    async with running(context=server_context()) as server:
        client = await greeted(server.port)
        client.send(b"STARTTLS\r\n")
        await client.reply()
        await client.start_tls(client_context())
        client.send(b"NOOP\r\n")
        assert [line[:9] for line in await client.reply()] == ["250 2.0.0"]
        assert (await client.say("MAIL FROM:<a@b.example>")).startswith("503 5.5.1")
        await client.close()


async def test_tls_facts_name_the_client_certificate() -> None:
    context = server_context(ask_for_certificate=True)
    leaf = authority().issue_cert("mail.customer.example")
    async with running(context=context, tls="implicit") as server:
        client = await greeted(server.port, client_context(leaf))
        await client.say("MAIL FROM:<a@b.example>")
        facts = server.door.taken[0].peer.tls
        assert facts is not None
        assert facts.verified
        assert facts.names == ("mail.customer.example",)
        assert len(facts.spki_sha256 or "") == 64
        assert facts.version == "TLSv1.3"
        await client.close()


SESSION = (
    b"EHLO c.example\r\n",
    b"MAIL FROM:<a@b.example>\r\nRCPT TO:<no@d.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n",
    MESSAGE
    + b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nBDAT 20\r\n"
    + BODY
    + b"BDAT 2 LAST\r\n\r\nQUIT\r\n",
)
CODES = ["220", "250", "250", "550", "250", "354", "250", "250", "250", "250", "250", "221"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(1, 250), max_size=8), min_size=3, max_size=3))
async def test_every_split_of_the_stream_gives_the_same_result(cuts: list[list[int]]) -> None:
    async with running() as server:
        client = await Client.connect("127.0.0.1", server.port)
        codes = [(await client.reply())[0][:3]]
        for group, borders, expected in zip(SESSION, cuts, (1, 4, 6), strict=True):
            start = 0
            for border in [*sorted(border for border in borders if border < len(group)), len(group)]:
                client.send(group[start:border])
                start = border
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            codes += [(await client.reply())[0][:3] for _ in range(expected)]
        assert codes == CODES
        assert [taken.body for taken in server.door.messages] == [BODY, BODY + b"\r\n"]
        await client.close()
