"""Commands that somebody slips in: before and behind STARTTLS, within AUTH, in arguments, in other letters."""

from __future__ import annotations

import base64
import socket
import ssl

import pytest

from relayd.errors import SyntaxInvalid
from relayd.mail.envelope import Notify
from relayd.mail.parameters import parse_mail_parameters, parse_rcpt_parameters
from tests.kit.smtp_dialogue import Client
from tests.kit.smtp_door import PASSWORD, USERNAME, running
from tests.kit.smtp_tls import client_context, server_context

SLIPPED = [
    b"N",
    b"\r\n",
    b"NOOP\r\n",
    b"MAIL FROM:<attacker@b.example>\r\nRCPT TO:<c@d.example>\r\n",
    b"EHLO attacker.example\r\n" * 20,
    b"\x16\x03\x01\x02\x00\x01",
]


async def greeted(port: int, context: ssl.SSLContext | None = None) -> Client:
    client = await Client.connect("127.0.0.1", port, context)
    await client.reply()
    await client.say("EHLO c.example")
    return client


@pytest.mark.parametrize("slipped", SLIPPED)
async def test_what_comes_with_starttls_ends_the_session(slipped: bytes) -> None:
    async with running(context=server_context()) as server:
        client = await greeted(server.port)
        client.send(b"STARTTLS\r\n" + slipped)
        assert (await client.reply())[0].startswith("503 5.5.0 ")
        assert await client.reply() == []
        assert server.door.taken == []
        await client.close()


@pytest.mark.parametrize("slipped", [octets for octets in SLIPPED if not octets.startswith(b"\x16")])
async def test_what_comes_in_the_clear_before_the_handshake_is_never_a_command(slipped: bytes) -> None:
    async with running(context=server_context()) as server:
        client = await greeted(server.port)
        client.send(b"STARTTLS\r\n")
        assert (await client.reply())[0].startswith("220 ")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        client.send(slipped + outgoing.read())
        said = await client.reader.read()
        assert not said.startswith(b"2")
        assert server.door.taken == []
        await client.close()


async def test_what_was_known_before_tls_is_forgotten() -> None:
    """RFC 3207 §4.2: EHLO, and a transaction that an attacker began for his victim."""
    async with running(context=server_context()) as server:
        client = await greeted(server.port)
        client.send(b"MAIL FROM:<attacker@b.example>\r\nRCPT TO:<c@d.example>\r\nSTARTTLS\r\n")
        for _ in range(3):
            await client.reply()
        await client.start_tls(client_context())
        assert (await client.say("DATA")).startswith("503 5.5.1 ")
        assert (await client.say("MAIL FROM:<a@b.example>")).startswith("503 5.5.1 ")
        assert [taken.abandoned for taken in server.door.taken] == [1]
        await client.close()


RIGHT = base64.b64encode(f"\0{USERNAME}\0{PASSWORD}".encode())


@pytest.mark.parametrize(
    ("response", "reply"),
    [
        (b"QUIT", "501 5.5.2"),
        (b"MAIL FROM:<a@b.example>", "501 5.5.2"),
        (b"*", "501 5.7.0"),
        (b"* ", "501 5.5.2"),
        (RIGHT + b" ", "501 5.5.2"),
        (RIGHT[:8] + b" " + RIGHT[8:], "501 5.5.2"),
        (b" " + RIGHT, "501 5.5.2"),
        (b"\xff" + RIGHT, "501 5.5.2"),
        (b"", "501 5.5.2"),
        (base64.b64encode(f"root\0{USERNAME}\0{PASSWORD}".encode()), "535 5.7.8"),
        (base64.b64encode(f"\0{USERNAME}\0{PASSWORD}\0".encode()), "501 5.5.2"),
        (base64.b64encode(f"\0{USERNAME}\r\n\0{PASSWORD}".encode()), "535 5.7.8"),
        (base64.b64encode(b"\0\xff\0\xff"), "501 5.5.2"),
    ],
)
async def test_an_answer_to_a_challenge_is_an_answer_and_nothing_else(response: bytes, reply: str) -> None:
    async with running(context=server_context(), tls="implicit") as server:
        client = await greeted(server.port, client_context())
        assert (await client.say("AUTH PLAIN")).startswith("334")
        assert (await client.say(response)).startswith(reply)
        assert (await client.say("NOOP")) == "250 2.0.0 OK"
        assert (await client.say("MAIL FROM:<a@b.example>")).startswith("250 ")
        assert server.door.taken[0].peer.account is None
        await client.close()


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\0\r\n"])
async def test_an_answer_that_is_no_clean_line_ends_the_session(end: bytes) -> None:
    async with running(context=server_context(), tls="implicit") as server:
        client = await greeted(server.port, client_context())
        assert (await client.say("AUTH PLAIN")).startswith("334")
        client.send(RIGHT + end + b"MAIL FROM:<a@b.example>\r\n")
        assert (await client.reply())[0].startswith("500 5.5.2 ")
        assert await client.reply() == []
        assert server.door.taken == []
        await client.close()


async def test_nothing_may_follow_auth_at_once() -> None:
    async with running(context=server_context(), tls="implicit") as server:
        client = await greeted(server.port, client_context())
        client.send(b"AUTH PLAIN\r\n" + RIGHT + b"\r\nMAIL FROM:<a@b.example>\r\n")
        assert (await client.reply())[0].startswith("503 5.5.0 ")
        assert await client.reply() == []
        await client.close()


@pytest.mark.parametrize("verb", ["DATA", "EHLO a.example", "HELO a.example", "AUTH PLAIN", "STARTTLS"])
async def test_commands_that_end_a_group_take_nothing_behind_them(verb: str) -> None:
    """RFC 2920 §3.1. What follows DATA at once was written by somebody who didn't wait to see whether it is wanted."""
    async with running(context=server_context()) as server:
        client = await greeted(server.port)
        await client.say("MAIL FROM:<a@b.example>")
        await client.say("RCPT TO:<c@d.example>")
        client.send(f"{verb}\r\nSubject: x\r\n\r\nx\r\n.\r\n".encode())
        assert (await client.reply())[0].startswith("503 5.5.0 ")
        assert await client.reply() == []
        assert server.door.messages == []
        await client.close()


#: Letters that upper() turns into those of a command. A filter in front of us doesn't know them for it.
@pytest.mark.parametrize(
    "line",
    ["QU\u0131T", "\u017fTARTTLS", "R\u017fET", "EHLO a\u017fb", "AUTH PLA\u0131N ="],
)
async def test_a_command_in_other_letters_is_none(line: str) -> None:
    async with running(context=server_context(), tls="implicit") as server:
        client = await greeted(server.port, client_context())
        assert (await client.say(line)).startswith(("500 5.5.2", "501 5.5.4", "504 5.5.4"))
        assert await client.say("NOOP") == "250 2.0.0 OK"
        await client.close()


@pytest.mark.parametrize(
    "argument", ["5 LA\u017fT", "\u0665 LAST", "5 LAST x", "5,LAST", "-5", "0x5", "5 LAST\t", "+5"]
)
async def test_a_chunk_whose_length_two_programs_could_read_differently_ends_the_session(argument: str) -> None:
    async with running() as server:
        client = await greeted(server.port)
        await client.say("MAIL FROM:<a@b.example>")
        await client.say("RCPT TO:<c@d.example>")
        client.send(f"BDAT {argument}\r\nxxx\r\nRSET\r\n".encode())
        first = (await client.reply())[0]
        if argument == "5 LAST\t":  # white space at a line's end is nothing
            assert first.startswith("250 ")
        else:
            assert first.startswith(("500 5.5.2", "501 5.5.4"))
            assert server.door.messages == []
        await client.close()


@pytest.mark.parametrize("text", ["RET=HDR\u017f", "BODY=8B\u0131TMIME", "\u017fIZE=1", "SIZE=\u0661", "ENVID=\u00e9"])
def test_parameters_of_mail_in_other_letters_are_none(text: str) -> None:
    with pytest.raises(SyntaxInvalid):
        parse_mail_parameters(text)


def test_parameters_of_rcpt_in_other_letters_are_none() -> None:
    with pytest.raises(SyntaxInvalid):
        parse_rcpt_parameters("NOTIFY=\u017fUCCE\u017f\u017f")
    assert parse_rcpt_parameters("notify=success").notify == {Notify.SUCCESS}


@pytest.mark.parametrize(
    "name", ["a b", "a\tb", "(x)", "<x>", "a;b", "a,b", '"a"', "a@b", "\u00e9.example", "a\x1bb", "a" * 256, "a(b", "="]
)
@pytest.mark.parametrize("verb", ["EHLO", "HELO"])
async def test_a_greeting_holds_nothing_that_a_trace_could_take_for_more(verb: str, name: str) -> None:
    """RFC 5321 §4.4: it ends up in Received, before a comment that we write and others believe."""
    async with running() as server:
        client = await greeted(server.port)
        assert (await client.say(f"{verb} {name}")).startswith(("501 5.5.4", "500 5.5.2"))
        await client.close()


async def test_octets_out_of_band_are_no_way_around() -> None:
    """Urgent data (RFC 9293 §3.8.5) isn't part of the stream here: between CR and LF of an end it changes nothing."""
    async with running() as server:
        client = await greeted(server.port)
        await client.say("MAIL FROM:<a@b.example>")
        await client.say("RCPT TO:<c@d.example>")
        await client.say("DATA")
        sock: socket.socket = client.writer.get_extra_info("socket")
        client.send(b"A: b\r\n\r\nx\r\n.\r")
        await client.writer.drain()
        sock._sock.send(b"!", socket.MSG_OOB)  # type: ignore[attr-defined]
        client.send(b"\n")
        assert (await client.reply())[0].startswith("250 ")
        assert [taken.body for taken in server.door.messages] == [b"A: b\r\n\r\nx\r\n"]
        await client.close()
