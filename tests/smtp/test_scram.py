"""SCRAM-SHA-256: the exchange of RFC 7677 §3, and AUTH around it."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.directory.verifiers import derive
from relayd.errors import SyntaxInvalid
from relayd.smtp.scram import Exchange
from tests.kit.smtp_dialogue import Client
from tests.kit.smtp_door import PASSWORD, USERNAME, running
from tests.kit.smtp_tls import client_context, server_context

SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
CLIENT_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_the_example_of_the_rfc() -> None:
    secret = derive("pencil", SALT, 4096, "user")
    exchange = Exchange(CLIENT_FIRST, SERVER_NONCE)
    assert exchange.username == "user"
    assert exchange.challenge(secret) == SERVER_FIRST
    assert exchange.finish(secret, CLIENT_FINAL) == SERVER_FINAL


@pytest.mark.parametrize(
    "altered",
    [
        CLIENT_FINAL.replace(b"dHzb", b"dHzc"),
        CLIENT_FINAL.replace(b"biws", b"eSws"),
        CLIENT_FINAL.replace(b"$k0", b"$k1"),
        CLIENT_FINAL.replace(b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", b"p=AAAA"),
    ],
)
def test_an_altered_answer_proves_nothing(altered: bytes) -> None:
    secret = derive("pencil", SALT, 4096, "user")
    exchange = Exchange(CLIENT_FIRST, SERVER_NONCE)
    exchange.challenge(secret)
    assert exchange.finish(secret, altered) is None


def test_a_made_up_secret_never_succeeds() -> None:
    secret = derive("pencil", SALT, 4096, "")
    exchange = Exchange(CLIENT_FIRST, SERVER_NONCE)
    exchange.challenge(secret)
    assert exchange.finish(secret, CLIENT_FINAL) is None


@pytest.mark.parametrize(
    "first",
    [
        b"p=tls-unique,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        b"n,a=other,n=user,r=rOprNGfwEbeRWgbNEkqO",
        b"n,,m=ext,n=user,r=rOprNGfwEbeRWgbNEkqO",
        b"n,,n=us=er,r=rOprNGfwEbeRWgbNEkqO",
        b"n,,n=user,r=short",
        b"n,,n=user",
        b"\xff",
        b"",
    ],
)
def test_first_messages_that_are_refused(first: bytes) -> None:
    with pytest.raises(SyntaxInvalid):
        Exchange(first)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_final_message_upsets_the_exchange(final: bytes) -> None:
    secret = derive("pencil", SALT, 1, "user")
    exchange = Exchange(b"n,,n=us=2Cer,r=rOprNGfwEbeRWgbNEkqO")
    assert exchange.username == "us,er"
    try:
        assert exchange.finish(secret, final) is None
    except SyntaxInvalid:
        pass


def answer(first: bytes, server_first: bytes, password: str) -> bytes:
    """A client's side, written down once more from RFC 5802 §3."""
    fields = dict(field.split("=", 1) for field in server_first.decode().split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    final = f"c={base64.b64encode(b'n,,').decode()},r={fields['r']}"
    signed = b",".join([first.removeprefix(b"n,,"), server_first, final.encode()])
    signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    return f"{final},p={base64.b64encode(proof).decode()}".encode()


@pytest.mark.parametrize(("password", "code"), [(PASSWORD, "334"), ("wrong", "535")])
async def test_a_login_by_scram(password: str, code: str) -> None:
    async with running(context=server_context(), tls="implicit", kind="submission") as server:
        client = await Client.connect("127.0.0.1", server.port, client_context())
        await client.reply()
        await client.say("EHLO c.example")
        first = f"n,,n={USERNAME},r=abcdefghijkl".encode()
        challenge = await client.say(b"AUTH SCRAM-SHA-256 " + base64.b64encode(first))
        final = answer(first, base64.b64decode(challenge[4:]), password)
        reply = await client.say(base64.b64encode(final))
        assert reply.startswith(code)
        if code == "334":
            assert base64.b64decode(reply[4:]).startswith(b"v=")
            assert (await client.say("")).startswith("235 2.7.0")
            assert (await client.say("MAIL FROM:<jan@example.org>")).startswith("250 ")
            assert server.door.taken[0].peer.account_mechanism == "SCRAM-SHA-256"
        else:
            assert server.door.credentials.failures == 1
            assert (await client.say("MAIL FROM:<jan@example.org>")).startswith("530 5.7.0")
        await client.close()


async def test_scram_is_offered_only_where_everybody_can_pass() -> None:
    async with running(context=server_context(), tls="implicit") as server:
        server.door.credentials.offers_scram = False
        client = await Client.connect("127.0.0.1", server.port, client_context())
        await client.reply()
        client.send(b"EHLO c.example\r\n")
        assert "250 AUTH PLAIN LOGIN" in await client.reply()
        await client.close()


async def test_too_many_failures_elsewhere_defer_a_login() -> None:
    async with running(context=server_context(), tls="implicit") as server:
        server.door.credentials.failures = server.door.credentials.most
        client = await Client.connect("127.0.0.1", server.port, client_context())
        await client.reply()
        await client.say("EHLO c.example")
        right = base64.b64encode(f"\0{USERNAME}\0{PASSWORD}".encode())
        assert (await client.say(b"AUTH PLAIN " + right)).startswith("454 4.7.0")
        first = base64.b64encode(f"n,,n={USERNAME},r=abcdefghijkl".encode())
        assert (await client.say(b"AUTH SCRAM-SHA-256 " + first)).startswith("454 4.7.0")
        await client.close()
