"""Cutting a connection of gRPC's, which gRPC itself does not offer.

gRPC cannot end a stream in the middle of a write, and a client that takes no data takes no word either. What ends such
a stream is the end of its connection; and that is a file of this process, found by the addresses at its two ends. It is
shut down and not closed: its number stays gRPC's, which notices, fails what is under way, and closes it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from urllib.parse import unquote

#: Every open file of this process, by number (Linux).
_FILES = "/proc/self/fd"

Endpoint = tuple[str, int]


def hang_up(peer: str, port: int) -> bool:
    """Shut the connection from ``peer`` (as gRPC writes it: ``ipv4:HOST:PORT``) to our ``port``; whether there was one.

    Looks at every open file, so it is for a thread.
    """
    wanted = parse(peer)
    if wanted is None:
        return False
    for number in os.listdir(_FILES):
        # What is closed meanwhile, or is no connection, is not the one.
        with contextlib.suppress(OSError), _copy(int(number)) as found:
            if _endpoint(found.getpeername()) == wanted and found.getsockname()[1] == port:
                found.shutdown(socket.SHUT_RDWR)
                return True
    return False


def _copy(number: int) -> socket.socket:
    """A copy of our own of an open socket: it cannot become another one between the question and the deed."""
    copy = os.dup(number)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise


def parse(peer: str) -> Endpoint | None:
    """The address and port that gRPC means; None for what is no TCP."""
    kind, _, rest = peer.partition(":")
    host, _, port = unquote(rest).rpartition(":")
    if kind not in ("ipv4", "ipv6") or not port.isdecimal():
        return None
    return _endpoint((host.strip("[]"), int(port)))


def _endpoint(name: object) -> Endpoint | None:
    """Of a socket's name, with IPv4 as IPv4 however it came; None for what is no IP address."""
    if not isinstance(name, tuple):
        return None
    host = ipaddress.ip_address(str(name[0]).partition("%")[0])
    mapped = host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None
    return str(mapped or host), int(name[1])
