"""Logins against accounts: both schemes, limits, and nothing that tells an unknown name from a known one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from ipaddress import ip_address
from types import MappingProxyType

import pytest

from relayd.directory.credentials import DirectoryCredentials
from relayd.directory.directory import Account, Directory
from relayd.directory.verifiers import check_password, derive, hash_password, parse_scram
from relayd.errors import SyntaxInvalid
from relayd.mail.envelope import Listener, Peer

PEER = Peer(ip_address("192.0.2.1"), 1, Listener.SUBMISSION)
OTHER = Peer(ip_address("192.0.2.2"), 1, Listener.SUBMISSION)
ARGON2, SCRAM = hash_password("Sesam öpen"), hash_password("pencil", "SCRAM-SHA-256")
ACCOUNTS = {
    "jan@example.org": Account("jan@example.org", "org", verifier=ARGON2),
    "piet@example.org": Account("piet@example.org", "org", verifier=SCRAM),
    "broken@example.org": Account("broken@example.org", "org", verifier="{ARGON2ID}nonsense"),
}


class Counts:
    """The counters of one machine, without the passing of time."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    async def take(self, key: str, amount: int, limit: int, window: timedelta) -> bool:
        if self.counts[key] + amount > limit:
            return False
        self.counts[key] += amount
        return True


def directory(accounts: dict[str, Account]) -> Directory:
    empty = MappingProxyType({})
    return Directory(organisations=empty, domainbook=empty, nta=empty, accounts=accounts, mailboxes=empty)


@pytest.fixture
async def credentials() -> AsyncIterator[DirectoryCredentials]:
    snapshot = directory(ACCOUNTS)
    credentials = DirectoryCredentials(lambda: snapshot, Counts(), lambda: 3, b"k" * 32)
    yield credentials
    credentials.close()


@pytest.mark.parametrize(
    ("name", "password", "account"),
    [
        ("jan@example.org", "Sesam öpen", "jan@example.org"),
        ("Jan@EXAMPLE.org", "Sesam öpen", "jan@example.org"),
        ("piet@example.org", "pencil", "piet@example.org"),
        ("jan@example.org", "sesam öpen", None),
        ("piet@example.org", "Sesam öpen", None),
        ("broken@example.org", "nonsense", None),
        ("nobody@example.org", "Sesam öpen", None),
        ("not an address", "Sesam öpen", None),
        ("jan@example.org", "x" * 5000, None),
        ("jan@example.org", "", None),
    ],
)
async def test_plain(credentials: DirectoryCredentials, name: str, password: str, account: str | None) -> None:
    assert await credentials.plain(PEER, name, password) == account


async def test_scram_secrets_are_real_for_their_account_and_made_up_for_others(
    credentials: DirectoryCredentials,
) -> None:
    real = await credentials.scram(PEER, "piet@example.org")
    assert real == parse_scram(SCRAM, "piet@example.org")
    for name in ("nobody@example.org", "jan@example.org", "not an address"):
        first, second = await credentials.scram(PEER, name), await credentials.scram(OTHER, name)
        assert first == second
        assert first is not None
        assert real is not None
        assert first.account == ""
        assert (len(first.salt), first.iterations) == (len(real.salt), real.iterations)


async def test_failures_are_counted_per_account_and_per_peer(credentials: DirectoryCredentials) -> None:
    for _ in range(3):
        assert await credentials.begin(PEER, "jan@example.org")
    assert not await credentials.begin(PEER, "jan@example.org")
    assert not await credentials.begin(PEER, "piet@example.org"), "the peer has used up its attempts"
    assert not await credentials.begin(OTHER, "JAN@example.org"), "the account has used up its attempts"
    assert await credentials.begin(OTHER, "piet@example.org")


async def test_many_attempts_at_once_pass_the_limit_no_more_than_one_by_one(
    credentials: DirectoryCredentials,
) -> None:
    begun = await asyncio.gather(*(credentials.begin(PEER, "jan@example.org") for _ in range(40)))
    assert begun.count(True) == 3


async def test_a_login_that_succeeds_costs_nothing(credentials: DirectoryCredentials) -> None:
    for _ in range(20):
        assert await credentials.begin(PEER, "jan@example.org")
        await credentials.succeeded(PEER, "jan@example.org")


@pytest.mark.parametrize(
    "spelling", ["jan@example.org.", '"jan"@example.org', '"j\\an"@example.org', "jan@\uff45xample.org"]
)
async def test_another_spelling_of_a_name_gives_no_further_attempts(
    credentials: DirectoryCredentials, spelling: str
) -> None:
    assert await credentials.plain(PEER, spelling, "Sesam öpen") == "jan@example.org"
    for _ in range(3):
        await credentials.begin(PEER, "jan@example.org")
    assert not await credentials.begin(OTHER, spelling)


@pytest.mark.parametrize(
    ("names", "offered"),
    [
        (["jan@example.org"], False),
        (["piet@example.org"], True),
        (["jan@example.org", "piet@example.org"], False),
        ([], False),
    ],
)
async def test_scram_is_offered_where_all_accounts_have_it(names: list[str], offered: bool) -> None:
    snapshot = directory({name: ACCOUNTS[name] for name in names})
    credentials = DirectoryCredentials(lambda: snapshot, Counts(), lambda: 3, b"k")
    assert credentials.offers_scram is offered
    credentials.close()


def test_verifiers_have_dovecots_form() -> None:
    assert ARGON2.startswith("{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$")
    # RFC 7677's example, as doveadm and gsasl write it.
    assert str(derive("pencil", parse_salt(), 4096)) == (
        "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,"
        "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


def parse_salt() -> bytes:
    return bytes.fromhex("5b6d99689d12358eeca04b141236fa81")


@pytest.mark.parametrize(
    "verifier",
    [
        "",
        "{PLAIN}x",
        "{ARGON2ID}",
        "{SCRAM-SHA-256}",
        "{SCRAM-SHA-256}0,YQ==,YQ==,YQ==",
        "{SCRAM-SHA-256}1,YQ==,YQ==,YQ==",
    ],
)
def test_broken_verifiers_are_named_and_not_quoted(verifier: str) -> None:
    with pytest.raises(SyntaxInvalid) as raised:
        check_password(verifier, "x")
    assert "YQ" not in str(raised.value)
