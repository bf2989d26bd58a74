"""TLS for listeners and connections, from the configuration's certificates."""

from __future__ import annotations

import ssl

from renalis.errors import InputError
from renalis.service.config import Tls

__all__ = ["client_context", "server_context"]


def server_context(tls: Tls | None) -> ssl.SSLContext | None:
    """For a listener; None without TLS.

    Raises
    ------
    InputError
        If a file cannot be read or is no certificate.
    """
    if tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, tls)
    if tls.authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(tls: Tls | None) -> ssl.SSLContext | None:
    """For a connection, which checks the other side's certificate and name; None without TLS.

    Raises
    ------
    InputError
        If a file cannot be read or is no certificate.
    """
    if tls is None:
        return None
    context = ssl.create_default_context()
    _load(context, tls)
    return context


def _load(context: ssl.SSLContext, tls: Tls) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if tls.certificate is not None:
            # With a password, OpenSSL would ask the terminal for it.
            context.load_cert_chain(tls.certificate, tls.key, password=lambda: "")
        if tls.authority is not None:
            context.load_verify_locations(tls.authority)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(f) for f in (tls.certificate, tls.key, tls.authority) if f)
        raise InputError(
            f"the certificates for TLS cannot be used ({error.__class__.__name__}); check {files}"
        ) from error
