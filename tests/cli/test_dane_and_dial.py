"""`relayd dane` and `relayd dial` on real DNS with signed, unsigned and spoilt zones, towards listening servers."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from relayd.cli.main import main
from tests.kit.chains import Made, make
from tests.kit.configuration import FILES, write_configuration
from tests.kit.peer import Peer, Script
from tests.kit.ports import free_port
from tests.kit.signed_dns import SignedDns, Signing, Zone, available

pytestmark = pytest.mark.skipif(bool(available()), reason=available() or "all is there")

SERVER = make("server", names=["mx.good.example"])
OTHER = make("other", names=["mx.good.example"])


@dataclass
class World:
    folder: Path
    port: int

    async def run(self, *words: str) -> tuple[int, Any]:
        """Exit status and JSON."""
        options = ["--config", str(self.folder), "--port", str(self.port), "--json"]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "relayd.cli.main", *words, *options, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, json.loads(out)

    async def text(self, *words: str) -> str:
        options = ["--config", str(self.folder), "--port", str(self.port)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "relayd.cli.main", *words, *options, stdout=asyncio.subprocess.PIPE
        )
        return (await process.communicate())[0].decode()


def zone(name: str, port: int, record: Made, **kind: Any) -> Zone:
    tlsa = str(record.tlsa(3, 1, 1))
    return Zone(name, f"@ MX 10 mx\nmx A 127.0.0.1\n_{port}._tcp.mx TLSA {tlsa}", **kind)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    port = free_port()
    zones = [
        zone("good.example", port, SERVER),
        zone("wrong.example", port, OTHER),
        zone("plain.example", port, SERVER, signing=Signing.UNSIGNED),
        zone("spoilt.example", port, SERVER, spoilt=[(f"_{port}._tcp.mx", "TLSA")]),
        zone("broken.example", port, SERVER, signing=Signing.BROKEN),
        Zone("null.example", "@ MX 0 ."),
        Zone("north.example", "@ MX 10 relay.example."),
    ]
    with SignedDns(tmp_path_factory.mktemp("dns"), zones) as dns:
        names = "dnssec: {signed_name: good.example, broken_name: broken.example}"
        overrides = "tls_overrides:\n- {domain: wrong.example, ignore: [mta_sts], reason: a test, until: 2999-12-31}"
        settings = f"{dedent(FILES['relayd.yaml'])}\nresolver: '{dns.resolver}'\n{names}\n{overrides}\n"
        book = f"""
            north.example: {{organisation: north, delivers: relay, next_hops: ["mx.north.example:25"]}}
            book.example: {{network: n, delivers: relay, next_hops: ["mx.good.example:{port}"], dane: true}}
            wrongbook.example: {{network: n, delivers: relay, next_hops: ["mx.wrong.example:{port}"], dane: true}}
        """
        yield World(write_configuration(tmp_path_factory.mktemp("relayd"), relayd=settings, domainbook=book), port)


async def test_a_domain_of_our_own_is_shown_as_others_see_it(world: World) -> None:
    _, seen = await world.run("dane", "north.example")
    assert (seen["domainbook"], seen["mx"]["hosts"]) == ("mx.north.example:25", ["relay.example"])


@pytest.mark.parametrize("command", ["dane", "dial"])
def test_a_port_that_is_none_is_told(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([command, "good.example", "--port", "99999"])
    assert "expected a port" in capsys.readouterr().err


@pytest.fixture
async def peer(world: World, tmp_path: Path) -> AsyncIterator[Peer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*SERVER.write(tmp_path))
    async with Peer(Script(), port=world.port, tls=context) as peer:
        yield peer


@pytest.mark.parametrize(
    ("domain", "status", "ordinary", "confidential", "follows"),
    [
        ("good.example", 0, "dane", "dane", "every mail host of good.example must prove itself by DANE"),
        ("wrong.example", 0, "dane", "dane", "every mail host"),
        ("plain.example", 1, "encrypted", None, "confidential mail can't go to plain.example by MX now"),
        ("spoilt.example", 1, None, None, "confidential mail can't go"),
    ],
)
async def test_what_a_domain_publishes(
    world: World, domain: str, status: int, ordinary: str | None, confidential: str | None, follows: str
) -> None:
    code, said = await world.run("dane", domain)
    assert code == status
    assert [plan["demand"] for plan in said["ordinary"]] == [ordinary]
    assert [plan["demand"] for plan in said["confidential"]] == [confidential]
    assert said["follows"].startswith(follows)
    assert said["resolver"]["validation"] == "on"


@pytest.mark.parametrize(
    ("domain", "words"),
    [("null.example", "accepts no mail"), ("broken.example", "ended in bogus"), ("absent.example", "doesn't exist")],
)
async def test_domains_to_which_no_mail_goes(world: World, domain: str, words: str) -> None:
    code, said = await world.run("dane", domain)
    assert code == 1
    assert words in said["follows"]
    assert words in (await world.run("dial", domain))[1]["why"]


async def test_dane_says_it_in_words(world: World) -> None:
    said = await world.text("dane", "wrong.example")
    assert "MX: mx.wrong.example (secure)" in said
    assert "addresses: 127.0.0.1 (secure)" in said
    assert f"TLSA at _{world.port}._tcp.mx.wrong.example: (secure)" in said
    assert f"    {OTHER.tlsa(3, 1, 1)}" in said
    assert "override: mta_sts ignored until 2999-12-31: a test" in said
    assert "domainbook: mail to book.example goes to mx.good.example" in await world.text("dane", "book.example")


@pytest.mark.parametrize(
    ("words", "status", "demand", "proof"),
    [
        (["good.example"], 0, "dane", "dane 3 1 1"),
        (["plain.example"], 0, "encrypted", ""),
        (["wrong.example"], 1, "dane", None),
        (["book.example"], 0, "dane", "dane 3 1 1"),
        (["wrongbook.example"], 1, "dane", None),
        (["good.example", "--host", "mx.good.example"], 0, "dane", "dane 3 1 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
async def test_what_servers_show(
    world: World, peer: Peer, words: list[str], status: int, demand: str, proof: str | None
) -> None:
    code, said = await world.run("dial", *words)
    assert code == status
    (host,) = said["hosts"]
    (call,) = host["calls"]
    assert host["demand"] == demand
    assert call["good"] is (proof is not None)
    assert call["tls"]["version"] == "TLSv1.3"
    assert proof is None or call["tls"]["proof"] == proof
    assert not any(command.startswith(("MAIL", "RCPT", "DATA")) for command in peer.commands)
    assert (peer.commands[-1] == "QUIT") is (proof is not None)


async def test_a_host_that_must_wait_is_not_dialled(world: World, peer: Peer) -> None:
    code, said = await world.run("dial", "spoilt.example")
    assert code == 1
    assert [(host["status"], host["calls"]) for host in said["hosts"]] == [("4.4.3", [])]
    assert peer.connections == 0


async def test_a_server_that_is_away(world: World) -> None:
    code, said = await world.run("dial", "good.example")
    assert code == 1
    assert said["hosts"][0]["calls"][0]["status"] == "4.4.1"


async def test_dial_says_it_in_words(world: World, peer: Peer) -> None:
    said = await world.text("dial", "good.example")
    assert "plan: dane: DANE: mx.good.example has 1 usable TLSA record" in said
    assert "127.0.0.1: TLSv1.3 " in said
    assert "proven: dane 3 1 1" in said
    refused = await world.text("dial", "wrong.example")
    assert "refused (4.7.5): mx.wrong.example: its certificate matches no usable TLSA record (of 1)" in refused


async def test_a_host_of_another_domain_is_an_error(world: World) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "relayd.cli.main", "dial", "good.example", "--host", "x.example"),
        *("--config", str(world.folder)),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode != 0
    assert b"mx.good.example" in said
