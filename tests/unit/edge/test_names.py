import re

import pytest

from conversations.edge.names import canonical_origin, header_name, host_name, host_names


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
    with pytest.raises(ValueError, match="not a host name"):
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
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://localhost:3000/", "http://localhost:3000"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:080", "http://localhost"),
        ("http://localhost:03000", "http://localhost:3000"),
        ("http://localhost:443", "http://localhost:443"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("http://my_host", "http://my_host"),
        ("http://127.0.0.1:5173", "http://127.0.0.1:5173"),
        ("http://10.0.0.7", "http://10.0.0.7"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
        ("http://[2001:DB8:0:0:1:0:0:1]", "http://[2001:db8::1:0:0:1]"),
        ("http://[1:0:2:3:4:5:6:7]", "http://[1:0:2:3:4:5:6:7]"),
        ("http://[::ffff:192.168.0.1]", "http://[::ffff:c0a8:1]"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abcdefghijklmnopabcdefghijklmnop", "chrome-extension://abcdefghijklmnopabcdefghijklmnop"),
    ],
)
def test_origin_is_written_as_browsers_do(text: str, origin: str) -> None:
    assert canonical_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "null",
            "localhost",
            "localhost:3000",
            "inbox.example.org",
            "//a",
            "https://",
            "https:a",
            "https:/a",
        ),
        *(
            "https://a/b",
            "https://a//",
            "https://a?b",
            "https://a#b",
            "https://a:80/b",
            "https://user@a",
            "https://u:p@a",
        ),
        *("https://*.a", "https://*", "http://localhost:*", "*.a", "https://a,https://b", "https://a https://b"),
        *(" https://a", "https://a ", "https://a\n", "https://a:", "https://a:x", "https://a:-1", "https://a:３"),
        *(
            "https://bücher.example",
            "https://a..b",
            "https://.a",
            "https://a.",
            "https://-a",
            "https://[::1",
            "https://::1",
        ),
    ],
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(
        ValueError, match=re.escape(f"{text!r} is not an origin: it should look like https://inbox.example.org")
    ):
        canonical_origin(text)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        *((f"http://localhost:{port}", "ports are from 1 to 65535") for port in ("0", "65536", "99999")),
        *((f"{scheme}://a", f"the scheme {scheme}") for scheme in ("file", "ws", "wss", "ftp", "data", "about")),
        *(
            (f"http://{host}", f"{host} is not an IP address")
            for host in ("127.1", "1", "256.0.0.1", "1.2.3.4.5", "127.0.0.01", "0x7f.1", "0x7f000001", "a.1", "a.0x")
        ),
        *(
            (f"http://{host}", f"{host} is not an IP address")
            for host in ("[1:2]", "[::1::]", "[:]", "[.]", "[1.2.3.4]")
        ),
    ],
)
def test_origin_that_no_page_has_is_refused(text: str, cause: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{text!r} is not the origin of any page: ")) as refused:
        canonical_origin(text)
    assert cause in str(refused.value)


@pytest.mark.parametrize(("text", "name"), [("X-Tenant", "x-tenant"), ("traceparent", "traceparent"), ("a_b!", "a_b!")])
def test_header_is_written_in_lower_case(text: str, name: str) -> None:
    assert header_name(text) == name


@pytest.mark.parametrize(
    "text",
    ["", "*", " ", "x-tenant:", "x-tenant: 1", "x tenant", "x-a,x-b", ":path", "ä", "a\n", "a\r\nb", "(a)", '"a"'],
)
def test_what_is_no_header_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{text!r} is not a header name")):
        header_name(text)
