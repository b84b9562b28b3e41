"""Hosted mail: LMTP against a scripted peer, and files that are complete or absent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relayd.clock import SystemClock
from relayd.delivery.client import Timeouts
from relayd.delivery.folder import FolderRoute
from relayd.delivery.mailbox import LmtpRoute, MaildirRoute
from relayd.delivery.pool import Pool
from relayd.delivery.routes import lmtp_hop
from relayd.dns.resolver import DnsResolver
from relayd.queue.outcome import Outcome, Result
from relayd.tls.contexts import ClientTls
from relayd.tls.demand import Security
from tests.kit.jobs import CONTENT, Blocks, make_delivery, make_job
from tests.kit.peer import DROP, HANG, Peer, Script

ACCOUNTS = {f"{name}@hosted.example": f"{name}@hosted.example" for name in ("a", "b", "c")}
ACCOUNTS["alias@hosted.example"] = "a@hosted.example"


def recipients(*names: str) -> list[object]:
    return [make_delivery(n, f"{name}@hosted.example", route="mailbox", target="box") for n, name in enumerate(names)]


def everything_in(folder: Path) -> list[Path]:
    return list(folder.rglob("*"))


def summary(outcomes: list[Outcome]) -> list[tuple[Result, str]]:
    return [(outcome.result, outcome.status) for outcome in outcomes]


async def through_lmtp(path: Path, script: Script, *names: str, patience: float = 5.0) -> tuple[Peer, list[Outcome]]:
    timeouts = Timeouts(patience, patience, patience, patience, patience, patience)
    pool = Pool("relay.example", ClientTls(), DnsResolver(), per_hop=2, total=4, idle=30, timeouts=timeouts)
    route = LmtpRoute(lmtp_hop(f"unix:{path}"), pool, ACCOUNTS.get)
    async with Peer(script, path=str(path)) as peer:
        outcomes = await route.deliver(make_job(*recipients(*names)))  # type: ignore[arg-type]
        await route.close()
    return peer, outcomes


OK = (Result.DELIVERED, "2.0.0")


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()], ids=["pipelining", "lockstep"])
@pytest.mark.parametrize(
    ("script", "names", "expected"),
    [
        ({}, ["a"], [OK]),
        ({}, ["alias"], [OK]),
        ({}, ["nobody"], [(Result.FAILED, "5.1.1")]),
        ({}, ["nobody", "b"], [(Result.FAILED, "5.1.1"), OK]),
        (
            {"dots": {"b@hosted.example": "452 4.2.2 full"}},
            ["a", "b", "c"],
            [OK, (Result.DEFERRED, "4.2.2"), OK],
        ),
        (
            {"recipients": {"a@hosted.example": "550 5.1.1 gone"}, "dots": {"b@hosted.example": "554 5.7.1 no"}},
            ["a", "b", "c"],
            [(Result.FAILED, "5.1.1"), (Result.FAILED, "5.7.1"), OK],
        ),
        (
            {"dots": {"b@hosted.example": DROP}},
            ["a", "b", "c"],
            [OK, (Result.AMBIGUOUS, "4.4.2"), (Result.AMBIGUOUS, "4.4.2")],
        ),
        ({"replies": {"GREETING": "421 4.3.2 busy"}}, ["a"], [(Result.DEFERRED, "4.3.2")]),
        ({"replies": {"DATA": DROP}}, ["a", "b"], [(Result.DEFERRED, "4.4.2")] * 2),
    ],
    ids=str,
)
async def test_each_recipient_has_a_reply_of_its_own(
    tmp_path: Path, extensions: tuple[str, ...], script: dict, names: list[str], expected: list
) -> None:
    peer, outcomes = await through_lmtp(
        tmp_path / "lmtp", Script(lmtp=True, starttls=False, extensions=extensions, **script), *names
    )
    assert summary(outcomes) == expected
    assert [o.number for o in outcomes] == list(range(len(names)))
    assert all(m.content == CONTENT for m in peer.received)
    assert not any("alias" in rcpt for m in peer.received for rcpt in m.rcpts)


async def test_lmtp_that_hangs_or_is_away_defers(tmp_path: Path) -> None:
    script = Script(lmtp=True, replies={"MAIL": HANG})
    _, outcomes = await through_lmtp(tmp_path / "lmtp", script, "a", patience=0.3)
    assert summary(outcomes) == [(Result.DEFERRED, "4.4.2")]
    pool = Pool("relay.example", ClientTls(), DnsResolver(), per_hop=2, total=4, idle=30)
    route = LmtpRoute(lmtp_hop(f"unix:{tmp_path / 'absent'}"), pool, ACCOUNTS.get)
    assert summary(await route.deliver(make_job(*recipients("a")))) == [(Result.DEFERRED, "4.4.1")]  # type: ignore[arg-type]


def test_lmtp_leaves_the_machine_only_over_proven_tls() -> None:
    assert lmtp_hop("127.0.0.1:24").demand.security is Security.OFFERED
    assert lmtp_hop("[::1]:24").demand.security is Security.OFFERED
    assert lmtp_hop("mail.example:24").demand.security is Security.VERIFIED
    assert lmtp_hop("mail.example:24").demand.names == ("mail.example",)


async def test_a_maildir_gets_one_complete_file_per_account(tmp_path: Path) -> None:
    route = MaildirRoute(tmp_path, ACCOUNTS.get, SystemClock(), "relay.example")
    outcomes = await route.deliver(make_job(*recipients("a", "nobody", "b")))  # type: ignore[arg-type]
    assert summary(outcomes) == [OK, (Result.FAILED, "5.1.1"), OK]
    for account in ("a@hosted.example", "b@hosted.example"):
        files = list((tmp_path / account / "new").iterdir())
        assert [file.read_bytes() for file in files] == [b"Return-Path: <a@hospital.example>\r\n" + CONTENT]
        assert files[0].stat().st_mode & 0o077 == 0
        assert list((tmp_path / account / "tmp").iterdir()) == []


@pytest.mark.parametrize("account", ["../outside", "/etc/x", ".hidden", ""])
async def test_no_account_name_leads_out_of_the_folder(tmp_path: Path, account: str) -> None:
    route = MaildirRoute(tmp_path / "mail", {"a@hosted.example": account}.get, SystemClock(), "relay.example")
    outcomes = await route.deliver(make_job(*recipients("a")))  # type: ignore[arg-type]
    assert summary(outcomes) == [(Result.FAILED, "5.1.1")]
    assert everything_in(tmp_path) == []


class Broken(Blocks):
    async def blocks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        yield b"Subject: half\r\n"
        raise OSError(28, "No space left on device")


async def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    job = make_job(*recipients("a"), content=Broken())  # type: ignore[arg-type]
    maildir = MaildirRoute(tmp_path / "mail", ACCOUNTS.get, SystemClock(), "relay.example")
    (tmp_path / "folder").mkdir()
    assert summary(await maildir.deliver(job)) == [(Result.DEFERRED, "4.3.0")]
    assert summary(await FolderRoute(tmp_path / "folder").deliver(job)) == [(Result.DEFERRED, "4.3.0")]
    assert [path for path in everything_in(tmp_path) if path.is_file()] == []


async def test_a_folder_gets_one_file_per_copy_even_when_tried_twice(tmp_path: Path) -> None:
    route = FolderRoute(tmp_path)
    for _ in range(2):
        outcomes = await route.deliver(make_job(*recipients("a", "b")))  # type: ignore[arg-type]
        assert summary(outcomes) == [OK, OK]
    assert [path.read_bytes() for path in everything_in(tmp_path)] == [CONTENT]
    missing = FolderRoute(tmp_path / "absent")
    assert summary(await missing.deliver(make_job(*recipients("a")))) == [(Result.DEFERRED, "4.3.0")]  # type: ignore[arg-type]


async def test_many_at_once_into_one_maildir(tmp_path: Path) -> None:
    route = MaildirRoute(tmp_path, ACCOUNTS.get, SystemClock(), "relay.example")
    await asyncio.gather(*(route.deliver(make_job(*recipients("a"))) for _ in range(20)))  # type: ignore[arg-type]
    assert len(list((tmp_path / "a@hosted.example" / "new").iterdir())) == 20
