"""The gRPC server of one worker: wires the rooms together, says how it is, and stops without losing calls."""

import asyncio
import logging
import signal
from contextlib import suppress

import grpc
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from conversations import servicers
from conversations.errors import ConfigurationError, ServiceError, StoreUnavailableError
from conversations.interceptors import UnknownMethodHandler, method_handler
from conversations.settings import Settings
from conversations.store import Store, open_store
from conversations.v1 import (
    channel_service_pb2,
    conversation_service_pb2,
    filter_service_pb2,
    ingest_service_pb2,
    message_service_pb2,
    metadata_service_pb2,
    tag_service_pb2,
)

__all__ = ["Server", "serve"]

logger = logging.getLogger(__name__)

_SERVICES = (
    (conversation_service_pb2, "ConversationService", servicers.ConversationServicer),
    (message_service_pb2, "MessageService", servicers.MessageServicer),
    (tag_service_pb2, "TagService", servicers.TagServicer),
    (channel_service_pb2, "ChannelService", servicers.ChannelServicer),
    (metadata_service_pb2, "MetadataService", servicers.MetadataServicer),
    (filter_service_pb2, "FilterService", servicers.FilterServicer),
    (ingest_service_pb2, "IngestService", servicers.IngestServicer),
)
_HEALTH_INTERVAL_SECONDS = 1.0
_RETRY_SECONDS = 0.5


class Server:
    """A worker's gRPC server."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(
            options=[
                # `method_handler` measures, and says so with details; this is for what is far beyond.
                ("grpc.max_receive_message_length", 2 * settings.max_request_bytes),
                ("grpc.so_reuseport", 1),
                # A client may keep an idle connection open by pings, once every ten seconds.
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
            ]
        )
        names = [health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME]
        for module, name, servicer_type in _SERVICES:
            descriptor = module.DESCRIPTOR.services_by_name[name]
            servicer = servicer_type(store)
            handlers = {
                method.name: method_handler(
                    f"{name}/{method.name}",
                    getattr(servicer, f"parse_{method.name}", GetMessageClass(method.input_type).FromString),
                    getattr(servicer, method.name),
                    settings.max_request_bytes,
                )
                for method in descriptor.methods
            }
            self._server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(descriptor.full_name, handlers),)
            )
            names.append(descriptor.full_name)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(names, self._server)
        self._server.add_generic_rpc_handlers((UnknownMethodHandler(),))
        self._watch: asyncio.Task[None] | None = None
        self.port = 0
        """The port that the server listens on, once it has started."""

    async def start(self) -> None:
        """Start to answer calls.

        Raises:
            ConfigurationError: A port is taken.
        """
        settings = self._settings
        try:
            self.port = self._server.add_insecure_port(f"{settings.host}:{settings.port}")
            if settings.own_port is not None:
                self._server.add_insecure_port(f"{settings.host}:{settings.own_port}")
        except RuntimeError as error:
            raise ConfigurationError(
                f"The server cannot listen on {settings.host}, port {settings.port}"
                + (f" and {settings.own_port}" if settings.own_port is not None else "")
                + ": is a port in use by another program?"
            ) from error
        await self._say_health()
        await self._server.start()
        self._watch = asyncio.create_task(self._watch_health())

    async def _watch_health(self) -> None:
        while True:
            await asyncio.sleep(_HEALTH_INTERVAL_SECONDS)
            await self._say_health()

    async def _say_health(self) -> None:
        """Say SERVING exactly while Redis answers and filters find every document."""
        try:
            serving = await self._store.index_progress() >= 1.0
        except ServiceError:
            serving = False
        except Exception:
            logger.exception("the health check failed by a defect")
            serving = False
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        await self._health.set("", status)
        for module, name, _ in _SERVICES:
            await self._health.set(module.DESCRIPTOR.services_by_name[name].full_name, status)

    async def stop(self) -> None:
        """Say NOT_SERVING, wait until those who balance the load have seen it, then let running calls finish."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(self._settings.drain_seconds)
        await self._server.stop(self._settings.grace_seconds)


async def serve(settings: Settings, stop: asyncio.Event | None = None) -> None:
    """Serve until SIGTERM, SIGINT or `stop`.

    Raises:
        ConfigurationError: Settings or Redis are not as the service needs them.
    """
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    store = await _open_when_ready(settings, stop)
    if store is None:
        return
    server = Server(settings, store)
    try:
        await server.start()
        logger.info("serving on %s:%d", settings.host, server.port)
        await stop.wait()
        logger.info("stopping")
        await server.stop()
    finally:
        await store.close()


async def _open_when_ready(settings: Settings, stop: asyncio.Event) -> Store | None:
    """Open the store, however long Redis takes to come up; None when told to stop meanwhile."""
    told = False
    while not stop.is_set():
        try:
            return await open_store(settings)
        except StoreUnavailableError:
            if not told:
                logger.warning("waiting for Redis")
                told = True
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _RETRY_SECONDS)
    return None
