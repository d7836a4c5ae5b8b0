"""Pages of other web sites, and foreign host names: refused, and without effect."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from tests.clients import exchange, frame, outcome, request_bytes
from tests.faults.report import Row, others
from tests.faults.running import Running
from tests.rest import Rest

from conversations.v1.tag_service_pb2 import CreateTagRequest

__all__ = ["FAULTS"]

_KNOWN_HOSTS = ("localhost:{port}", "127.0.0.1:{port}", "[::1]:{port}", "localhost")
_UNKNOWN_HOSTS = ("evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "localhost@evil.example", "")
_OWN = "http://{host}"
_FOREIGN = (
    "http://evil.example",
    "https://evil.example",
    "null",
    "http://{host}.evil.example",
    "https://{host}",
    "http://localhost:1",
    "file://",
    "",
)
_TYPES = (
    "application/json",
    "text/plain",
    "text/plain;charset=UTF-8",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "",
    "application/grpc-web",
    "application/grpc-web+proto",
)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A page, or a program, that tries to create a tag."""

    name: str
    """Of the tag."""
    host: str
    origin: str | None
    content_type: str

    def send(self, port: int) -> tuple[int, int, str]:
        headers = {"host": self.host}
        if self.origin is not None:
            headers["origin"] = self.origin
        if self.content_type:
            headers["content-type"] = self.content_type
        path, body = "/tags.create", f'{{"name": "{self.name}", "color": "tag-red"}}'.encode()
        if self.content_type.startswith("application/grpc"):
            path = "/conversations.v1.TagService/CreateTag"
            body = frame(CreateTagRequest(name=self.name, color="tag-red").SerializeToString())
        return outcome(exchange(port, request_bytes(path, body, **headers)))


def _attempts(port: int, hosts: tuple[str, ...], origins: tuple[str | None, ...], kind: str) -> list[_Attempt]:
    found = []
    for number, (template, origin, content_type) in enumerate(product(hosts, origins, _TYPES)):
        host = template.format(port=port)
        name = f"{kind} {number}"
        found.append(_Attempt(name, host, None if origin is None else origin.format(host=host), content_type))
    return found


def foreign_pages(service: Running) -> Iterator[Row]:
    """Every Origin with every Host and every content type, each to create a tag."""
    port = service.http_port
    hosts = _KNOWN_HOSTS + _UNKNOWN_HOSTS
    foreign = _attempts(port, hosts, _FOREIGN, "foreign")
    unknown = _attempts(port, _UNKNOWN_HOSTS, (None, _OWN), "unknown")
    usual = _attempts(port, _KNOWN_HOSTS, (None, _OWN), "usual")
    with service.bystander.watching() as effects:
        yield from _refusals("a foreign Origin", foreign, port, {7})
        yield from _refusals("a Host of another name", unknown, port, {7})
        answers = Counter((status, code) for status, code, _ in (attempt.send(port) for attempt in usual))
        met = set(answers) == {(201, 0), (200, 0)}
        yield Row(f"no Origin, or its own: {len(usual)} requests", _counted(answers), "all 201, or gRPC's 0", met)
        asked = {origin: _preflight(service, origin) for origin in ("http://evil.example", "null")}
        met = set(asked.values()) == {None}
        yield Row("preflight of a foreign page: it may call", str(asked), "nobody", met)
    with Rest(service.stack.http_url) as rest:
        names = {tag["name"] for tag in rest.post("/tags.list", {}).json["tags"]}
    written = {attempt.name for attempt in (*foreign, *unknown)} & names
    yield Row("tags that were written by foreign pages", str(len(written)), "0", not written)
    missing = {attempt.name for attempt in usual} - names
    yield Row("tags of others that were not written", str(len(missing)), "0", not missing)
    yield others("foreign pages", effects[0])


def _refusals(what: str, attempts: list[_Attempt], port: int, codes: set[int]) -> Iterator[Row]:
    answers = Counter(attempt.send(port) for attempt in attempts)
    refused = ("ORIGIN_NOT_ALLOWED", "HOST_NOT_ALLOWED")
    met = all(code in codes and reason in refused for _, code, reason in answers)
    yield Row(f"{what}: {len(attempts)} requests", _counted(answers), "all refused: 403 or 421", met)


def _preflight(service: Running, origin: str) -> str | None:
    with Rest(service.stack.http_url) as rest:
        ask = {"origin": origin, "access-control-request-method": "POST"}
        return rest.request("OPTIONS", "/tags.create", None, **ask).headers.get("access-control-allow-origin")


def _counted(answers: Counter[tuple[int, int, str]] | Counter[tuple[int, int]]) -> str:
    return ", ".join(f"{count} times {answer}" for answer, count in answers.items())


FAULTS = (foreign_pages,)
