"""Settings: read from variables, frozen, and no password in what they print."""

import pytest
from pydantic import SecretStr, ValidationError

from conversations.settings import Settings


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
        "max_filter_words": "3",
        "max_phrase_candidates": "4",
        "max_filter_cost": "5",
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
        "max_filter_words": 3,
        "max_phrase_candidates": 4,
        "max_filter_cost": 5,
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
    assert (settings.partitions, settings.max_filter_words) == (1, 5000)


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
        ("max_filter_words", "0"),
        ("max_request_bytes", "1023"),
        ("drain_seconds", "-1"),
        ("grace_seconds", "soon"),
        ("log_level", "info"),
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
