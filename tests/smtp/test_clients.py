"""Real clients against the server: Python's smtplib, aiosmtplib."""

from __future__ import annotations

import asyncio
import smtplib

import aiosmtplib
import pytest

from tests.kit.smtp_door import PASSWORD, USERNAME, running
from tests.kit.smtp_tls import client_context, server_context
from tests.kit.swaks import available, swaks

TEXT = "Subject: hello\r\n\r\n.dot\r\nbody\r\n"


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_smtplib_submits(tls: str) -> None:
    def submit(port: int) -> dict[str, tuple[int, bytes]]:
        if tls == "implicit":
            client = smtplib.SMTP_SSL("localhost", port, context=client_context())
        else:
            client = smtplib.SMTP("localhost", port)
            client.starttls(context=client_context())
        with client:
            client.login(USERNAME, PASSWORD)
            return client.sendmail("jan@example.org", ["piet@example.net", "nobody@example.net"], TEXT)

    async with running(context=server_context(), kind="submission", tls=tls) as server:
        refused = await asyncio.to_thread(submit, server.port)
    assert refused == {"nobody@example.net": (550, b"5.1.1 No such user")}
    [taken] = server.door.messages
    assert taken.body == TEXT.encode()
    assert (taken.peer.account, taken.peer.account_mechanism) == (USERNAME, "PLAIN")


async def test_aiosmtplib_submits_several_messages_on_one_connection() -> None:
    async with running(context=server_context(), kind="submission") as server:
        client = aiosmtplib.SMTP(
            hostname="127.0.0.1", port=server.port, start_tls=True, tls_context=client_context(), timeout=10
        )
        async with client:
            await client.login(USERNAME, PASSWORD)
            for number in range(3):
                await client.sendmail(
                    "jan@example.org", ["piet@example.net"], f"Subject: {number}\r\n\r\n{'x' * 90}\r\n"
                )
    assert len(server.door.messages) == 3


async def test_a_large_message_arrives_whole() -> None:
    text = "Subject: large\r\n\r\n" + ("." + "x" * 70 + "\r\n") * 60_000

    def submit(port: int) -> None:
        with smtplib.SMTP_SSL("localhost", port, context=client_context()) as client:
            client.sendmail("jan@example.org", ["piet@example.net"], text)

    async with running(context=server_context(), tls="implicit") as server:
        await asyncio.to_thread(submit, server.port)
    [taken] = server.door.messages
    assert taken.body == text.encode()


@pytest.mark.skipif(bool(available()), reason=available())
@pytest.mark.parametrize(
    "arguments",
    [
        ["--tls", "--auth", "PLAIN"],
        ["--tls", "--auth", "LOGIN"],
        ["--tls", "--auth", "PLAIN", "--pipeline"],
    ],
)
async def test_swaks_submits(arguments: list[str]) -> None:
    login = [
        "--auth-user",
        USERNAME,
        "--auth-password",
        PASSWORD,
        "--from",
        "jan@example.org",
        "--to",
        "piet@example.net",
    ]
    async with running(context=server_context(), kind="submission") as server:
        transcript = await asyncio.to_thread(swaks, server.port, *arguments, *login)
    assert transcript.status == 0, transcript.text
    assert len(server.door.messages) == 1
