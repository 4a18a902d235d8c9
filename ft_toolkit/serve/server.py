"""Run the server: bind the address, load the models, serve until SIGTERM, and reload the models on SIGHUP."""

import asyncio
import errno
import os
import signal
import socket
from asyncio import Transport
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ft_toolkit.core.errors import UsageError
from ft_toolkit.serve.app import make_app
from ft_toolkit.serve.logs import log, use_json_logs
from ft_toolkit.serve.options import Options
from ft_toolkit.serve.service import Service

# Seconds that a connection without a request stays open. Longer than the idle time of usual proxies (60 s), which otherwise
# send requests to a connection that closes.
KEEP_ALIVE = 75
# Connections that the system keeps until the server accepts them.
BACKLOG = 256


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to the address. Raises UsageError if it is in use, unknown or forbidden."""
    with ExitStack() as on_failure:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            bound = on_failure.enter_context(socket.socket(family, kind, protocol))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError as error:
            is_in_use = error.errno == errno.EADDRINUSE
            remedy = "stop the other server, or choose another --port" if is_in_use else "check --host and --port"
            raise UsageError(f"cannot listen on {host}:{port}: {error.strerror or error}; {remedy}") from None
        on_failure.pop_all()
        return bound


def serve(options: Options) -> int:
    """Load the models and serve until SIGTERM or SIGINT. Return the exit code. Raises UsageError."""
    use_json_logs()
    listener = bind(options.host, options.port)
    service = Service(options)
    limits = options.limits
    config = uvicorn.Config(
        make_app(service),
        http=_protocol(limits.read_seconds),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=int(limits.stop_seconds),
        backlog=BACKLOG,
    )
    server = _Server(config, service)
    asyncio.run(server.serve(sockets=[listener]))
    busy = [name for name, batcher in service.batchers.items() if batcher.busy_seconds]
    log("stopped", "error" if busy else "info", busy=busy)
    if busy:  # a thread cannot be ended, and Python would wait for it
        os._exit(1)
    return 0


class _Server(uvicorn.Server):
    """A server with the signals of `ftk serve`: it ends with exit code 0 on SIGTERM, and reloads on SIGHUP."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._reloads: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and write the address to the log."""
        await super().startup(sockets)
        host, port = (sockets or self.servers[0].sockets)[0].getsockname()[:2]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        token = self._service.options.token is not None
        log("serving", address=address, models=list(self._service.batchers), process=os.getpid(), token=token)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals in the event loop."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._stop, signum)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            yield
        finally:
            for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(signum)

    def _stop(self, signum: int) -> None:
        log("stopping", signal=signal.Signals(signum).name)
        self.force_exit = self.should_exit  # a second signal does not wait for open requests
        self._service.is_stopping = self.should_exit = True

    def _reload(self) -> None:
        task = asyncio.create_task(self._service.reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)


def _protocol(read_seconds: float) -> type[H11Protocol]:
    """Return the HTTP protocol of uvicorn with a time limit for the head of a request, which uvicorn does not have.

    The limit begins with the connection, or with the first byte of a further request. The `Guard` limits the time of the body.
    """

    class TimedProtocol(H11Protocol):
        _head_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._head_timer = self.loop.call_later(read_seconds, self._close_slow)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            is_waiting = self.cycle is None or self.cycle.response_complete
            if not is_waiting:
                self._end_timer()
            elif self._head_timer is None and not self.transport.is_closing():
                self._head_timer = self.loop.call_later(read_seconds, self._close_slow)

        def connection_lost(self, exc: Exception | None) -> None:
            self._end_timer()
            super().connection_lost(exc)

        def _end_timer(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def _close_slow(self) -> None:
            log("slow_client", client=self.client[0] if self.client else "", seconds=read_seconds)
            self.transport.write(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            self.transport.close()

    return TimedProtocol
