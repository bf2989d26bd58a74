"""The viewer: results in a browser, corrected by hand; an app of its own and a small server.

The app (`renalis.viewer.app`) is a function of a `Request` that gives a `Response`, and knows
neither sockets nor tokens. Whoever has a server already mounts it below any path that ends in a
slash, since the page asks for everything relative to its own address::

    app = App(Cases.of(Path("out")))
    response = app.respond(Request(method, path_below_the_mount, query, read_body))

Access control is the server's: `renalis.viewer.server` puts a random token into the path, checks
the Host header and listens on loopback only. A server that mounts the app needs the same or better:
every address of it shows patients' scans, and ``POST`` writes corrections.
"""

from renalis.viewer.app import App, Request, Response
from renalis.viewer.cases import Cases

__all__ = ["App", "Cases", "Request", "Response"]
