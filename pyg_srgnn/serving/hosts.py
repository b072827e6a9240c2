"""Checks the Host and Origin of a request, against DNS rebinding.

A site can let its name resolve to this machine; to a browser its pages then have the same origin as
the service. The site's name is still the Host of their requests.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache

_PORT = re.compile(r":\d*$")


class Hosts:
    """The names of the service: names and addresses of loopback, and those given.

    Args:
        names: Further names, without ports. (default: none)
        addresses: Whether every IP address is one as well, as for a service that listens on the
            network. (default: False)
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
        """Whether an origin is that of the service, requested as ``host``.

        Behind a proxy the Host may differ from the origin; the origin is then one of the names.
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
