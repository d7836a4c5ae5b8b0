"""Settings: read from variables, frozen, and no password in what they print."""

import pytest
from pydantic import SecretStr, ValidationError

from conversations.settings import Settings, display_value, variable
from conversations.store.redis_url import open_redis


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CONVERSATIONS_{name.upper()}", raising=False)


def test_the_password_of_redis_is_in_no_text_of_the_settings() -> None:
    settings = Settings(redis_url=SecretStr("redis://user:hunter2@host:6379/0"))
    for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "hunter2" not in text
    assert settings.redis_url.get_secret_value() == "redis://user:hunter2@host:6379/0"


def test_every_setting_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "redis_url": "redis://elsewhere:6379/0",
        "host": "0.0.0.0",  # noqa: S104
        "port": "1",
        "own_port": "2",
        "partitions": "64",
        "redis_timeout_ms": "100",
        "search_timeout_ms": "10",
        "max_request_bytes": "1024",
        "request_timeout_seconds": "0.25",
        "max_running_calls": "6",
        "max_waiting_calls": "0",
        "max_arriving_calls": "7",
        "max_streams": "8",
        "trusted_proxies": "10.0.0.0/8, ::1",
        "metrics_port": "9",
        "drain_seconds": "0",
        "grace_seconds": "0.5",
        "log_level": "DEBUG",
    }
    assert values.keys() == Settings.model_fields.keys()
    for name, value in values.items():
        monkeypatch.setenv(f"CONVERSATIONS_{name.upper()}", value)
    settings = Settings()
    assert settings.redis_url.get_secret_value() == "redis://elsewhere:6379/0"
    assert settings.model_dump(exclude={"redis_url"}) == {
        "host": "0.0.0.0",  # noqa: S104
        "port": 1,
        "own_port": 2,
        "partitions": 64,
        "redis_timeout_ms": 100,
        "search_timeout_ms": 10,
        "max_request_bytes": 1024,
        "request_timeout_seconds": 0.25,
        "max_running_calls": 6,
        "max_waiting_calls": 0,
        "max_arriving_calls": 7,
        "max_streams": 8,
        "trusted_proxies": "10.0.0.0/8, ::1",
        "metrics_port": 9,
        "drain_seconds": 0.0,
        "grace_seconds": 0.5,
        "log_level": "DEBUG",
    }


def test_defaults_serve_a_laptop() -> None:
    settings = Settings()
    assert settings.redis_url.get_secret_value() == "redis://127.0.0.1:6379/0"
    assert (settings.host, settings.port, settings.own_port) == ("127.0.0.1", 50051, None)
    assert settings.partitions == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "65536"),
        ("port", "-1"),
        ("port", "http"),
        ("port", ""),
        ("own_port", "65536"),
        ("partitions", "0"),
        ("partitions", "65"),
        ("partitions", "1.5"),
        ("redis_timeout_ms", "99"),
        ("search_timeout_ms", "9"),
        ("max_request_bytes", "1023"),
        ("drain_seconds", "-1"),
        ("grace_seconds", "soon"),
        ("log_level", "info"),
        ("host", ""),
        ("host", "two words"),
        ("drain_seconds", "inf"),
        ("grace_seconds", "nan"),
        ("redis_timeout_ms", "1" + "0" * 30),
        ("max_request_bytes", str(2**30)),
        ("max_running_calls", "1" + "0" * 30),
        ("metrics_port", "none"),
        ("log_level", "TRACE"),
    ],
)
def test_wrong_values_are_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"CONVERSATIONS_{name.upper()}", value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert [error["loc"] for error in caught.value.errors()] == [(name,)]


def test_settings_are_frozen() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("name", ["own_port", "metrics_port"])
def test_an_empty_variable_is_no_port(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable(name), "")
    assert getattr(Settings(), name) is None


@pytest.mark.parametrize(
    "ports", [{"port": 7000, "own_port": 7000}, {"own_port": 7000, "metrics_port": 7000}, {"metrics_port": 50051}]
)
def test_a_port_has_one_use(ports: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="CONVERSATIONS_PORT, CONVERSATIONS_OWN_PORT, CONVERSATIONS_METRICS_PORT"):
        Settings(**ports)  # type: ignore[arg-type]


def test_ports_that_are_picked_do_not_clash() -> None:
    assert Settings(port=0, own_port=0, metrics_port=0).port == 0


def test_what_is_shown_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Settings(own_port=7001, drain_seconds=0.5, trusted_proxies="10.0.0.0/8")
    for name in Settings.model_fields:
        monkeypatch.setenv(variable(name), display_value(before, name))
    assert Settings() == before


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://:hunter2@host:6379/0", "redis://:***@host:6379/0"),
        ("rediss://user:hunter2@host:6379/0", "rediss://user:***@host:6379/0"),
        ("redis://user:%68unter2@host", "redis://user:***@host"),
        ("redis://user:hun@ter2@host/0", "redis://user:***@host/0"),
        ("redis://hunter2@host/0", "redis://***@host/0"),
        ("redis://host/0?password=hunter2&protocol=3", "redis://host/0?password=***&protocol=3"),
        ("redis://host/0?%70assword=hunter2", "redis://host/0?%70assword=***"),
        ("redis://host/0?PASSWORD=hunter2&username=hunter2", "redis://host/0?PASSWORD=***&username=***"),
        ("redis://host/0?password=hunter2%40x&db=0", "redis://host/0?password=***&db=0"),
        ("redis://host/0?password=x@hunter2&db=0", "redis://***"),
        ("redis://:x?hunter2@host", "redis://***"),
        ("redis://:x/hunter2@host", "redis://:***@host"),
        ("redis://:x#hunter2@host", "redis://:***@host"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("unix://user:hunter2@/run/redis.sock?db=0", "unix://user:***@/run/redis.sock?db=0"),
        ("redis+sentinel://user:hunter2@a:26379,b:26379/name/0", "redis+sentinel://user:***@a:26379,b:26379/name/0"),
        ("rediss+sentinel://:hunter2@a,[::1]:1/name", "rediss+sentinel://:***@a,[::1]:1/name"),
        ("redis+cluster://:hunter2@a:1,b:2?password=hunter2", "redis+cluster://:***@a:1,b:2?password=***"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, text: str) -> None:
    assert display_value(Settings(redis_url=SecretStr(url)), "redis_url") == text


@pytest.mark.parametrize(
    "url", ["redis://u:secret@host:1/0?protocol=3&password=x", "redis+sentinel://u:secret@a:1,b:2/name", "redis://host"]
)
def test_a_url_that_is_shown_is_one_that_can_be_read(url: str) -> None:
    open_redis(display_value(Settings(redis_url=SecretStr(url)), "redis_url"), 1, 1)
