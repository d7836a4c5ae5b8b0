"""Names of hosts and origins, as Envoy compares them."""

import re
from collections.abc import Sequence

__all__ = ["canonical_origin", "host_name", "host_names"]

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_HOST = r"\[[0-9a-f:.]+\]|[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*"
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def host_name(text: str) -> str:
    """Return the name of a host in lower case.

    Raises:
        ValueError: It is none; a port does not belong to it.
    """
    name = text.lower().removesuffix(".")
    if not re.fullmatch(_HOST, name) or len(name) > 253:
        raise ValueError(f"{text!r} is not the name of a host: it looks like inbox.example.org, without a port")
    return name


def host_names(allowed: Sequence[str]) -> list[str]:
    """Return the names that a request may ask for, each also with the dot at its end.

    Raises:
        ValueError: One is not the name of a host.
    """
    names = dict.fromkeys([*_LOOPBACK, *map(host_name, allowed)])
    return [form for name in names for form in ((name,) if name.startswith("[") else (name, f"{name}."))]


def canonical_origin(text: str) -> str:
    """Return an origin as browsers write it: in lower case, without the port that its scheme stands for.

    Raises:
        ValueError: It is none.
    """
    if text == "*":
        return text
    found = re.fullmatch(rf"([a-z][a-z0-9+.-]*)://({_HOST})(:\d+)?/?", text.lower())
    if found is None:
        raise ValueError(f"{text!r} is not an origin: it looks like https://inbox.example.org, without a path")
    scheme, host, port = found[1], found[2], found[len(found.groups())] or ""
    return f"{scheme}://{host}" + ("" if port == _DEFAULT_PORTS.get(scheme) else port)
