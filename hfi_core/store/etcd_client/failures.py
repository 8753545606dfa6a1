"""What a gRPC status of etcd means to the caller.

etcd has few codes and many messages (its ``api/v3rpc/rpctypes/error.go``), so some are told apart by their
text, which its own clients compare as well.
"""

from __future__ import annotations

import enum
import re

import grpc
from grpc.aio import AioRpcError

from hfi_core.errors import StoreDenied, StoreError, StoreUnavailable


class Verdict(enum.Enum):
    """What to do about a failed attempt."""

    NEXT = "ask the next member; the request may have been carried out"
    LOGIN = "the token is refused: nothing was carried out; log in again"
    FAIL = "no member would answer otherwise"


class RevisionCompacted(StoreError):
    """A read at a revision that is compacted. Stays inside the store package."""


class RevisionInFuture(StoreError):
    """A read at a revision that the store has not reached. Stays inside the store package."""


class LeaseExists(StoreError):
    """A lease of that id was granted already."""


class LeaseGone(StoreError):
    """There is no lease of that id (any more)."""


#: The member lost the leader, or the leader took too long; etcd's own client tries again as well.
_PASSING = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
#: "user name is empty": authentication was switched on after we had found it off, or we have no user at all.
_TOKEN = ("invalid auth token", "revision of auth store is old", "user name is empty")


#: What people see when TLS does not come about, as gRPC words it, and what to do.
_TLS_HINTS = (
    ("Hostname Verification Check failed", "its certificate is for another name than the endpoint's host"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is signed by no authority that is trusted here; set the right CA"),
    ("ALERT_BAD_CERTIFICATE", "it wants a client certificate that its CA has signed; set the right one, with its key"),
    ("ALERT_UNKNOWN_CA", "it wants a client certificate that its CA has signed; set the right one, with its key"),
    ("CERTIFICATE_REQUIRED", "it wants a client certificate that its CA has signed; set one, with its key"),
    ("Handshake read failed", "it does not speak TLS; is it http:// and not https://?"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS; is it http:// and not https://?"),
)


#: gRPC's words for a connection that does not come about, around those that say why. The address is ours to say.
_UNREACHED = re.compile(r"failed to connect to all addresses; last error: [A-Z_]+: ipv[46]:\S+: (.+)", re.DOTALL)


def verdict(error: AioRpcError) -> Verdict:
    """What to do about it."""
    if is_token_refused(error.details() or ""):
        return Verdict.LOGIN
    return Verdict.NEXT if error.code() in _PASSING else Verdict.FAIL


def is_token_refused(text: str) -> bool:
    """Whether etcd says that a token is no longer good (it also says so when it ends a watch)."""
    return any(part in text for part in _TOKEN)


def translate(error: AioRpcError, target: str) -> StoreError:
    """HFI's error for it, with what to do."""
    text = error.details() or error.code().name
    if error.code() is grpc.StatusCode.OUT_OF_RANGE:
        return RevisionCompacted(text) if "compacted" in text else RevisionInFuture(text)
    if "lease already exists" in text:
        return LeaseExists(text)
    if "requested lease not found" in text:
        return LeaseGone(text)
    if error.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED):
        return StoreDenied(f"etcd at {target} refuses: {text}")
    if "user name is empty" in text:
        return StoreDenied(f"etcd at {target} asks who this is: set its user and password")
    if "authentication failed" in text:
        return StoreDenied(f"etcd at {target} does not know this user and password")
    if "database space exceeded" in text:
        return StoreUnavailable(f"etcd at {target} is full ({text}): compact and defragment it, then disarm the alarm")
    if "request is too large" in text:
        return StoreError(f"etcd at {target} does not take a value of that size (its --max-request-bytes)")
    if (unreached := _UNREACHED.match(text)) is not None:
        text = unreached[1]
    hint = next((f"{hint} – " for sign, hint in _TLS_HINTS if sign in text), "")
    return StoreUnavailable(f"etcd at {target}: {hint}{text}")
