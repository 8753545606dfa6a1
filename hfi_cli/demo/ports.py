"""Addresses on this machine: the documented ones where they are free."""

from __future__ import annotations

import socket

from hfi_core.address import Address

LOOPBACK = "127.0.0.1"


def prefer(port: int) -> Address:
    """That port when nobody has it, and otherwise 0, which lets the system choose when somebody listens."""
    with socket.socket() as probe:
        # As servers do: connections of an earlier run that are still fading do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return Address(LOOPBACK, 0)
    return Address(LOOPBACK, port)
