"""The gRPC server of one worker: wires the packages together, reports health, and stops without losing calls."""

import asyncio
import ctypes
import logging
import signal
from contextlib import suppress

import grpc

from conversations import servicers
from conversations.errors import ConfigurationError, ServiceError, StoreUnavailableError
from conversations.logs import OncePerInterval
from conversations.metrics import serve_metrics
from conversations.rpc import (
    MAX_HEADER_BYTES,
    MAX_REQUEST_BYTES,
    Admission,
    Handlers,
    Health,
    Limits,
    Method,
    Peers,
    make_server,
    reflection_methods,
)
from conversations.settings import Settings
from conversations.signals import exit_immediately
from conversations.store import Store, open_store
from conversations.store.outages import explain_outage
from conversations.v1 import (
    channel_service_pb2,
    conversation_service_pb2,
    filter_service_pb2,
    health_service_pb2,
    ingest_service_pb2,
    message_service_pb2,
    metadata_service_pb2,
    tag_service_pb2,
)

__all__ = ["Server", "serve"]

logger = logging.getLogger(__name__)
store_logger = logging.getLogger("conversations.store.redis_errors")

_SERVICES = (
    (conversation_service_pb2, "ConversationService", servicers.ConversationServicer),
    (message_service_pb2, "MessageService", servicers.MessageServicer),
    (tag_service_pb2, "TagService", servicers.TagServicer),
    (channel_service_pb2, "ChannelService", servicers.ChannelServicer),
    (metadata_service_pb2, "MetadataService", servicers.MetadataServicer),
    (filter_service_pb2, "FilterService", servicers.FilterServicer),
    (ingest_service_pb2, "IngestService", servicers.IngestServicer),
)

_MAX_PENDING_CALLS = 20_000
_IDLE_CONNECTION_MS = 300_000
_HANDSHAKE_MS = 10_000

# From malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8

_HEALTH_INTERVAL_SECONDS = 0.5
# How long Redis may be silent: a search may take two seconds. After half of that another connection is tried.
_HEALTH_PATIENCE_SECONDS = 2.2
_HEALTH_TRIES = 2
_RETRY_SECONDS = 0.5
_WAITING_SECONDS = 30.0


class Server:
    """A worker's gRPC server."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        services = [module.DESCRIPTOR.services_by_name[name] for module, name, _ in _SERVICES]
        health_service = health_service_pb2.DESCRIPTOR.services_by_name["HealthService"]
        names = [service.full_name for service in (*services, health_service)]
        self._health = Health(names)
        methods = self._health.methods()
        health_servicer = servicers.HealthServicer(self._health)
        methods.append(Method(health_service.methods[0], health_servicer.GetHealth, takes_turns=False))
        for service, (_, _, servicer_type) in zip(services, _SERVICES, strict=True):
            servicer = servicer_type(store)
            for method in service.methods:
                most = settings.max_request_bytes
                if method.name not in ("IngestEvents", "IngestJson"):
                    most = min(most, MAX_REQUEST_BYTES)
                parse = getattr(servicer, f"parse_{method.name}", None)
                methods.append(Method(method, getattr(servicer, method.name), parse, most))
        methods += reflection_methods([*names, methods[0].descriptor.containing_service.full_name])
        self._server = self._make_server(methods)
        self._watch: asyncio.Task[None] | None = None
        self.port = 0
        """The port that the server listens on, once it has started."""

    def _make_server(self, methods: list[Method]) -> grpc.aio.Server:
        settings = self._settings
        limits = Limits(
            max_arriving=settings.max_arriving_calls,
            max_waiting=settings.max_waiting_calls,
            max_running=settings.max_running_calls,
            max_streams=settings.max_streams,
            arrival_seconds=settings.request_timeout_seconds,
        )
        handlers = Handlers(methods, Admission(limits), Peers(settings.proxy_networks))
        return make_server(
            handlers,
            handlers.paths,
            options=[
                # Handlers measure requests and refuse them with details; this limit is for what is far beyond.
                ("grpc.max_receive_message_length", 2 * settings.max_request_bytes),
                # Likewise. Above the first of these gRPC refuses at random, above the second always.
                ("grpc.max_metadata_size", 4 * MAX_HEADER_BYTES),
                ("grpc.absolute_max_metadata_size", 8 * MAX_HEADER_BYTES),
                # Admission refuses excess calls, with a reason; by default gRPC randomly cancels calls that it has not
                # handed over yet, from 1,000 on.
                ("grpc.server.max_pending_requests", _MAX_PENDING_CALLS),
                ("grpc.server.max_pending_requests_hard_limit", 2 * _MAX_PENDING_CALLS),
                ("grpc.so_reuseport", 1),
                # A client may keep an idle connection open with pings, one every ten seconds.
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.max_connection_idle_ms", _IDLE_CONNECTION_MS),
                ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
            ],
        )

    async def start(self) -> None:
        """Start answering calls.

        Raises:
            ConfigurationError: A port is taken.
        """
        settings = self._settings
        try:
            self.port = self._server.add_insecure_port(f"{settings.host}:{settings.port}")
            if settings.own_port is not None:
                self._server.add_insecure_port(f"{settings.host}:{settings.own_port}")
            if settings.metrics_port is not None:
                serve_metrics(settings.host, settings.metrics_port)
        except (RuntimeError, OSError) as error:
            ports = [port for port in (settings.port, settings.own_port, settings.metrics_port) if port is not None]
            raise ConfigurationError(
                f"the server cannot listen on {settings.host}, port {' and '.join(map(str, ports))}: is a port in use "
                "by another program?"
            ) from error
        await self._check_health()
        await self._server.start()
        self._watch = asyncio.create_task(self._watch_health())

    async def _watch_health(self) -> None:
        while True:
            await asyncio.sleep(_HEALTH_INTERVAL_SECONDS)
            await self._check_health()

    async def _check_health(self) -> None:
        """Publish whether calls can be served: while Redis answers and filters find every document."""
        checks: list[asyncio.Task[list[str]]] = []
        try:
            while True:
                # A reply may be lost: whichever comes first counts.
                check = asyncio.create_task(self._store.find_faults())
                # Otherwise asyncio would log the error of a check that is never awaited.
                check.add_done_callback(lambda done: done.cancelled() or done.exception())
                checks.append(check)
                patience = _HEALTH_PATIENCE_SECONDS / _HEALTH_TRIES
                done, _ = await asyncio.wait(checks, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                if done:
                    break
                if len(checks) == _HEALTH_TRIES:
                    self._health.publish(serving=False, causes=["Redis does not answer"])
            self._health.publish(serving=True, causes=done.pop().result())
        except ServiceError as error:
            self._health.publish(serving=False, causes=[error.message])
        except Exception:
            logger.exception("the health check failed due to a defect")
            self._health.publish(serving=False, causes=["the health check fails"])
        finally:
            for check in checks:
                check.cancel()

    async def stop(self) -> None:
        """Report NOT_SERVING, wait until load balancers have seen it, then let running calls finish."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        self._health.stop()
        await asyncio.sleep(self._settings.drain_seconds)
        await self._server.stop(self._settings.grace_seconds)


def return_freed_memory() -> None:
    """Make glibc return large freed blocks to the system.

    By default it adapts to them and keeps them: 80 refused requests of 8 MB left 540 MB behind; with this, 180 MB.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        for option, value in ((_M_MMAP_THRESHOLD, 64 * 1024), (_M_TRIM_THRESHOLD, 128 * 1024), (_M_ARENA_MAX, 2)):
            libc.mallopt(option, value)


async def serve(settings: Settings, stop: asyncio.Event | None = None) -> None:
    """Serve until SIGTERM, SIGINT or `stop`. A second signal ends the process at once; all state is in Redis.

    Raises:
        ConfigurationError: Settings or Redis are not as the service needs them.
    """
    return_freed_memory()
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop_gracefully() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, exit_immediately)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):
            loop.add_signal_handler(number, stop_gracefully)
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
    """Open the store, however long Redis takes to start; None if stopped meanwhile.

    What it waits for is logged at first, when it changes, and every 30 seconds.
    """
    stopping = asyncio.create_task(stop.wait())
    waits = OncePerInterval(_WAITING_SECONDS)
    logger.addFilter(waits)
    # Otherwise it would log the same, without the address.
    store_logger.addFilter(_drop)
    try:
        while not stop.is_set():
            opening = asyncio.create_task(open_store(settings))
            await asyncio.wait((opening, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                opening.cancel()
                with suppress(asyncio.CancelledError, ServiceError):
                    await (await opening).close()
                return None
            try:
                return opening.result()
            except StoreUnavailableError as error:
                logger.warning(
                    "waiting for Redis: %s", explain_outage(error).removeprefix("the store is unavailable: ")
                )
            await asyncio.wait((stopping,), timeout=_RETRY_SECONDS)
        return None
    finally:
        stopping.cancel()
        logger.removeFilter(waits)
        store_logger.removeFilter(_drop)


def _drop(_: logging.LogRecord) -> bool:
    return False
