"""A next hop that is the attacker: whatever it says, the outcome is one, and its words stay words."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.delivery.client import Hop, HopUnavailable, Timeouts
from relayd.delivery.pool import Pool
from relayd.delivery.relay import Sending, send_through
from relayd.dns.resolver import DnsResolver
from relayd.mail.dsn import Action, ReportedRecipient, ReportRequest, build_report
from relayd.mail.path import parse_forward_path
from relayd.queue.outcome import Job, Outcome, Result
from relayd.tls.contexts import ClientTls
from relayd.tls.demand import Security, TlsDemand
from tests.kit.jobs import make_delivery, make_job, make_message
from tests.kit.peer import Peer, Script

QUICK = Timeouts(connect=5, greeting=2, command=2, data=2, block=2, final_dot=2)


@asynccontextmanager
async def towards(script: Script) -> AsyncIterator[tuple[Pool, Hop, Peer]]:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/peer"
        hop = Hop("peer.example", 25, TlsDemand(Security.OFFERED), socket_path=path)
        pool = Pool("relay.example", ClientTls(), DnsResolver(), per_hop=2, total=2, idle=30.0, timeouts=QUICK)
        async with Peer(script, path=path) as peer:
            try:
                yield pool, hop, peer
            finally:
                await pool.close()


async def outcome(script: Script, job: Job | None = None) -> Outcome:
    async with towards(script) as (pool, hop, _):
        sending = Sending(job or make_job())
        try:
            await send_through(pool, hop, sending)
        except HopUnavailable as error:
            sending.unreached(Result.DEFERRED, error.status, error.reply, error.remote)
        return sending.outcomes()[0]


@pytest.mark.parametrize("number", ["²", "٣", "-1", "0", "", "9" * 21, "9" * 5000, "1e9", "0x10"])
@pytest.mark.parametrize("extension", ["SIZE ", "LIMITS RCPTMAX=", "LIMITS X RCPTMAX="])
async def test_announcements_that_are_no_numbers_are_no_limits(extension: str, number: str) -> None:
    taken = await outcome(Script((extension + number,), starttls=False))
    assert (taken.result, taken.reply) == (Result.RELAYED, "250 2.0.0 taken")


#: An escape sequence for somebody's terminal, line ends within a line, other controls, right-to-left, half a character.
NASTY = "\x1b[31m\r\x00\x85\u202e\u2028 550 \x07"


@pytest.mark.parametrize("verb", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA", "DOT", "RSET", "QUIT"])
@pytest.mark.parametrize("code", [250, 354, 421, 451, 552, 554])
async def test_no_word_of_a_peer_reaches_a_journal_or_a_report_unprintable(verb: str, code: int) -> None:
    replies: dict[str, str | list[str]] = {verb: f"{code}-first {NASTY}\r\n{code} X-Injected: {NASTY}{'long' * 500}"}
    if verb == "EHLO":
        replies["HELO"] = replies["EHLO"]
    said = await outcome(Script(starttls=False, replies=replies))
    assert said.reply.isprintable()
    assert len(said.reply) <= 500
    report = build_report(
        ReportRequest(
            id="1",
            hostname="mx.example",
            sender="postmaster@mx.example",
            to="a@b.example",
            recipients=(ReportedRecipient("c@d.example", Action.FAILED, said.status, None, said.remote, said.reply),),
            arrived=0.0,
            now=1.0,
            head=b"A: b\r\n",
        )
    )
    assert b"\r\nX-Injected" not in report
    assert max(map(len, report.split(b"\r\n"))) < 998


#: Any reply line that RFC 5321 doesn't know, mixed with ones it does.
REPLIES = st.one_of(
    st.sampled_from(
        ["250 ok", "354 go", "421 bye", "450 later", "550 no", "250-more\r\n250 ok", "000 x", "2500 x", "25"]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=40),
    st.builds("{} {}".format, st.integers(200, 599), st.text(st.characters(codec="utf-8"), max_size=20)),
)
VERBS = st.sampled_from(["GREETING", "EHLO", "HELO", "MAIL", "RCPT", "DATA", "DOT", "RSET"])


@settings(max_examples=150)
@given(
    st.dictionaries(VERBS, REPLIES, max_size=4),
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=30), max_size=4),
)
async def test_any_dialogue_ends_in_one_outcome(replies: dict[str, str], extensions: list[str]) -> None:
    said = await outcome(Script(tuple(extensions), starttls=False, replies=dict(replies)))
    assert said.reply.isprintable()
    if said.result in (Result.DELIVERED, Result.RELAYED):
        assert said.reply.startswith("2")


@pytest.mark.parametrize("character", ["\u00a0", "\u00ad", "\u200b", "\u202e", "\ue000", "\u0378", "\U000e0001"])
async def test_an_address_that_the_door_accepts_also_leaves(character: str) -> None:
    """RFC 6531 §3.3 allows them all; one that could only come in would be tried for days, and for nothing."""
    address, _ = parse_forward_path(f"<a{character}b@partner.example>", smtputf8=True, hostname="mx.example")
    message = make_message(smtputf8=True)
    job = make_job(make_delivery(recipient=str(address)), message=message)
    assert (await outcome(Script(starttls=False), job)).result is Result.DELIVERED


@pytest.mark.parametrize("injected", ["\r\nRCPT TO:<x@y.example>", "\n", "\r", "\0", "\x1a", "\x7f"])
async def test_no_control_character_leaves_in_a_command(injected: str) -> None:
    """None can come in; should one all the same, the last place before the wire refuses to send it."""
    async with towards(Script(starttls=False)) as (pool, hop, peer):
        sending = Sending(make_job(make_delivery(recipient=f"a{injected}b@partner.example")))
        with pytest.raises(ValueError, match="control character"):
            await send_through(pool, hop, sending)
        assert [line for line in peer.commands if not line.startswith("EHLO")] == []
