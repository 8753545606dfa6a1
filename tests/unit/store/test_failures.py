"""etcd's own words (its ``api/v3rpc/rpctypes/error.go``, and gRPC's when it does not get so far), and ours for them."""

from __future__ import annotations

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from hfi_core.errors import StoreDenied, StoreError, StoreUnavailable
from hfi_core.store.etcd_client.failures import (
    LeaseExists,
    LeaseGone,
    RevisionCompacted,
    RevisionInFuture,
    Verdict,
    is_token_refused,
    translate,
    verdict,
)

Code = grpc.StatusCode


def failure(code: grpc.StatusCode, details: str | None) -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(), details, None)


@pytest.mark.parametrize(
    ("code", "details", "error", "says", "todo"),
    [
        (Code.UNAVAILABLE, "etcdserver: no leader", StoreUnavailable, "no leader", Verdict.NEXT),
        (Code.UNAVAILABLE, "etcdserver: request timed out", StoreUnavailable, "timed out", Verdict.NEXT),
        (Code.DEADLINE_EXCEEDED, "Deadline Exceeded", StoreUnavailable, "Deadline", Verdict.NEXT),
        (Code.UNAVAILABLE, None, StoreUnavailable, "UNAVAILABLE", Verdict.NEXT),
        (
            Code.UNAVAILABLE,
            "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:2379: Failed to connect to remote "
            "host: Connection refused",
            StoreUnavailable,
            "etcd at 10.0.0.1:2379: Failed to connect to remote host: Connection refused",
            Verdict.NEXT,
        ),
        (Code.RESOURCE_EXHAUSTED, "etcdserver: too many requests", StoreUnavailable, "too many", Verdict.FAIL),
        (
            Code.RESOURCE_EXHAUSTED,
            "etcdserver: mvcc: database space exceeded",
            StoreUnavailable,
            "defragment",
            Verdict.FAIL,
        ),
        (Code.INVALID_ARGUMENT, "etcdserver: request is too large", StoreError, "max-request-bytes", Verdict.FAIL),
        (
            Code.OUT_OF_RANGE,
            "etcdserver: mvcc: required revision has been compacted",
            RevisionCompacted,
            "compacted",
            Verdict.FAIL,
        ),
        (
            Code.OUT_OF_RANGE,
            "etcdserver: mvcc: required revision is a future revision",
            RevisionInFuture,
            "future",
            Verdict.FAIL,
        ),
        (Code.FAILED_PRECONDITION, "etcdserver: lease already exists", LeaseExists, "exists", Verdict.FAIL),
        (Code.NOT_FOUND, "etcdserver: requested lease not found", LeaseGone, "not found", Verdict.FAIL),
        (Code.PERMISSION_DENIED, "etcdserver: permission denied", StoreDenied, "permission denied", Verdict.FAIL),
        (
            Code.INVALID_ARGUMENT,
            "etcdserver: authentication failed, invalid user ID or password",
            StoreDenied,
            "user and password",
            Verdict.FAIL,
        ),
        (
            Code.INVALID_ARGUMENT,
            "etcdserver: user name is empty",
            StoreDenied,
            "set its user and password",
            Verdict.LOGIN,
        ),
        (Code.UNAUTHENTICATED, "etcdserver: invalid auth token", StoreDenied, "invalid auth token", Verdict.LOGIN),
        (
            Code.INVALID_ARGUMENT,
            "etcdserver: revision of auth store is old",
            StoreUnavailable,
            "revision of auth store is old",
            Verdict.LOGIN,
        ),
        (
            Code.UNAVAILABLE,
            "Tls handshake failed: CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate",
            StoreUnavailable,
            "set the right CA",
            Verdict.NEXT,
        ),
        (
            Code.UNAVAILABLE,
            "Custom verification check failed with error: Hostname Verification Check failed.",
            StoreUnavailable,
            "another name",
            Verdict.NEXT,
        ),
        (
            Code.UNAVAILABLE,
            "Tls handshake failed: SSLV3_ALERT_BAD_CERTIFICATE: OK",
            StoreUnavailable,
            "client certificate",
            Verdict.NEXT,
        ),
        (
            Code.UNAVAILABLE,
            "Handshake read failed (Socket closed)",
            StoreUnavailable,
            "does not speak TLS",
            Verdict.NEXT,
        ),
    ],
)
def test_each_failure_has_an_error_of_its_own_that_says_what_to_do(
    code: grpc.StatusCode, details: str | None, error: type[StoreError], says: str, todo: Verdict
) -> None:
    told = failure(code, details)
    ours = translate(told, "10.0.0.1:2379")
    assert type(ours) is error
    assert says in str(ours)
    assert verdict(told) is todo
    if error in (StoreUnavailable, StoreDenied):
        assert "10.0.0.1:2379" in str(ours)


def test_the_end_of_a_watch_for_a_token_is_told_by_its_text() -> None:
    assert is_token_refused("rpc error: code = Unauthenticated desc = etcdserver: invalid auth token")
    assert not is_token_refused("rpc error: code = PermissionDenied desc = etcdserver: permission denied")
