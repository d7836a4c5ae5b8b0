"""Who calls: the peer, or whom a trusted proxy names."""

import contextvars
from ipaddress import ip_network

import pytest

from conversations.callers import Caller
from conversations.rpc.peers import Peers

PEERS = Peers([ip_network("127.0.0.1"), ip_network("10.1.0.0/16"), ip_network("::1")])


def caller(peer: str, named: str | None = None) -> Caller:
    """Return the caller of a call, with the header or without."""

    def call() -> Caller:
        if named is not None:
            PEERS.note(named)
        return PEERS.caller(peer)

    return contextvars.copy_context().run(call)


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("ipv4:192.0.2.7:5000", Caller("192.0.2.7", "192.0.2.7:5000")),
        ("ipv6:%5B2001:db8:1:2:3::4%5D:5000", Caller("2001:db8:1:2::/64", "[2001:db8:1:2:3::4]:5000")),
        ("unix:", Caller("", "")),
        ("nonsense", Caller("", "")),
    ],
)
def test_a_peer_is_an_address_and_a_connection(peer: str, expected: Caller) -> None:
    assert caller(peer) == expected


@pytest.mark.parametrize("peer", ["ipv4:127.0.0.1:5000", "ipv4:10.1.2.3:5000", "ipv6:%5B::1%5D:5000", "unix:/x"])
def test_a_trusted_proxy_is_believed(peer: str) -> None:
    assert caller(peer, "192.0.2.9:77") == Caller("192.0.2.9", "192.0.2.9:77")


@pytest.mark.parametrize("peer", ["ipv4:127.0.0.2:5000", "ipv4:10.2.2.3:5000", "ipv6:%5B2001:db8::1%5D:5000"])
def test_others_are_not(peer: str) -> None:
    assert caller(peer, "192.0.2.9:77") == caller(peer)


def test_one_call_does_not_name_the_caller_of_the_next() -> None:
    assert caller("ipv4:127.0.0.1:5000", "192.0.2.9:77").address == "192.0.2.9"
    assert caller("ipv4:127.0.0.1:5000").address == "127.0.0.1"


def test_a_name_of_any_length_takes_little_room() -> None:
    assert len(caller("ipv4:127.0.0.1:5000", "x" * 100_000).connection) <= 64
