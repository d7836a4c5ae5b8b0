"""Addresses, host names, origins and header names, as Envoy compares them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address

__all__ = ["Address", "address", "admin", "canonical_origin", "header_name", "host_name", "host_names", "ip"]

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_HOST = r"\[[0-9a-f:.]+\]|[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*"
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Pages of the last three have no origin; the others have no pages.
_SCHEMES_WITHOUT_ORIGIN = {"ftp", "ws", "wss", "about", "data", "file"}


def host_name(text: str) -> str:
    """Return a host name in lower case.

    Raises:
        ValueError: It isn't a host name; a port isn't part of one.
    """
    name = text.lower().removesuffix(".")
    if not re.fullmatch(_HOST, name) or len(name) > 253:
        raise ValueError(f"{text!r} is not a host name: it should look like inbox.example.org, without a port")
    return name


def host_names(allowed: Sequence[str]) -> list[str]:
    """Return the host names that a request may use, each also with a dot at its end.

    Raises:
        ValueError: One isn't a host name.
    """
    names = dict.fromkeys([*_LOOPBACK, *map(host_name, allowed)])
    return [form for name in names for form in ((name,) if name.startswith("[") else (name, f"{name}."))]


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a listener."""

    host: str
    """An IP address or a name; the path of a socket if the port is 0."""
    port: int = 0

    @property
    def is_name(self) -> bool:
        """Whether the host is a name, which has to be resolved."""
        try:
            ip_address(self.host)
        except ValueError:
            return self.port > 0
        return False


def address(text: str) -> Address:
    """Return the address of `10.0.0.1:50061`, `[::1]:50061` or `worker-1.internal:50061`.

    Raises:
        ValueError: It isn't an address.
    """
    host, _, port = text.rpartition(":")
    if not re.fullmatch(_HOST, host.lower()) or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) <= 65535:
        raise ValueError(f"{text!r} is not an address: it should look like 10.0.0.1:50061 or worker-1.internal:50061")
    return Address(host.strip("[]"), int(port))


def admin(text: str) -> Address:
    """Return an address, or the path of a socket.

    Raises:
        ValueError: It is neither.
    """
    return Address(text) if text.startswith("/") else address(text)


def ip(text: str) -> str:
    """Return an IP address unchanged.

    Raises:
        ValueError: It isn't one.
    """
    ip_address(text)
    return text


def header_name(text: str) -> str:
    """Return a header name in lower case.

    Raises:
        ValueError: It isn't a header name.
    """
    # A token of RFC 9110. `*` is one too, but some would read it as all names, others as a literal name.
    if text == "*" or not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", text):
        raise ValueError(
            f"{text!r} is not a header name: it should look like x-tenant, without a colon; `*` is not supported"
        )
    return text.lower()


def canonical_origin(text: str) -> str:
    """Return an origin as browsers write it: in lower case, without the scheme's default port.

    Raises:
        ValueError: It isn't an origin, or not one that a page can have.
    """
    if text == "*":
        return text
    found = re.fullmatch(rf"([a-z][a-z0-9+.-]*)://({_HOST})(?::([0-9]+))?/?", text.lower())
    if found is None:
        raise ValueError(
            f"{text!r} is not an origin: it should look like https://inbox.example.org or http://localhost:3000, "
            "without a path or a pattern; `*` stands for all"
        )
    scheme, host, port = found[1], found[2], found[len(found.groups())]
    if scheme in _SCHEMES_WITHOUT_ORIGIN:
        raise ValueError(f"{text!r} is not the origin of any page: no page has an origin with the scheme {scheme}")
    if port is not None and not 1 <= int(port) <= 65535:
        raise ValueError(f"{text!r} is not the origin of any page: ports are from 1 to 65535")
    written = f"{scheme}://{_address(text, host)}"
    return written if port is None or int(port) == _DEFAULT_PORTS.get(scheme) else f"{written}:{int(port)}"


def _address(text: str, host: str) -> str:
    """Return a host; an IP address as browsers write it.

    Source:
        https://url.spec.whatwg.org/#host-parsing

    Raises:
        ValueError: It looks like an IP address, but isn't one in the form that browsers write.
    """
    try:
        if host.startswith("["):
            address = IPv6Address(host[1:-1])
            # Python has more than one way to write these.
            low = int(address) & 0xFFFF_FFFF
            return f"[::ffff:{low >> 16:x}:{low & 0xFFFF:x}]" if address.ipv4_mapped else f"[{address.compressed}]"
        # To browsers a host that ends in a number is an address, also 127.1 and 0x7f000001.
        if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", host.rpartition(".")[2]):
            return str(IPv4Address(host))
    except AddressValueError as error:
        raise ValueError(
            f"{text!r} is not the origin of any page: {host} is not an IP address as browsers write it"
        ) from error
    return host
