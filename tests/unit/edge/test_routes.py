import json
from importlib import import_module
from pathlib import Path

import pytest
from google.api.annotations_pb2 import http as http_option
from google.protobuf.descriptor_pb2 import MethodDescriptorProto

from conversations.edge import Address, EnvoySettings, configuration, render, rest_routes, routes

NO_CONTENT = {
    *("conversations.read", "conversations.markRead", "conversations.mark-read"),
    *("conversations.tag", "conversations.untag"),
    *("conversations.setState", "conversations.set-state", "conversations.removeState", "conversations.remove-state"),
    *("conversations.updateContact", "conversations.update-contact"),
    *("tags.update", "tags.delete", "metadata.upsert"),
}
CREATED = {"tags.create"}
OK = {
    *("conversations.list", "conversations.info", "messages.list", "tags.list", "channels.list", "channels.info"),
    "events.ingest",
}


def settings(**values: object) -> EnvoySettings:
    defaults = {"port": 1, "workers": [Address("127.0.0.1", 2)], "access_log": Path("/b")}
    return EnvoySettings(**{**defaults, **values})  # type: ignore[arg-type]


def test_documented_paths_have_their_success_status() -> None:
    statuses = {route.path.removeprefix("/"): route.success_status for route in rest_routes()}
    wanted = {**dict.fromkeys(NO_CONTENT, 204), **dict.fromkeys(CREATED, 201), **dict.fromkeys(OK, 200)}
    assert {path: statuses.get(path) for path in wanted} == wanted


def test_each_binding_of_the_protos_is_one_route() -> None:
    bindings = []
    for file in sorted(Path("protos/conversations/v1").glob("*_service.proto")):
        module = import_module(f"conversations.v1.{file.stem}_pb2")
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                rule = method.GetOptions().Extensions[http_option]
                for binding in (rule, *rule.additional_bindings):
                    if verb := binding.WhichOneof("pattern"):
                        bindings.append((getattr(binding, verb), verb.upper(), method.full_name))
    assert bindings
    assert sorted((route.path, route.verb, route.method) for route in rest_routes()) == sorted(bindings)
    assert len({route.path for route in rest_routes()}) == len(bindings)


@pytest.mark.parametrize(
    ("verb", "path", "body"),
    [
        ("get", "/a", "*"),
        ("get", "/a/{id}", ""),
        ("put", "/a", "*"),
        ("post", "/a/{id}", "*"),
        ("post", "/a", "tag"),
        ("post", "/a", ""),
    ],
)
def test_binding_without_a_route_is_refused(verb: str, path: str, body: str) -> None:
    method = MethodDescriptorProto(name="Odd")
    rule = method.options.Extensions[http_option]
    setattr(rule, verb, path)
    rule.body = body
    with pytest.raises(ValueError, match="Odd: only POST"):
        list(routes._bindings(method))


@pytest.mark.parametrize(
    ("call_ms", "deadline_ms", "ingest_ms"), [(15_000, 14_500, 44_500), (5_000, 4_500, 34_500), (1_000, 900, 30_900)]
)
def test_a_worker_gives_up_just_before_envoy(call_ms: int, deadline_ms: int, ingest_ms: int) -> None:
    """A tenth before, half a second at most. It gets events as they come: their way here counts for it alone."""
    special = {"events.ingest": (ingest_ms, call_ms), "healthz": (2_250, 2_500)}
    found, wanted = {}, {}
    for route in rest_routes():
        values, name = configuration._rest_values(route, settings(call_ms=call_ms)), route.path.removeprefix("/")
        found[name] = ([one["header"] for one in values["headers"]], values["route"]["timeout"])
        worker_ms, envoy_ms = special.get(name, (deadline_ms, call_ms))
        deadline = [{"key": "grpc-timeout", "value": f"{worker_ms}m"}]
        wanted[name] = ([], "0s") if route.streams else (deadline, f"{envoy_ms / 1000}s")
    assert special.keys() < found.keys()
    assert found == wanted


def test_what_is_filled_in_stays_one_value() -> None:
    path = '/a" ] , evil: "${port} # \''
    assert f"path: {json.dumps(path)}\n" in render(settings(access_log=Path(path)))


@pytest.mark.parametrize(
    "origin",
    [
        "localhost:3000",
        "https://inbox.example.org/app",
        "https://*.example.org",
        "https://a b",
        'https://a" ]',
        "",
        "//a",
    ],
)
def test_an_origin_that_no_page_has_is_refused(origin: str) -> None:
    with pytest.raises(ValueError, match="is not an origin"):
        render(settings(cors_origins=[origin]))


@pytest.mark.parametrize("name", ["*", "x-tenant:", "x tenant", ""])
def test_a_header_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a header name"):
        render(settings(cors_headers=[name]))


@pytest.mark.parametrize("name", ["https://inbox.example.org", "inbox.example.org:8080", "*", "a b", "-a", "a..b", ""])
def test_a_host_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a host name"):
        render(settings(allowed_hosts=[name]))
