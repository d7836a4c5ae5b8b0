"""Who calls: the peer, or whom a trusted proxy names."""

from ipaddress import ip_network

import pytest

from conversations.callers import Caller
from conversations.rpc.peers import Peers

PEERS = Peers([ip_network("127.0.0.1"), ip_network("10.1.0.0/16"), ip_network("::1")])


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
    assert PEERS.caller(peer) == expected


@pytest.mark.parametrize("peer", ["ipv4:127.0.0.1:5000", "ipv4:10.1.2.3:5000", "ipv6:%5B::1%5D:5000", "unix:/x"])
def test_a_trusted_proxy_is_believed(peer: str) -> None:
    assert PEERS.caller(peer, "192.0.2.9:77") == Caller("192.0.2.9", "192.0.2.9:77")


@pytest.mark.parametrize("peer", ["ipv4:127.0.0.2:5000", "ipv4:10.2.2.3:5000", "ipv6:%5B2001:db8::1%5D:5000"])
def test_others_are_not(peer: str) -> None:
    assert PEERS.caller(peer, "192.0.2.9:77") == PEERS.caller(peer)


def test_a_name_of_any_length_takes_little_room() -> None:
    assert len(PEERS.caller("ipv4:127.0.0.1:5000", "x" * 100_000).connection) <= 64
