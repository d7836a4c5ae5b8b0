"""Plain HTTP, as a web client speaks it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from types import TracebackType
from typing import Any, Self

__all__ = ["Answer", "Rest"]

_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        assert self.headers.get("content-type") == "application/json", self
        return json.loads(self.body)


class Rest:
    """A client that keeps one connection open."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._connection = HTTPConnection(host, int(port), timeout=_TIMEOUT_SECONDS)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        """Send a JSON body; bytes go as they are, None is no body."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return self.request("POST", path, data, **{"content-type": "application/json", **headers})

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send any request."""
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
