"""What is neither HTTP/1.1 nor HTTP/2: refused in words, or done without."""

import pytest
from tests.clients import WEBSOCKET, connect, exchange, outcome, request_bytes
from tests.e2e.edge.running import Edge, nobody_notices

UNSUPPORTED = (501, 12, "UNSUPPORTED_PROTOCOL")
PROTOCOL_ERROR = 1


@pytest.mark.parametrize("path", ["/", "/tags.list", "/healthz", "/nowhere"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_websocket_is_refused(edge: Edge, method: str, path: str) -> None:
    reply = exchange(edge.port, request_bytes(path, b"", method, **WEBSOCKET))
    assert outcome(reply) == UNSUPPORTED
    assert "WebSocket" in reply.json["message"]


def test_page_of_another_origin_gets_no_websocket_either(edge: Edge) -> None:
    reply = exchange(edge.port, request_bytes("/", b"", "GET", **WEBSOCKET, origin="http://evil.example"))
    assert outcome(reply) == UNSUPPORTED


@pytest.mark.parametrize("protocol", ["TLS/1.0", "h2", "foo, bar", "websocket, h2c"])
def test_other_upgrades_are_refused(edge: Edge, protocol: str) -> None:
    headers = {"connection": "upgrade", "upgrade": protocol}
    assert outcome(exchange(edge.port, request_bytes("/tags.list", b"{}", **headers))) == UNSUPPORTED


@pytest.mark.parametrize("protocol", ["h2c", "H2C"])
def test_upgrade_to_http2_is_done_without(edge: Edge, protocol: str) -> None:
    """`curl --http2` asks for it with its first request, and takes an answer in HTTP/1.1."""
    headers = {
        "connection": "Upgrade, HTTP2-Settings",
        "upgrade": protocol,
        "http2-settings": "AAMAAABkAARAAAAAAAIAAAAA",
    }
    assert outcome(exchange(edge.port, request_bytes("/tags.list", b"{}", **headers))) == (200, 0, "")


@pytest.mark.parametrize("target", ["127.0.0.1:80", "evil.example:443"])
def test_tunnel_is_refused_at_once(edge: Edge, target: str) -> None:
    call = f"CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n".encode()
    with nobody_notices(edge):
        assert outcome(exchange(edge.port, call, timeout=0.8)) == UNSUPPORTED


def test_tunnel_in_http2_is_refused(edge: Edge) -> None:
    with nobody_notices(edge):
        assert outcome(connect(edge.port)) == UNSUPPORTED


def test_extended_tunnel_that_was_not_offered_ends_its_stream(edge: Edge) -> None:
    """RFC 8441 has it so: the server did not announce it."""
    more = ((":protocol", "websocket"), (":scheme", "http"), (":path", "/"))
    assert connect(edge.port, *more).reset == PROTOCOL_ERROR
