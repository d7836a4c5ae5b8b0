import json
from importlib import import_module
from pathlib import Path

import pytest
from google.api.annotations_pb2 import http as http_option
from google.protobuf.descriptor_pb2 import MethodDescriptorProto

from conversations.local import envoy
from conversations.local.envoy import EnvoySettings, render, rest_routes

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
    defaults = {"port": 1, "worker_ports": [2], "admin_socket": Path("/a"), "access_log": Path("/b")}
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
                bindings += [(b.post, method.full_name) for b in (rule, *rule.additional_bindings) if b.post]
    assert bindings
    assert sorted((route.path, route.method) for route in rest_routes()) == sorted(bindings)
    assert len({route.path for route in rest_routes()}) == len(bindings)


@pytest.mark.parametrize(
    ("verb", "path", "body"),
    [("get", "/a", ""), ("post", "/a/{id}", "*"), ("post", "/a", "tag"), ("post", "/a", "")],
)
def test_binding_without_a_route_is_refused(verb: str, path: str, body: str) -> None:
    method = MethodDescriptorProto(name="Odd")
    rule = method.options.Extensions[http_option]
    setattr(rule, verb, path)
    rule.body = body
    with pytest.raises(ValueError, match="Odd: only POST"):
        list(envoy._paths(method))


def test_what_is_filled_in_stays_one_value() -> None:
    origin = 'https://a" ] , evil: "${port} # \''
    assert f'[{{"exact": {json.dumps(origin)}}}]' in render(settings(cors_origins=[origin]))
