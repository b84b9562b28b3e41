"""Sessions are counted over all workers."""

from __future__ import annotations

import os
from ipaddress import ip_address

import pytest

from relayd.daemon.connections import Connections, Seat

CLINIC, LAB = ip_address("192.0.2.1"), ip_address("192.0.2.2")


def enter(seat: Seat, peer: str = "192.0.2.1", *, most: int = 100, most_per_peer: int = 100) -> bool:
    return seat.enter(ip_address(peer), most=most, most_per_peer=most_per_peer)


def test_the_limit_over_all_counts_every_worker_and_peer() -> None:
    connections = Connections(2)
    first, second = connections.seat(0), connections.seat(1)
    assert enter(first, most=2)
    assert enter(second, "192.0.2.2", most=2)
    assert not enter(first, "192.0.2.3", most=2)
    second.leave(LAB)
    assert enter(first, "192.0.2.3", most=2)


def test_one_peer_is_limited_and_the_others_are_not() -> None:
    connections = Connections(2)
    first, second = connections.seat(0), connections.seat(1)
    assert enter(first, most_per_peer=2)
    assert enter(second, most_per_peer=2)
    assert not enter(first, most_per_peer=2)
    assert not enter(second, most_per_peer=2)
    assert enter(second, "192.0.2.2", most_per_peer=2)
    first.leave(CLINIC)
    assert enter(second, most_per_peer=2)


@pytest.mark.parametrize(("other", "together"), [("2001:db8::ffff:1", True), ("2001:db8:0:1::1", False)])
def test_an_ipv6_peer_is_its_64(other: str, together: bool) -> None:
    seat = Connections(1).seat(0)
    assert enter(seat, "2001:db8::1", most_per_peer=1)
    assert enter(seat, other, most_per_peer=1) is not together


def test_a_new_worker_doesn_t_inherit_what_a_dead_one_counted() -> None:
    connections = Connections(2)
    pid = os.fork()
    if pid == 0:
        dying = connections.seat(0)
        os._exit(0 if all(enter(dying, most=5) for _ in range(5)) else 1)
    _, status = os.waitpid(pid, 0)
    assert status == 0
    assert not enter(connections.seat(1), most=5)
    assert all(enter(connections.seat(0), most=5) for _ in range(5))


def test_a_worker_is_crowded_when_another_has_two_sessions_fewer() -> None:
    connections = Connections(2)
    first, second = connections.seat(0), connections.seat(1)
    assert not first.crowded()
    enter(first)
    assert not first.crowded()
    enter(first)
    assert first.crowded()
    assert not second.crowded()
    enter(second)
    assert not first.crowded()


def test_a_thousand_peers_at_once_each_have_their_own_count() -> None:
    seat = Connections(1).seat(0)
    peers = [f"10.0.{n // 250}.{n % 250}" for n in range(1000)]
    assert all(enter(seat, peer, most=5000, most_per_peer=20) for peer in peers for _ in range(4))
