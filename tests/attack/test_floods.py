"""Floods: of commands, recipients, headers, parts and announcements. What a connection may hold is bounded."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relayd.smtp import replies
from tests.kit.daemon import RelayProcess
from tests.kit.site import Site
from tests.kit.smtp_dialogue import Client
from tests.kit.smtp_door import make_limits, running
from tests.kit.wait import wait_for

KIB, MIB = 1 << 10, 1 << 20
HEAD = b"A: b\r\n\r\n"


async def greeted(port: int, *commands: str) -> Client:
    client = await Client.connect("127.0.0.1", port)
    await client.reply()
    for command in ("EHLO c.example", *commands):
        client.send(command.encode() + b"\r\n")
        await client.reply()
    return client


BEGUN = ("MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>")


async def test_a_mebibyte_of_commands_is_answered_up_to_the_limit() -> None:
    async with running(limits=make_limits(commands=5000)) as server:
        client = await greeted(server.port)
        client.send(b"NOOP\r\n" * (MIB // 6))
        answers = []
        while answer := await client.reply():
            answers.append(answer[0])
        # The kernel resets a connection that ends with input unread, and takes back what the client hasn't read yet.
        assert len(answers) <= 5000
        assert set(answers[:4999]) == {"250 2.0.0 OK"}
        assert set(answers[4999:]) <= {"421 4.7.0 Too many commands; closing"}
        await client.close()


async def test_a_mebibyte_of_nonsense_ends_with_its_errors() -> None:
    async with running(limits=make_limits(errors=10)) as server:
        client = await greeted(server.port)
        client.send(b"XYZZY\r\n" * (MIB // 7))
        answers = []
        while answer := await client.reply():
            answers.append(answer[0][:3])
        assert answers == (["500"] * 11 + ["421"])[: len(answers)]
        await client.close()


async def test_recipients_beyond_the_limit_wait_for_another_transaction() -> None:
    async with running(limits=make_limits(recipients=100)) as server:
        client = await greeted(server.port, BEGUN[0])
        client.send(b"".join(b"RCPT TO:<r%d@d.example>\r\n" % number for number in range(5000)))
        answers = [(await client.reply())[0][:9] for _ in range(5000)]
        assert answers == ["250 2.1.5"] * 100 + ["452 4.5.3"] * 4900
        client.send(b"DATA\r\n")
        await client.reply()
        client.send(HEAD + b"\r\n.\r\n")
        await client.reply()
        assert len(server.door.messages[0].envelope.recipients) == 100
        await client.close()


@pytest.mark.parametrize(
    ("head", "accepted"),
    [
        (b"X: y\r\n" * 3000, True),
        (b"X: y\r\n" * 4000, False),
        (b"X: " + b"y" * 19_000 + b"\r\n", True),
        (b"X: " + b"y" * 21_000 + b"\r\n", False),
        (b"X: y\r\n" + b" z\r\n" * 6000, False),
        (b"X" * 21_000 + b":\r\n", False),
    ],
    ids=["many", "too many", "long", "too long", "folded", "named"],
)
async def test_headers_have_a_limit_whatever_makes_them_large(head: bytes, accepted: bool) -> None:
    async with running(limits=make_limits(header_size=20_000)) as server:
        client = await greeted(server.port, *BEGUN, "DATA")
        client.send(head + b"\r\nbody\r\n.\r\n")
        expected = "250 2.0.0 Accepted as 1" if accepted else "552 5.3.4 " + replies.HEADER_TOO_LARGE.text
        assert await client.reply() == [expected]
        assert await client.say("NOOP") == "250 2.0.0 OK"
        await client.close()


@pytest.mark.parametrize(
    ("announced", "sent", "answer"), [(1, 5000, "250"), (10_000, 10, "250"), (1, 20_000, "552"), (10_001, 0, "552")]
)
async def test_an_announced_size_is_only_an_announcement(announced: int, sent: int, answer: str) -> None:
    """RFC 1870 §6: what counts is what comes."""
    async with running(limits=make_limits(message_size=10_000)) as server:
        client = await greeted(server.port)
        reply = await client.say(f"MAIL FROM:<a@b.example> SIZE={announced}")
        if announced <= 10_000:
            await client.say(BEGUN[1])
            await client.say("DATA")
            client.send(HEAD + b"x" * sent + b"\r\n.\r\n")
            reply = (await client.reply())[0]
        assert reply[:3] == answer
        assert await client.say("NOOP") == "250 2.0.0 OK"
        await client.close()


@pytest.mark.parametrize("length", [10_001, 2**31, 2**63, 10**20 - 1])
@pytest.mark.parametrize("begun", [True, False], ids=["in a transaction", "out of order"])
async def test_a_chunk_of_any_announced_length_is_read_only_so_far(length: int, begun: bool) -> None:
    async with running(limits=make_limits(message_size=10_000)) as server:
        client = await greeted(server.port, *(BEGUN if begun else ()))
        client.send(b"BDAT %d\r\n" % length)
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                client.send(b"x" * min(length, 10_000))
                await client.writer.drain()
        answer = await client.reply()
        if length > 10_001:
            # Nobody reads for ever to stay in step: the session ends.
            assert answer == [] or answer[0].startswith(("421 4.3.4", "503 5.5.1"))
        else:
            assert answer[0].startswith(("552 5.3.4", "503 5.5.1"))
        assert server.door.messages == []
        await client.close()


LONGEST_ENVID, LONGEST_ORCPT = "e" * 100, "rfc822;" + "o" * 493


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (f"MAIL FROM:<a@b.example> RET=FULL ENVID={LONGEST_ENVID}", "250"),
        (f"MAIL FROM:<a@b.example> RET=FULL ENVID={LONGEST_ENVID}e", "501"),
        (f"MAIL FROM:<a@b.example> ENVID={'+2B' * 34}", "501"),
        (f"MAIL FROM:<a@b.example>{' ' * 1990}", "250"),
        (f"MAIL FROM:<a@b.example>{' ' * 2050}", "500"),
        (f"RCPT TO:<c@d.example> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT={LONGEST_ORCPT}", "250"),
        (f"RCPT TO:<c@d.example> ORCPT={LONGEST_ORCPT}o", "501"),
        (f"RCPT TO:<c@d.example> NOTIFY={','.join(['SUCCESS'] * 200)}", "250"),
        (f"RCPT TO:<c@d.example> NOTIFY={','.join(['SUCCESS'] * 300)}", "500"),
        (f"RCPT TO:<c@d.example> ORCPT={'x' * 5000}", "500"),
        ("RCPT TO:<c@d.example> ORCPT=rfc822;a+0D+0AX-Injected:+20yes", "501"),
    ],
)
async def test_parameters_at_and_beyond_their_limits(line: str, code: str) -> None:
    """RFC 3461 §4.2, §4.4, §5.1."""
    async with running() as server:
        client = await greeted(server.port, *(BEGUN[:1] if line.startswith("RCPT") else ()))
        assert (await client.say(line))[:3] == code
        assert await client.say("NOOP") == "250 2.0.0 OK"
        await client.close()


# Memory: connections of the real daemon that each hold the most they may.


@pytest.fixture(scope="module")
def relayd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    site = Site(tmp_path_factory.mktemp("floods"))
    site.relayd |= {"workers": 1, "limits": {"connections_per_peer": 1000}}
    with RelayProcess(site) as relayd:
        yield relayd


class Holder:
    """A stranger's connection, without TLS: no buffers but relayd's."""

    def __init__(self, relayd: RelayProcess) -> None:
        self.socket = socket.create_connection(("127.0.0.1", relayd.site.relay_port))
        self._answers = self.socket.makefile("rb")
        self.answered(1)

    def say(self, octets: bytes, answers: int) -> None:
        self.socket.sendall(octets)
        self.answered(answers)

    def answered(self, count: int) -> None:
        for _ in range(count):
            while self._answers.readline()[3:4] == b"-":
                pass

    def begin(self) -> None:
        self.say(b"EHLO c.example\r\n", 1)
        self.say(b"MAIL FROM:<a@out.example>\r\nRCPT TO:<a@noord.example>\r\nDATA\r\n", 3)

    def close(self) -> None:
        self._answers.close()
        self.socket.close()


def half_a_line(holder: Holder) -> None:
    holder.socket.sendall(b"x" * 12_000)


def commands_without_reading(holder: Holder) -> None:
    """More input than is read, and replies that nobody takes."""
    holder.socket.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            holder.socket.send(b"HELP\r\n" * 20_000)


def half_a_header(holder: Holder) -> None:
    holder.begin()
    holder.socket.sendall(b"A: b\r\n" * (250 * KIB // 6))


def parts_without_end(holder: Holder) -> None:
    """As many parts and as long names as are kept, and as much content as stays in memory."""
    holder.begin()
    part = b'--b\r\nContent-Disposition: attachment; filename="%04d%b"\r\n\r\n'
    parts = b"".join(part % (number, b"n" * 110) for number in range(1990))
    holder.socket.sendall(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + parts)


def a_huge_chunk(holder: Holder) -> None:
    holder.say(b"EHLO c.example\r\n", 1)
    holder.say(b"MAIL FROM:<a@out.example>\r\nRCPT TO:<a@noord.example>\r\n", 2)
    holder.socket.sendall(b"BDAT 40000000\r\n" + HEAD + b"x" * 250 * KIB)


def dirty(relayd: RelayProcess) -> int:
    """Octets that are the worker's own."""
    pid = next(pid for pid, role in relayd.processes().items() if role == "worker-0")
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) * KIB for line in rollup.splitlines() if line.startswith("Private_Dirty:"))


@pytest.mark.behaviour
@pytest.mark.parametrize(
    ("hold", "connections", "most"),
    [
        (half_a_line, 200, 100 * KIB),
        (commands_without_reading, 50, 400 * KIB),
        (half_a_header, 200, 1 * MIB),
        (a_huge_chunk, 200, 1 * MIB),
        (parts_without_end, 50, 2 * MIB),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_connections_hold_no_more_than_their_share(
    relayd: RelayProcess, hold: Callable[[Holder], None], connections: int, most: int
) -> None:
    """And all of it is given back: the next flood begins where this one began."""
    try:
        before = dirty(relayd)
    except PermissionError:
        pytest.skip("only root reads the memory of a process that can't be dumped")
    holders = [Holder(relayd) for _ in range(connections)]
    for holder in holders:
        hold(holder)
    wait_until_read(relayd.site.relay_port)
    assert dirty(relayd) - before < connections * most
    for holder in holders:
        holder.close()
    wait_for(lambda: connect(relayd), "a place for another connection")


def wait_until_read(port: int) -> None:
    """Until the worker has read all that it is going to: what the kernel keeps for it stays the same for a while."""
    seen: list[int] = []

    def settled() -> bool:
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        seen.append(sum(int(row[4].partition(":")[2], 16) for row in rows if row[1].endswith(f":{port:04X}")))
        return len(seen) > 20 and len(set(seen[-20:])) == 1

    wait_for(settled, "the worker has read all")


def connect(relayd: RelayProcess) -> bool:
    with socket.create_connection(("127.0.0.1", relayd.site.relay_port)) as client:
        return client.recv(3) == b"220"
