"""The `conversations` command: help, settings, filters explained, and errors in one sentence."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from conversations.cli import main
from conversations.settings import Settings

COMMANDS = {"up", "serve", "envoy-config", "settings", "import", "export", "reindex", "explain", "doctor"}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CONVERSATIONS_{name.upper()}", raising=False)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_the_commands_of_the_contract_are_there() -> None:
    assert isinstance(main, click.Group)
    assert set(main.commands) >= COMMANDS


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_names_every_command(option: str) -> None:
    result = run(option)
    assert result.exit_code == 0
    for command in COMMANDS:
        assert f"\n  {command} " in result.stdout


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_of_a_command_says_what_it_does_and_each_option(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert isinstance(main, click.Group)
    described = main.commands[command]
    assert described.help
    assert " ".join(described.help.split("\n")[0].split()) in " ".join(result.stdout.split())
    for parameter in described.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            assert parameter.opts[0] in result.stdout


def test_up_has_the_options_of_the_contract() -> None:
    output = run("up", "--help").stdout
    for option in ("--http-port", "--grpc-port", "--redis-url", "--data-dir", "--workers", "--demo"):
        assert option in output
    for default in ("[default: 8080]", "[default: 50051]", "[default: .data]"):
        assert default in output


def test_version() -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("conversations, version ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nothing",), "No such command 'nothing'."),
        (("up", "--workers", "0"), "0 is not in the range 1<=x<=64."),
        (("up", "--http-port", "x"), "'x' is not a valid integer."),
        (("up", "--http-port", "99999"), "99999 is not in the range 0<=x<=65535."),
        (("up", "--http-port", "-1"), "-1 is not in the range 0<=x<=65535."),
        (("up", "--grpc-port", "65536"), "65536 is not in the range 0<=x<=65535."),
        (("up", "--grpc-port", "1" + "0" * 30), "is not in the range 0<=x<=65535."),
        (("envoy-config",), "Missing option '--worker'."),
        (("envoy-config", "--worker", "10.0.0.1"), "'10.0.0.1' is not an address"),
        (("envoy-config", "--worker", "a:0"), "'a:0' is not an address"),
        (("envoy-config", "--worker", "a:65536"), "'a:65536' is not an address"),
        (("envoy-config", "--worker", "http://a:1"), "'http://a:1' is not an address"),
        (("envoy-config", "--worker", "a:1", "--host", "localhost"), "'localhost' does not appear to be an IP"),
        (("envoy-config", "--worker", "a:1", "--admin", "a"), "'a' is not an address"),
        (("envoy-config", "--worker", "a:1", "--allow-host", "a:1"), "'a:1' is not a host name"),
        (("envoy-config", "--worker", "a:1", "--call-timeout", "0"), "0 is not in the range x>=0.1."),
        (("up", "--partitions", "65"), "65 is not in the range 1<=x<=64."),
        (("up", "--max-log-bytes", "1"), "1 is not in the range x>=4096."),
        (("up", "--data-dir", ""), "Invalid value for '--data-dir': the name is empty"),
        (("up", "--redis-url", "http://host"), "The Redis URL has to start with redis://"),
        (("export", "--redis-url", "redis://host:99999"), "The Redis URL cannot be read"),
        (("doctor", "--redis-url", "redis://host?nothing=1"), "has an unknown option after its `?`"),
        (("reindex", "--redis-url", "redis://host/1"), "names a database other than 0"),
        (("export", "--data-dir", ""), "the name is empty"),
        (
            ("import", "-", "--target", "http://127.0.0.1:50051"),
            "is not a gRPC address: it should look like 127.0.0.1:50051",
        ),
        (("import",), "Missing argument 'FILE'."),
        (("explain",), "Missing argument 'FILTER'."),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], sentence: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_settings_prints_each_with_its_value_and_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERSATIONS_PORT", "7000")
    monkeypatch.setenv("CONVERSATIONS_REDIS_URL", "redis://:hunter2@host")
    result = run("settings")
    assert result.exit_code == 0
    assert "CONVERSATIONS_PORT=7000\n    Port that the gRPC server listens on;" in result.stdout
    for name in Settings.model_fields:
        assert f"CONVERSATIONS_{name.upper()}=" in result.stdout
    assert "hunter2" not in result.output


def test_settings_says_where_each_value_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERSATIONS_PORT", "50051")
    monkeypatch.setenv("CONVERSATIONS_REDIS_URL", "redis://user:hunter2@host:6379")
    shown = dict(line.split("=", 1) for line in run("settings").stdout.splitlines() if not line.startswith(" "))
    assert shown["CONVERSATIONS_REDIS_URL"] == "redis://user:***@host:6379"
    assert shown["CONVERSATIONS_OWN_PORT"] == ""
    sources = [line.strip() for line in run("settings").stdout.splitlines() if line.startswith(("    From", "    Def"))]
    assert len(sources) == len(Settings.model_fields)
    assert sources[0] == "From the environment; default: redis://127.0.0.1:6379/0"
    assert sources[1:3] == ["Default", "From the environment; default: 50051"]


@pytest.mark.parametrize(
    "url",
    [
        "foo",
        "http://h",
        "redis://:hunter2@h:99999",
        "redis://h/1",
        "redis+cluster://h",
        "redis://h?x=hunter2",
    ],
)
@pytest.mark.parametrize("command", ["settings", "serve"])
def test_settings_refuses_a_url_that_serve_refuses(command: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERSATIONS_REDIS_URL", url)
    result = run(command)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "hunter2" not in result.output


@pytest.mark.parametrize("command", ["serve", "settings", "up"])
def test_wrong_settings_are_said_in_one_line(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERSATIONS_PORT", "70000")
    monkeypatch.setenv("CONVERSATIONS_LOG_LEVEL", "loud")
    result = run(command)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        "Error: invalid settings: CONVERSATIONS_PORT: has to be 65535 or less; "
        "CONVERSATIONS_LOG_LEVEL: has to be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'\n"
    )


@pytest.mark.parametrize(
    "value", ["", "x", "-1", "1.5", "1e400", "nan", "9" * 5_000, "a b/c"], ids=lambda value: value[:5]
)
def test_a_wrong_setting_is_said_in_our_words(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields.keys() - {"redis_url"}:
        with monkeypatch.context() as patch:
            patch.setenv(f"CONVERSATIONS_{name.upper()}", value)
            result = run("settings")
        if result.exit_code:
            said = result.stderr.removeprefix(f"Error: invalid settings: CONVERSATIONS_{name.upper()}: ")
            assert said.startswith("has to be "), (name, result.stderr)
            assert "{" not in said


def test_a_wrong_redis_url_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERSATIONS_REDIS_URL", "http://:hunter2@host")
    result = run("serve")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: The Redis URL has to start with redis://")
    assert "hunter2" not in result.output


@pytest.mark.parametrize("command", ["export", "reindex"])
def test_without_a_running_redis_the_way_out_is_said(command: str, tmp_path: Path) -> None:
    result = run(command, "--data-dir", str(tmp_path))
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: no Redis runs under {tmp_path}: start `conversations up`, or name one with --redis-url\n"
    )


@pytest.mark.parametrize("command", ["export", "reindex"])
def test_a_redis_that_is_away_is_said_in_one_sentence(command: str, tmp_path: Path) -> None:
    result = run(command, "--redis-url", f"unix://{tmp_path}/none.sock")
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: the store is unavailable: Redis cannot be reached at {tmp_path}/none.sock: No such file or directory\n"
    )


@pytest.mark.parametrize(
    ("text", "marker", "sentence"),
    [
        ("nick:ada", "^", "at position 0: there is no field `nick`"),
        ("ada AND nick:x", "        ^", "at position 8: there is no field `nick`"),
        ("ada AND (bob", "        ^", "at position 8: "),
        ("unread_count:many", "             ^", "at position 13: "),
    ],
)
def test_explain_marks_where_a_filter_is_wrong(text: str, marker: str, sentence: str) -> None:
    result = run("explain", text)
    assert result.exit_code == 1
    assert result.stdout == ""
    lines = result.stderr.split("\n")
    assert lines[:2] == [text, marker]
    assert lines[2].startswith(f"Error: {sentence}")


@pytest.mark.parametrize("command", ["export", "reindex", "doctor"])
def test_a_data_directory_that_is_none_is_said_in_one_line(command: str) -> None:
    result = run(command, "--data-dir", "/dev/null/data")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("Error: ")


def test_explain_shows_fields_and_query() -> None:
    result = run("explain", "source:facebook AND unread_count:[2 TO *]")
    assert result.exit_code == 0
    assert "source (keyword) facebook" in result.stdout
    assert "@src:{facebook}" in result.stdout
    assert "@un:[2 +inf]" in result.stdout
    assert "Explanation(" not in result.stdout
