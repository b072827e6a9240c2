"""The sockets that a service listens on."""

from __future__ import annotations

import os
import socket

_BACKLOG = 2048  # connections that wait to be accepted


def listen(host: str, port: int) -> socket.socket:
    """Listen on a port, so that no other service can take it.

    Raises:
        OSError: If that is impossible; suggests another port.
    """
    return _bound(host, port, listen=True)


def listen_together(host: str, port: int, count: int) -> list[socket.socket]:
    """Listen on a port with several sockets, among which the kernel deals out connections.

    Raises:
        OSError: If that is impossible, as where another service has the port; suggests another one.
    """
    with listen(host, port) as alone:  # such sockets would share the port with another service's
        port = alone.getsockname()[1]
    sockets = [bind_too(host, port) for _ in range(count)]
    for one in sockets:
        one.listen(_BACKLOG)
    return sockets


def bind_too(host: str, port: int) -> socket.socket:
    """One more socket on a port of :func:`listen_together`; it gets no connection until it listens.

    Raises:
        OSError: If that is impossible.
    """
    return _bound(host, port, socket.SO_REUSEPORT)


def url_of(listening: socket.socket) -> str:
    """The address of a service that listens there."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bound(host: str, port: int, *options: int, listen: bool = False) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":
                options = (*options, socket.SO_REUSEADDR)
            for option in options:
                listening.setsockopt(socket.SOL_SOCKET, option, 1)
            listening.bind(address)
            if listen:
                listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        why = error.strerror or str(error)
        hint = "; give another one, or port=0 for any that is free" if port else ""
        raise OSError(f"host={host} port={port}: cannot listen there ({why}){hint}") from error
    return listening
