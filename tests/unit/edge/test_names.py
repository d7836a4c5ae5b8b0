import pytest

from conversations.edge.names import canonical_origin, host_name, host_names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("inbox.example.org", "inbox.example.org"),
        ("INBOX.Example.org.", "inbox.example.org"),
        ("a", "a"),
        ("my_host-1", "my_host-1"),
        ("10.0.0.7", "10.0.0.7"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
    ],
)
def test_host_is_written_in_lower_case(text: str, name: str) -> None:
    assert host_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ".",
            "*",
            "*.example.org",
            "a:80",
            "[::1]:80",
            "::1",
            "http://a",
            "a/b",
            "user@a",
            "a b",
            "a,b",
            "-a",
            "a-",
        ),
        *("a..b", "a" * 254, "ä.example", "a\nb"),
    ],
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not the name of a host"):
        host_name(text)


def test_this_machine_is_always_allowed() -> None:
    assert host_names(["Inbox.example.org", "localhost"]) == [
        *("localhost", "localhost.", "127.0.0.1", "127.0.0.1.", "[::1]"),
        *("inbox.example.org", "inbox.example.org."),
    ]


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("*", "*"),
        ("https://inbox.example.org", "https://inbox.example.org"),
        ("HTTPS://Inbox.example.org:443/", "https://inbox.example.org"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:443", "http://localhost:443"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_origin_is_written_as_browsers_do(text: str, origin: str) -> None:
    assert canonical_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    ["", "null", "inbox.example.org", "https://", "https://a/b", "https://a?b", "https://user@a", "https://*.a", "//a"],
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an origin"):
        canonical_origin(text)
