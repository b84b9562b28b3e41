"""Guessing logins: limits hold for all workers and spellings, and nothing tells which accounts exist."""

from __future__ import annotations

import base64
import smtplib
import threading
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_address
from types import FrameType, MappingProxyType

import pytest

from relayd.directory.credentials import DirectoryCredentials
from relayd.directory.directory import Account, Directory
from relayd.directory.verifiers import hash_password
from relayd.mail.envelope import Listener, Peer
from tests.kit.daemon import RelayProcess
from tests.kit.site import PASSWORD, Site
from tests.kit.talk import ANNA

PEER = Peer(ip_address("192.0.2.1"), 1, Listener.SUBMISSION)
KNOWN, UNKNOWN = "jan@example.org", "nobody@example.org"
SPELLINGS = [
    "{}",
    "{}.",
    "{upper}",
    '"{local}"@example.org',
    '"\\{local}"@example.org',
    "{local}@\uff45xample\u3002org",
]


def spelled(name: str) -> list[str]:
    local = name.partition("@")[0]
    return [form.format(name, upper=name.upper(), local=local) for form in SPELLINGS]


class Unlimited:
    async def take(self, key: str, amount: int, limit: int, window: timedelta) -> bool:
        return True


VERIFIERS = {scheme: hash_password(PASSWORD, scheme) for scheme in ("ARGON2ID", "SCRAM-SHA-256")}  # type: ignore[arg-type]


def credentials(scheme: str) -> DirectoryCredentials:
    verifier = VERIFIERS[scheme]
    empty: MappingProxyType[str, object] = MappingProxyType({})
    snapshot = Directory(empty, empty, empty, {KNOWN: Account(KNOWN, "org", verifier=verifier)}, empty)  # type: ignore[arg-type]
    return DirectoryCredentials(lambda: snapshot, Unlimited(), lambda: 3, b"k" * 32)


async def work(logins: DirectoryCredentials, name: str, password: str) -> list[str]:
    """The functions of verifiers and of Argon2 that a login runs through, in the thread that does the work."""
    calls: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        file = frame.f_code.co_filename
        if event == "call" and ("argon2" in file or file.endswith("verifiers.py")):
            calls.append(frame.f_code.co_name)
        elif event == "c_call" and getattr(argument, "__name__", "") in ("pbkdf2_hmac", "argon2_verify", "digest"):
            calls.append(str(getattr(argument, "__name__", "")))

    threading.setprofile(note)  # threads of the pool start with their first login
    try:
        assert await logins.plain(PEER, name, password) is None
    finally:
        threading.setprofile(None)  # type: ignore[arg-type]
        logins.close()
    return calls


@pytest.mark.parametrize(
    ("scheme", "name", "password"),
    [
        ("ARGON2ID", UNKNOWN, "guess"),
        ("ARGON2ID", UNKNOWN, "x" * 5000),
        ("SCRAM-SHA-256", UNKNOWN, "guess"),
        ("SCRAM-SHA-256", "no address", ""),
        ("SCRAM-SHA-256", UNKNOWN, "x" * 5000),
    ],
)
async def test_an_unknown_account_costs_the_same_work(scheme: str, name: str, password: str) -> None:
    known = credentials(scheme)
    expected = await work(known, KNOWN, password)
    unknown = credentials(scheme)
    assert expected
    assert await work(unknown, name, password) == expected


@pytest.mark.parametrize("name", [KNOWN, UNKNOWN])
async def test_all_spellings_of_a_name_get_the_same_challenge_whether_it_exists_or_not(name: str) -> None:
    """RFC 5802 §5.1's salt would tell: a real one is the account's, whatever the spelling."""
    logins = credentials("SCRAM-SHA-256")
    secrets = [await logins.scram(PEER, spelling) for spelling in spelled(name)]
    assert len({(one.salt, one.iterations) for one in secrets if one}) == 1
    logins.close()


@pytest.fixture(scope="module")
def relayd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    site = Site(tmp_path_factory.mktemp("guessing"))
    site.relayd["limits"] = {"auth_failures": 6}
    with RelayProcess(site) as relayd:
        yield relayd


def guess(relayd: RelayProcess, source: str, name: str, password: str) -> tuple[int, str]:
    """One attempt on a connection of its own, which any of the workers may have taken."""
    port = relayd.site.submissions_port
    with smtplib.SMTP_SSL("127.0.0.1", port, source_address=(source, 0), context=relayd.client_context()) as client:
        client.ehlo()
        response = base64.b64encode(f"\0{name}\0{password}".encode()).decode()
        code, text = client.docmd("AUTH", f"PLAIN {response}")
        return code, text.decode()


@pytest.mark.behaviour
def test_an_account_has_so_many_attempts_whoever_tries_and_however_it_is_spelled(relayd: RelayProcess) -> None:
    answers = {}
    for name in (ANNA, "nobody@praktijk.example"):
        local = name.partition("@")[0]
        spellings = [name, name.upper(), f"{name}.", f'"{local}"@praktijk.example', name.title(), name, name, name]
        answers[name] = [guess(relayd, f"127.0.0.{10 + n}", one, "guess")[0] for n, one in enumerate(spellings)]
    # The right password no longer helps, and who doesn't exist is locked just the same.
    assert answers[ANNA] == [535] * 6 + [454] * 2
    assert answers["nobody@praktijk.example"] == answers[ANNA]
    assert guess(relayd, "127.0.0.30", ANNA, PASSWORD) == (454, "4.7.0 Too many failed logins; try again later")


@pytest.mark.behaviour
def test_a_peer_has_so_many_attempts_whatever_names_it_tries(relayd: RelayProcess) -> None:
    answers = [guess(relayd, "127.0.0.40", f"name{n}@praktijk.example", "guess")[0] for n in range(8)]
    assert answers == [535] * 6 + [454] * 2
