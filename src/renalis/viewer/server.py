"""A small server for one user on one machine: loopback only, a random token in every address.

Other pages in the same browser cannot guess the token; a Host header that is not this machine's
(DNS rebinding) and requests that other pages started are refused; nothing is kept by the browser.
Other users of the machine can connect, but know no address either.
"""

from __future__ import annotations

import hmac
import secrets
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

from renalis.errors import UsageError
from renalis.viewer.app import MOST_BYTES, App, Request, Response

__all__ = ["HEADERS", "HOST", "ViewerServer", "start"]

HOST = "127.0.0.1"
HEADERS = {
    "Cache-Control": "no-store",
    # NiiVue's font and materials are data: addresses in its own file; its workers are blob: ones.
    "Content-Security-Policy": "default-src 'none'; script-src 'self' blob:; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_SECONDS = 60


@dataclass(frozen=True, eq=False)
class ViewerServer:
    """A server that is ready to run.

    Attributes
    ----------
    http : ThreadingHTTPServer
        Bound to `HOST`; ``serve_forever()`` runs it.
    address : str
        Of the page, with the token.
    """

    http: ThreadingHTTPServer
    address: str


def start(app: App, port: int = 0) -> ViewerServer:
    """Bind a server to loopback.

    Parameters
    ----------
    app : App
        What it shows.
    port : int
        0 takes any that is free.

    Raises
    ------
    UsageError
        If the port cannot be had.
    """
    token = secrets.token_urlsafe(24)
    try:
        http = ThreadingHTTPServer((HOST, port), _handler(app, token))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"port {port} cannot be used ({reason}); choose another --port") from error
    http.daemon_threads = True
    return ViewerServer(http, f"http://{HOST}:{http.server_address[1]}/{token}/")


def _handler(app: App, token: str) -> type[BaseHTTPRequestHandler]:
    """What answers one connection of this app."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = _SECONDS

        def do_GET(self) -> None:
            self._answer(lambda path, query: Request("GET", path, query))

        def do_POST(self) -> None:
            self._answer(lambda path, query: Request("POST", path, query, self._body()))

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing: addresses hold the token and names of cases."""

        def _answer(self, made: Callable[[str, dict[str, str]], Request]) -> None:
            try:
                path, query = self._checked()
                response = app.respond(made(path, query))
            except _Refused as refused:
                self.close_connection = True  # a body may be left unread
                text = refused.sentence.encode()
                headers = {"Content-Type": "text/plain", "Content-Length": str(len(text))}
                response = Response(refused.status, headers, (text,))
            except Exception:
                traceback.print_exc(file=sys.stderr)
                self.close_connection = True
                text = b"internal error; the program's own window says more"
                headers = {"Content-Type": "text/plain", "Content-Length": str(len(text))}
                response = Response(500, headers, (text,))
            self._send(response)

        def _checked(self) -> tuple[str, dict[str, str]]:
            """Path below the token, and query, of a request that may be answered."""
            port = self.server.server_address[1]  # type: ignore[index]
            own = {f"{host}:{port}" for host in (HOST, "localhost")}
            if self.headers.get("Host", "") not in own:
                raise _Refused(421, "this server is for its own machine only")
            origin = self.headers.get("Origin")
            if origin is not None and origin not in {f"http://{one}" for one in own}:
                raise _Refused(403, "other pages may not ask")
            if self.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
                raise _Refused(403, "other pages may not ask")
            parts = urlsplit(self.path)
            given, slash, path = parts.path.removeprefix("/").partition("/")
            if not slash or not hmac.compare_digest(given.encode(), token.encode()):
                raise _Refused(404, "nothing is here; use the address that renalis view printed")
            return unquote(path), dict(parse_qsl(parts.query))

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding"):
                raise _Refused(411, "send a Content-Length")
            length = self.headers.get("Content-Length", "")
            if not (length.isascii() and length.isdecimal()):
                raise _Refused(411, "send a Content-Length")
            if int(length) > MOST_BYTES:
                raise _Refused(413, f"more than {MOST_BYTES} bytes are not taken")
            body = self.rfile.read(int(length))
            if len(body) < int(length):
                raise _Refused(400, "less arrived than was announced; nothing was saved")
            return body

        def _send(self, response: Response) -> None:
            try:
                self.send_response(response.status)
                for name, value in {**HEADERS, **response.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                for part in response.body:
                    self.wfile.write(part)
            except (BrokenPipeError, ConnectionResetError, TimeoutError):
                self.close_connection = True  # the page was closed

        def version_string(self) -> str:
            return "renalis"

    return Handler


class _Refused(Exception):
    """A request that is not answered."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence
