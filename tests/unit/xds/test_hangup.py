"""Cutting a connection by the addresses of its ends; and who shares one."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from hfi_core.tls import NodeNames, Peer
from hfi_xds.admission import Admission, Caller
from hfi_xds.errors import StreamRefused
from hfi_xds.hangup import Endpoint, hang_up, parse


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("ipv4:10.0.0.1:5", ("10.0.0.1", 5)),
        ("ipv6:%5B::1%5D:5", ("::1", 5)),
        ("ipv6:[2001:db8::1]:5", ("2001:db8::1", 5)),
        ("ipv6:%5B::ffff:10.0.0.1%5D:5", ("10.0.0.1", 5)),
        ("ipv6:%5Bfe80::1%25eth0%5D:5", ("fe80::1", 5)),
        ("unix:/tmp/x", None),
        ("ipv4:10.0.0.1", None),
        ("", None),
    ],
)
def test_addresses_as_grpc_writes_them(text: str, endpoint: Endpoint | None) -> None:
    assert parse(text) == endpoint


Ends = tuple[socket.socket, socket.socket, int]


@pytest.fixture(params=[("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "127.0.0.1")], ids=["4", "6", "4 by 6"])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    """The client's end, the server's, and the port; gRPC listens on IPv4 by sockets of IPv6."""
    here, there = request.param
    family = socket.AF_INET6 if ":" in here else socket.AF_INET
    with socket.create_server((here, 0), family=family, dualstack_ipv6=here == "::") as listener:
        port = listener.getsockname()[1]
        with socket.create_connection((there, port)) as client, listener.accept()[0] as server:
            yield client, server, port


def name(end: socket.socket) -> str:
    host, port = end.getsockname()[:2]
    host = host.removeprefix("::ffff:")
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"


def test_it_is_cut_for_both_ends_and_stays_the_owners(ends: Ends) -> None:
    client, server, port = ends
    before = set(os.listdir("/proc/self/fd"))
    assert not hang_up(name(client), port + 1)
    assert not hang_up("unix:/tmp/x", port)
    client.sendall(b"x")
    assert server.recv(1) == b"x"
    assert hang_up(name(client), port)
    assert (client.recv(1), server.recv(1)) == (b"", b"")
    assert server.fileno() >= 0
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_client_of_ours_is_no_client_of_the_server(ends: Ends) -> None:
    """What connects from here has the port at the other end."""
    _, server, port = ends
    own = server.getsockname()[1]
    assert own == port
    assert not hang_up(name(server), 1)


# -- admission ------------------------------------------------------------------------------------------------


def test_a_node_has_so_many_streams_and_room_when_one_goes() -> None:
    admission = Admission(2)
    with ExitStack() as held:
        for address in ("a", "b"):
            held.enter_context(admission.holding(Caller(address=address), "n"))
        with pytest.raises(StreamRefused) as refused, admission.holding(Caller(), "n"):
            pass
        assert (refused.value.code, refused.value.reason) == ("RESOURCE_EXHAUSTED", "node_limit")
        with admission.holding(Caller(), "other"):
            pass
    with admission.holding(Caller(), "n"):
        pass


def test_who_shares_a_connection() -> None:
    admission, caller = Admission(9), Caller(address="a")
    assert not admission.alone(caller)
    with admission.holding(caller, "n"), admission.holding(caller, "n"):
        assert admission.alone(caller)
        with admission.holding(Caller(address="b"), "m"):
            assert admission.alone(caller)
        with admission.holding(caller, "m"):
            assert not admission.alone(caller)
        assert admission.alone(caller)
    assert not admission.alone(caller)


def test_who_is_not_that_node_takes_nobodys_room() -> None:
    admission = Admission(1, NodeNames())
    with pytest.raises(StreamRefused) as refused, admission.holding(Caller(Peer.of(["m"]), "a"), "n"):
        pass
    assert (refused.value.code, refused.value.reason) == ("PERMISSION_DENIED", "denied")
    with admission.holding(Caller(Peer.of(["n"]), "a"), "n"):
        assert admission.alone(Caller(address="a"))
