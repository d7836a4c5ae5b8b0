"""Who is at the other end of a call: the peer, or whom a proxy says that it calls for."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import unquote

from conversations.callers import Caller

__all__ = ["CALLER_HEADER", "Peers"]

CALLER_HEADER = "x-conversations-caller"
"""In it a trusted proxy says for whom it calls: `address:port`."""

_KEPT = 4096
_MAX_TEXT = 64


class Peers:
    """Tells callers apart."""

    def __init__(self, trusted_proxies: Sequence[IPv4Network | IPv6Network]) -> None:
        self._trusted_proxies = trusted_proxies
        self._is_trusted = lru_cache(_KEPT)(self._is_proxy)

    def caller(self, peer: str, named: str | bytes = "") -> Caller:
        """Return who calls.

        Args:
            peer: As gRPC names it, `ipv4:127.0.0.1:5000`.
            named: What its header says for whom it calls.
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
        # Who has one address of IPv6 has a network of them.
        return Caller(str(ip_network((int(address), 64), strict=False)), text)
    return Caller(host, text)
