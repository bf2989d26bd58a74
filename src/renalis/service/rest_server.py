"""The REST API at work: its socket, its server and its end."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Iterator

import uvicorn

from renalis.errors import InputError
from renalis.pipeline.failures import traceback_of
from renalis.service.config import Rest
from renalis.service.rest import Service, build_app
from renalis.service.rest_fetches import fetches
from renalis.service.rest_jobs import jobs
from renalis.service.rest_viewer import viewer

__all__ = ["listening", "serving"]

_LOG = logging.getLogger(__name__)
_ENDING_S = 20.0


def listening(rest: Rest) -> socket.socket:
    """The REST API's socket, so that a port that cannot be had is said at the start.

    Raises
    ------
    InputError
        If its address cannot be listened on.
    """
    try:
        family = socket.AF_INET6 if ":" in rest.host else socket.AF_INET
        return socket.create_server((rest.host.strip("[]"), rest.port), family=family, backlog=128)
    except OSError as error:
        raise InputError(
            f"the REST API cannot listen on {rest.host} port {rest.port} ({error.strerror}); "
            "choose another port"
        ) from error


@contextlib.contextmanager
def serving(service: Service, listener: socket.socket) -> Iterator[None]:
    """The REST API at work, in a thread of its own so that signals stay with the process."""
    tls = service.config.rest.tls
    asks = tls is not None and tls.authority is not None
    app = build_app(service, [jobs, fetches, viewer])
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=200,
            timeout_graceful_shutdown=5,
            proxy_headers=False,
            ssl_certfile=None if tls is None else tls.certificate,
            ssl_keyfile=None if tls is None else tls.key,
            ssl_ca_certs=None if tls is None or tls.authority is None else str(tls.authority),
            ssl_cert_reqs=ssl.CERT_REQUIRED if asks else ssl.CERT_NONE,
        )
    )

    def answer() -> None:
        try:
            server.run(sockets=[listener])
        except BaseException as error:
            _LOG.error("the REST API met an error\n%s", traceback_of(error))
            service.stopping.set()

    thread = threading.Thread(target=answer, name="rest", daemon=True)
    thread.start()
    kind = "http" if tls is None else "https"
    host, port = listener.getsockname()[:2]
    _LOG.info("the REST API listens on %s://%s:%d", kind, host, port)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_ENDING_S)
