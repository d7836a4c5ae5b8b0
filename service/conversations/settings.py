"""The one configuration object, read once from `CONVERSATIONS_*` variables."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["Settings", "display_value", "variable"]

_PREFIX = "CONVERSATIONS_"
_MAX_PORT = 65535
_MAX_COUNT = 10_000_000
_DAY_SECONDS = 86_400

# An empty variable counts as unset.
_OptionalPort = Annotated[int | None, BeforeValidator(lambda value: None if value == "" else value)]


class Settings(BaseSettings):
    """Settings of a worker. The variable of each is `CONVERSATIONS_` and its name in upper case."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid", use_attribute_docstrings=True)

    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """Redis with the search module: `redis://`, `rediss://`, `unix://`, and `redis+sentinel://` or `rediss+sentinel://`
    for the master that several Sentinels name: `redis+sentinel://:password@host1:26379,host2:26379/service-name/0`."""

    host: str = Field(default="127.0.0.1", pattern=r"^[^\s/]+$")
    """Address that the gRPC server listens on."""

    port: int = Field(default=50051, ge=0, le=_MAX_PORT)
    """Port that the gRPC server listens on; several workers may share it. 0 picks a free one."""

    own_port: _OptionalPort = Field(default=None, ge=0, le=_MAX_PORT)
    """A second port that no other worker shares, for a proxy that balances the load itself; none by default."""

    partitions: int = Field(default=1, ge=1, le=64)
    """Partitions of an empty Redis; a Redis that holds data keeps its number."""

    redis_timeout_ms: int = Field(default=5_000, ge=100, le=1000 * _DAY_SECONDS)
    """The longest wait for Redis if the call has no earlier deadline, in milliseconds."""

    search_timeout_ms: int = Field(default=30_000, ge=10, le=1000 * _DAY_SECONDS)
    """The longest search of a call, in milliseconds, if the call has no earlier deadline; after that it fails. Redis
    serves others meanwhile."""

    max_request_bytes: int = Field(default=16 * 1024 * 1024, ge=1024, le=2**30 - 1)
    """Maximum size of a request with events, in bytes, as JSON and as protobuf; other requests may have 256 KiB. A
    worker holds at most 16 requests that take more than a second to arrive, and at most 128 MiB of requests above 64
    KiB."""

    request_timeout_seconds: float = Field(default=30.0, gt=0, le=_DAY_SECONDS)
    """The longest time for a request to arrive, in seconds."""

    max_running_calls: int = Field(default=100, ge=1, le=_MAX_COUNT)
    """Maximum concurrent calls of a worker."""

    max_waiting_calls: int = Field(default=400, ge=0, le=_MAX_COUNT)
    """Maximum calls waiting for their turn. Beyond that, the newest call of the caller with the most is refused."""

    max_arriving_calls: int = Field(default=1_000, ge=1, le=_MAX_COUNT)
    """Maximum calls whose request is still arriving. Beyond that, the newest call of the caller with the most is
    refused."""

    max_streams: int = Field(default=1_000, ge=1, le=_MAX_COUNT)
    """Maximum open streams of a worker, such as health watches."""

    trusted_proxies: str = "127.0.0.1 ::1"
    """Addresses and networks of the proxies whose `x-conversations-caller` header names the caller, separated by
    blanks. Callers share a worker fairly; from other peers the header is ignored."""

    metrics_port: _OptionalPort = Field(default=None, ge=0, le=_MAX_PORT)
    """Port of `/metrics`, for Prometheus; none by default."""

    drain_seconds: float = Field(default=3.0, ge=0, le=_DAY_SECONDS)
    """How long a stopping server reports NOT_SERVING before it refuses new calls, in seconds."""

    grace_seconds: float = Field(default=5.0, ge=0, le=_DAY_SECONDS)
    """How long a stopping server lets running calls continue, in seconds."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Minimum log level: DEBUG, INFO, WARNING or ERROR."""

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        try:
            _networks(value)
        except ValueError:
            raise ValueError("has to be addresses and networks, as in `127.0.0.1 10.0.0.0/8`") from None
        return value

    @model_validator(mode="after")
    def _has_a_port_for_each_use(self) -> "Settings":
        ports = [port for port in (self.port, self.own_port, self.metrics_port) if port]
        if len(set(ports)) < len(ports):
            names = ", ".join(map(variable, ("port", "own_port", "metrics_port")))
            raise ValueError(f"{names} have to differ")
        return self

    @property
    def proxy_networks(self) -> list[IPv4Network | IPv6Network]:
        """`trusted_proxies`, parsed."""
        return _networks(self.trusted_proxies)


def _networks(text: str) -> list[IPv4Network | IPv6Network]:
    return [ip_network(word) for word in text.replace(",", " ").split()]


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return _PREFIX + name.upper()


def display_value(settings: Settings, name: str) -> str:
    """Return a setting as in its variable, without a password; an empty text if it is unset."""
    value: Any = getattr(settings, name)
    if isinstance(value, SecretStr):
        return _without_password(value.get_secret_value())
    return "" if value is None else str(value)


def _without_password(url: str) -> str:
    """Put `***` where a URL has a password, or may have one.

    This works on the text and not on the parsed URL: with unescaped special characters a password isn't where a parser
    looks for it.
    """
    head, mark, options = url.partition("?")
    # Whatever is before the last @ may be part of it; a user without a password may have been meant as one.
    scheme, _, rest = head.partition("://")
    if "@" in options:
        return f"{scheme}://***"
    credentials, at, place = rest.rpartition("@")
    if at:
        user, colon, _ = credentials.partition(":")
        rest = (f"{user}:***" if colon else "***") + at + place
    return f"{scheme}://{rest}{mark}{re.sub('[^&;]+', _without_secret, options)}"


_SECRET = re.compile("pass|secret|token|key|cred|auth|user", re.IGNORECASE)


def _without_secret(option: "re.Match[str]") -> str:
    name, equals, _ = option[0].partition("=")
    return f"{name}=***" if not equals or _SECRET.search(unquote(name)) else option[0]
