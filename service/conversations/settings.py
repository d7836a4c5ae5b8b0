"""The one configuration object, read once from `CONVERSATIONS_*` variables."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["Settings", "shown", "variable"]

_PREFIX = "CONVERSATIONS_"
_MAX_PORT = 65535
_MAX_COUNT = 10_000_000
_DAY_SECONDS = 86_400

# An empty variable is none.
_OptionalPort = Annotated[int | None, BeforeValidator(lambda value: None if value == "" else value)]


class Settings(BaseSettings):
    """Settings of a worker. Each is read from its name in upper case behind `CONVERSATIONS_`."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid", use_attribute_docstrings=True)

    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """Redis with the search module: `redis://`, `rediss://`, `unix://`, and `redis+sentinel://` or `rediss+sentinel://`
    for the master that several Sentinels name: `redis+sentinel://:password@host1:26379,host2:26379/service-name/0`."""

    host: str = Field(default="127.0.0.1", pattern=r"^[^\s/]+$")
    """Address that the gRPC server listens on."""

    port: int = Field(default=50051, ge=0, le=_MAX_PORT)
    """Port that the gRPC server listens on; several workers may share it. 0 picks a free one."""

    own_port: _OptionalPort = Field(default=None, ge=0, le=_MAX_PORT)
    """A second port that no other worker shares, for a proxy that balances the load itself."""

    partitions: int = Field(default=1, ge=1, le=64)
    """Partitions of an empty Redis; one that holds data keeps the number it was made with."""

    redis_timeout_ms: int = Field(default=5_000, ge=100, le=1000 * _DAY_SECONDS)
    """The longest wait for an answer of Redis where the call has no earlier deadline, in milliseconds."""

    search_timeout_ms: int = Field(default=2_000, ge=10, le=1000 * _DAY_SECONDS)
    """The longest that one search may take inside Redis, in milliseconds; then the call fails."""

    max_filter_words: int = Field(default=5_000, ge=1, le=_MAX_COUNT)
    """The most words that the patterns of one filter may match."""

    max_phrase_candidates: int = Field(default=2_000, ge=1, le=_MAX_COUNT)
    """The most conversations that are checked one by one for the loose phrases of one filter."""

    max_filter_cost: int = Field(default=70, ge=1, le=_MAX_COUNT)
    """The most that one filter may cost, about the milliseconds that it may keep Redis busy: what it asks, by the
    number of conversations, or by 100,000 where there are more."""

    max_request_bytes: int = Field(default=16 * 1024 * 1024, ge=1024, le=2**30 - 1)
    """The largest request of events, in bytes, as JSON and as protobuf; other requests may have 256 KiB. A worker holds
    16 requests that take more than a second to arrive, and 128 MiB of those above 64 KiB, however far they are."""

    request_timeout_seconds: float = Field(default=30.0, gt=0, le=_DAY_SECONDS)
    """The longest that a request may take to arrive, in seconds."""

    max_running_calls: int = Field(default=100, ge=1, le=_MAX_COUNT)
    """Calls that a worker works on at the same time."""

    max_waiting_calls: int = Field(default=400, ge=0, le=_MAX_COUNT)
    """Calls that wait for their turn. When there are more, the newest of whoever has the most is refused."""

    max_arriving_calls: int = Field(default=1_000, ge=1, le=_MAX_COUNT)
    """Calls whose request is still to come. When there are more, the newest of whoever has the most is refused."""

    max_streams: int = Field(default=1_000, ge=1, le=_MAX_COUNT)
    """Streams that a worker keeps open: those who watch its health."""

    trusted_proxies: str = "127.0.0.1 ::1"
    """Addresses and networks of the proxies that say in `x-conversations-caller` for whom they call, with blanks
    between. Callers share a worker fairly; to others the header does not matter."""

    metrics_port: _OptionalPort = Field(default=None, ge=0, le=_MAX_PORT)
    """Port of `/metrics`, for Prometheus; none by default."""

    drain_seconds: float = Field(default=3.0, ge=0, le=_DAY_SECONDS)
    """How long a stopping server says NOT_SERVING before it refuses new calls, in seconds."""

    grace_seconds: float = Field(default=5.0, ge=0, le=_DAY_SECONDS)
    """How long a stopping server lets running calls go on, in seconds."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe log lines to write: DEBUG, INFO, WARNING or ERROR."""

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
    """Return the environment's name of a setting."""
    return _PREFIX + name.upper()


def shown(settings: Settings, name: str) -> str:
    """Return a setting as its variable would have it, without a password; nothing for none."""
    value: Any = getattr(settings, name)
    if isinstance(value, SecretStr):
        return _without_password(value.get_secret_value())
    return "" if value is None else str(value)


def _without_password(url: str) -> str:
    """Put `***` where a URL has a password, or may have one.

    The text is looked at and not its parts: with special characters that are not escaped, a password is not where it
    should be.
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
