"""The one configuration object, read once from `CONVERSATIONS_*` variables."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["Settings"]


class Settings(BaseSettings):
    """Settings of a worker. Each is read from its name in upper case behind `CONVERSATIONS_`."""

    model_config = SettingsConfigDict(
        env_prefix="CONVERSATIONS_", frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """Redis with the search module: `redis://`, `rediss://`, `unix://`, and with `+sentinel` or `+cluster` behind
    `redis` or `rediss` for several hosts: `redis+sentinel://:password@host1:26379,host2:26379/service-name/0`,
    `redis+cluster://host1:6379,host2:6379`."""

    host: str = "127.0.0.1"
    """Address that the gRPC server listens on."""

    port: int = Field(default=50051, ge=0, le=65535)
    """Port that the gRPC server listens on; several workers may share it. 0 picks a free one."""

    own_port: int | None = Field(default=None, ge=0, le=65535)
    """A second port that no other worker shares, for a proxy that balances the load itself."""

    partitions: int = Field(default=1, ge=1, le=64)
    """Partitions of an empty Redis; one that holds data keeps the number it was made with."""

    redis_timeout_ms: int = Field(default=5_000, ge=100)
    """The longest wait for an answer of Redis where the call has no earlier deadline, in milliseconds."""

    search_timeout_ms: int = Field(default=2_000, ge=10)
    """The longest that one search may take inside Redis, in milliseconds; then the call fails."""

    max_filter_words: int = Field(default=5_000, ge=1)
    """The most words that the patterns of one filter may match."""

    max_phrase_candidates: int = Field(default=2_000, ge=1)
    """The most conversations that are checked one by one for the loose phrases of one filter."""

    max_filter_cost: int = Field(default=70, ge=1)
    """The most that one filter may cost, about the milliseconds that it may keep Redis busy: what it asks, by the
    number of conversations, or by 100,000 where there are more."""

    max_request_bytes: int = Field(default=48 * 1024 * 1024, ge=1024)
    """The largest request that the gRPC server takes, in bytes. Free JSON can be six times as large in protobuf: the
    default takes what Envoy lets through."""

    drain_seconds: float = Field(default=3.0, ge=0)
    """How long a stopping server says NOT_SERVING before it refuses new calls, in seconds."""

    grace_seconds: float = Field(default=5.0, ge=0)
    """How long a stopping server lets running calls go on, in seconds."""

    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """The least severe log lines to write: DEBUG, INFO, WARNING or ERROR."""
