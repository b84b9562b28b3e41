"""Binding: addresses as people write them, and a clear word about each that can't be had."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from relayd.daemon.sockets import bind_all, split_address
from relayd.errors import ConfigurationError
from relayd.settings.models import Configuration, ListenerSettings, TlsSettings


def configuration(*addresses: str) -> Configuration:
    return Configuration(
        hostname="mx.example.nl",
        state=Path("/nonexistent/state"),
        keys=Path("/nonexistent/keys"),
        listeners=tuple(ListenerSettings(address=address, kind="relay") for address in addresses),
        tls=TlsSettings(certificate=Path("c"), key=Path("k")),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:25", ("127.0.0.1", 25)),
        ("[::1]:587", ("::1", 587)),
        ("0.0.0.0:465", ("0.0.0.0", 465)),
    ],
)
def test_addresses_with_ports(text: str, expected: tuple[str, int]) -> None:
    assert split_address(text) == expected


@pytest.mark.parametrize("text", ["127.0.0.1", "127.0.0.1:", ":x", "host:99999"])
def test_what_is_no_address_with_a_port(text: str) -> None:
    with pytest.raises(ValueError, match="address:port"):
        split_address(text)


def test_every_address_that_is_taken_is_named_and_nothing_stays_bound() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as spare:
        busy, free = taken.getsockname()[1], spare.getsockname()[1]
        spare.close()
        with pytest.raises(ConfigurationError) as raised:
            bind_all(configuration(f"127.0.0.1:{free}", f"127.0.0.1:{busy}"))
        assert [str(problem) for problem in raised.value.problems] == [
            f"relayd.yaml: listeners.1.address: can't listen on 127.0.0.1:{busy}: {os.strerror(98)}"
        ]
        with socket.create_server(("127.0.0.1", free)):
            pass  # The first one was given back.


def test_ipv4_and_ipv6_wildcards_stand_beside_each_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    bound = bind_all(configuration(f"0.0.0.0:{port}", f"[::]:{port}"))
    for listening in bound:
        listening.socket.close()
    assert len(bound) == 2
