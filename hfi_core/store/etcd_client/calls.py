"""One request, as many attempts as it takes: members in turn, a deadline, and a token that is renewed.

A write whose attempt ends without an answer may have been carried out, or may be yet. So every write of HFI
is a compare-and-swap, which a late attempt cannot repeat, and :meth:`Caller.call` tells its caller that an
earlier attempt is unaccounted for.
"""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from grpc.aio import AioRpcError

from hfi_core.backoff import Backoff
from hfi_core.errors import StoreUnavailable
from hfi_core.store.etcd_client.channels import Channels
from hfi_core.store.etcd_client.failures import Verdict, translate, verdict
from hfi_core.store.etcd_client.methods import AUTHENTICATE, Method, Q, R
from hfi_core.store.pb import etcd_pb2 as pb
from hfi_core.store.settings import EtcdSettings

log = logging.getLogger(__name__)

Metadata = tuple[tuple[str, str], ...]
#: Between two rounds over all members.
ROUND_BACKOFF_SECONDS = (0.05, 1.0)
#: A token may be refused right after it was given, while members catch up; more often is a misunderstanding.
LOGINS = 3


class Caller:
    """Calls methods on a cluster. Must be closed."""

    def __init__(self, settings: EtcdSettings, channels: Channels) -> None:
        self._settings = settings
        self._channels = channels
        self._token: str | None = None
        self._login = asyncio.Lock()
        self.closed = asyncio.Event()

    async def close(self) -> None:
        """Cancel what is under way; its callers get :class:`~hfi_core.errors.StoreUnavailable`."""
        self.closed.set()
        await self._channels.close()

    async def call(self, method: Method[Q, R], request: Q) -> tuple[R, bool]:
        """The answer, and whether an earlier attempt may have been carried out as well."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._settings.request_seconds
        backoff = Backoff(*ROUND_BACKOFF_SECONDS)
        attempts = logins = 0
        unanswered = False
        while True:
            index = self._channels.favourite
            token = None
            try:
                token = await self._token_by(deadline)
                index = self._channels.favourite
                seconds = max(0.001, min(self._settings.attempt_seconds, deadline - clock()))
                return await self._send(index, method, request, _metadata(token), seconds), unanswered
            except AioRpcError as error:
                todo = verdict(error)
                if todo is Verdict.LOGIN and self._settings.user is not None and logins < LOGINS:
                    logins += 1
                    self.forget_token(token)
                    continue
                if todo is not Verdict.NEXT:
                    raise translate(error, self._channels.target(index)) from error
                unanswered = True
                attempts += 1
                self._channels.failed(index)
                pause = backoff.next() if attempts % len(self._channels) == 0 else 0.0
                if clock() + pause >= deadline:
                    raise translate(error, self._channels.target(index)) from error
                log.debug("etcd at %s: %s; next", self._channels.target(index), error.details())
            await asyncio.sleep(pause)

    async def metadata(self) -> Metadata:
        """What each call carries: the token, when there is a user. Raises gRPC's errors."""
        return _metadata(await self._logged_in())

    def forget_token(self, token: str | None = None) -> None:
        """That token (None: whichever we have) was refused: the next call logs in.

        Many calls learn of it at once. The first of them logs in, and the others must not forget what it got:
        etcd is slow to check a password, on purpose, and does it for one after the other.
        """
        if token is None or token == self._token:
            self._token = None

    async def _token_by(self, deadline: float) -> str:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._logged_in()
        except TimeoutError as error:
            target = self._channels.target(self._channels.favourite)
            raise StoreUnavailable(f"etcd at {target} does not answer to the login") from error

    async def _logged_in(self) -> str:
        """The token; empty when none is needed."""
        if self._settings.user is None:
            return ""
        async with self._login:
            if self._token is None:
                # Not a member that was chosen before waiting for the lock: it may have failed meanwhile.
                index = self._channels.favourite
                try:
                    self._token = await self._authenticate(index)
                except AioRpcError as error:
                    if verdict(error) is Verdict.NEXT:
                        self._channels.failed(index)
                    raise
            return self._token

    async def _authenticate(self, index: int) -> str:
        request = pb.AuthenticateRequest(name=self._settings.user or "", password=self._settings.password or "")
        try:
            return (await self._send(index, AUTHENTICATE, request, (), self._settings.attempt_seconds)).token
        except AioRpcError as error:
            if "authentication is not enabled" in (error.details() or ""):
                log.warning(
                    "etcd at %s asks for no user; the one in the settings is not used", self._channels.target(index)
                )
                return ""
            raise

    async def _send(self, index: int, method: Method[Q, R], request: Q, metadata: Metadata, seconds: float) -> R:
        stub = self._channels.channel(index).unary_unary(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.answer.FromString,
        )
        try:
            return cast(R, await stub(request, timeout=seconds, metadata=metadata))
        except asyncio.CancelledError:
            # gRPC also says so when the channel was closed under the call; that is no cancellation of our task.
            task = asyncio.current_task()
            if self.closed.is_set() and task is not None and not task.cancelling():
                raise StoreUnavailable("the store is closed") from None
            raise


def _metadata(token: str) -> Metadata:
    return (("token", token),) if token else ()
