"""Checks of the Host and Origin of a request.

A page of any site can have its own name resolve to this machine, and is then, to a browser, the
same site as the service. Its name still stands in the requests, as their Host.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache

_PORT = re.compile(r":\d*$")


class Hosts:
    """Tells names of the service from others: names and addresses of loopback, and those given.

    Args:
        names: Further names, without ports. (default: none)
        addresses: Whether every IP address is one, too, as it is of a service for others.
            (default: False)
    """

    def __init__(self, names: Iterable[str] = (), addresses: bool = False) -> None:
        self.names = frozenset(name.lower() for name in names)
        self.addresses = addresses
        self.allows = lru_cache(256)(self._allows)

    def _allows(self, host: str) -> bool:
        """Whether a Host, which may have a port, is a name of the service."""
        name = _PORT.sub("", host.lower())
        if name == "localhost" or name in self.names:
            return True
        try:
            address = ipaddress.ip_address(
                name[1:-1] if name.startswith("[") and name.endswith("]") else name
            )
        except ValueError:
            return False
        return self.addresses or address.is_loopback

    def same_origin(self, origin: str, host: str) -> bool:
        """Whether a page of this origin is one of the service's own, requested as ``host``.

        A proxy in front may use another Host than the browser; its origin is one of the names.
        """
        asked = origin.lower().partition("://")[2]
        return asked == host.lower() or _PORT.sub("", asked) in self.names


def is_name(text: object) -> bool:
    """Whether this is a host's name or address as a Host has it, without a port."""
    return isinstance(text, str) and bool(re.fullmatch(r"[\w.-]+|\[[0-9a-fA-F:.]+\]", text, re.A))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a service that listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
