"""The caller of a call: the peer, or the one that a proxy names."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import unquote

from conversations.callers import Caller

__all__ = ["CALLER_HEADER", "Peers"]

CALLER_HEADER = "x-conversations-caller"
"""Header in which a trusted proxy names the caller: `address:port`."""

_KEPT = 4096
_MAX_TEXT = 64


class Peers:
    """Identifies callers."""

    def __init__(self, trusted_proxies: Sequence[IPv4Network | IPv6Network]) -> None:
        self._trusted_proxies = trusted_proxies
        self._is_trusted = lru_cache(_KEPT)(self._is_proxy)

    def caller(self, peer: str, named: str | bytes = "") -> Caller:
        """Return the caller.

        Args:
            peer: As named by gRPC, `ipv4:127.0.0.1:5000`.
            named: The caller that the header names.
        """
        return _caller(str(named)[:_MAX_TEXT] if named and self._is_trusted(peer) else _plain(peer))

    def _is_proxy(self, peer: str) -> bool:
        if peer.startswith("unix:"):
            return True
        try:
            address = ip_address(_host(_plain(peer)))
        except ValueError:
            return False
        return any(address in network for network in self._trusted_proxies)


@lru_cache(_KEPT)
def _plain(peer: str) -> str:
    """Return `127.0.0.1:5000` for `ipv4:127.0.0.1:5000`, `[::1]:5000` for `ipv6:%5B::1%5D:5000`."""
    return unquote(peer.partition(":")[2])


def _host(text: str) -> str:
    return text.rpartition(":")[0].strip("[]")


@lru_cache(_KEPT)
def _caller(text: str) -> Caller:
    host = _host(text)
    try:
        address = ip_address(host)
    except ValueError:
        return Caller(host, text)
    if isinstance(address, IPv6Address):
        # Whoever has one IPv6 address has a network of them.
        return Caller(str(ip_network((int(address), 64), strict=False)), text)
    return Caller(host, text)
