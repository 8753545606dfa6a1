from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
from starlette.responses import Response

from hfi_core import errors as core
from hfi_core.errors import Problem
from hfi_sse import errors as api
from hfi_sse.problems import TABLE, kind_of, problem

ERRORS: list[tuple[core.HfiError, int, str, dict[str, Any]]] = [
    (
        core.PolicyInvalid([Problem("/a", "x"), Problem("", "y")]),
        422,
        "policy-invalid",
        {"errors": [{"pointer": "/a", "detail": "x"}, {"pointer": "", "detail": "y"}]},
    ),
    (core.DocumentUnreadable("bad", 3, 4), 400, "document-unreadable", {"line": 3, "column": 4}),
    (core.DocumentUnreadable("bad"), 400, "document-unreadable", {"detail": "bad"}),
    (core.PolicyNotFound("a"), 404, "policy-not-found", {}),
    (core.NodeDenied("a", "b"), 403, "node-denied", {}),
    (core.VersionConflict("a", 1, 2), 409, "version-conflict", {"expected": "1", "actual": "2"}),
    (core.PolicyConflict("a", 1, 2), 409, "version-conflict", {"expected": "1", "actual": "2"}),
    (
        core.SidecarInvalid([Problem("/spec/listen", "x")]),
        422,
        "sidecar-invalid",
        {"errors": [{"pointer": "/spec/listen", "detail": "x"}]},
    ),
    (core.SidecarNotFound("a"), 404, "sidecar-not-found", {}),
    (core.SidecarConflict("a", 1, 2), 409, "version-conflict", {"expected": "1", "actual": "2"}),
    (core.StoreUnavailable("gone"), 503, "store-unavailable", {}),
    (core.StoreDenied("no"), 502, "store-denied", {}),
    (core.StoreError("no"), 502, "store-error", {}),
    # For who called the store; that one of them gets here is a mistake of ours.
    (core.EntryError("a", "no"), 500, "internal", {}),
    (core.EntryMissing("a"), 500, "internal", {}),
    (core.EntryConflict("a", 1, 2), 500, "internal", {}),
    (core.WatchCompacted(5), 502, "store-error", {}),
    (core.TenancyLost("no"), 502, "store-error", {}),
    (core.ModuleUnavailable("no"), 500, "engine-unavailable", {}),
    (
        core.ModuleRefused(["a", "b"]),
        422,
        "module-refused",
        {"reasons": ["a", "b"], "detail": "a; b", "title": "The filter module cannot be added"},
    ),
    (
        core.ModuleNotFound("1.4.0"),
        404,
        "module-not-found",
        {
            "detail": "the catalogue has no filter module of version '1.4.0'; hfi-cli filter list shows those that it "
            "has"
        },
    ),
    (
        core.ModuleConflict("no"),
        409,
        "module-conflict",
        {"title": "The filter module conflicts with the catalogue"},
    ),
    (core.ModuleInUse("no"), 409, "module-in-use", {}),
    (core.RolloutConflict("no"), 409, "rollout-conflict", {"title": "The rollout cannot do that now"}),
    (core.SettingsInvalid("no"), 500, "internal", {}),
    (core.RequestError("no"), 400, "request-invalid", {}),
    (core.HfiError("no"), 500, "internal", {}),
    (api.TooManyReaders("a", 2), 429, "too-many-readers", {}),
    (api.ParameterInvalid("limit", "no"), 400, "parameter-invalid", {"detail": "limit: no"}),
    (
        api.BodyInvalid([Problem("/path", "x")]),
        422,
        "body-invalid",
        {"detail": "1 problem: /path: x", "errors": [{"pointer": "/path", "detail": "x"}]},
    ),
    (api.BodyTooLarge(5), 413, "body-too-large", {}),
    (api.MediaTypeUnsupported("no"), 415, "media-type-unsupported", {}),
    (api.PreconditionFailed("no"), 409, "version-conflict", {}),
    (api.ProxyNotFound("n"), 404, "proxy-not-found", {}),
    (api.NotReady(["a", "b"]), 503, "not-ready", {"reasons": ["a", "b"], "detail": "a; b"}),
]


def read(response: Response) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(response.body))
    return found


@pytest.mark.parametrize(("error", "status", "slug", "members"), ERRORS, ids=lambda value: type(value).__name__)
def test_each_error_is_its_problem(error: core.HfiError, status: int, slug: str, members: dict[str, Any]) -> None:
    response = problem(error)
    body = read(response)
    assert response.status_code == body["status"] == status
    assert body["type"] == f"urn:hfi:problem:{slug}"
    assert body["title"]
    assert body["detail"]
    assert members.items() <= body.items()
    assert response.headers["content-type"] == "application/problem+json"
    assert ("retry-after" in response.headers) is (status in (429, 503))


def test_every_error_of_ours_is_in_the_list_above() -> None:
    defined = {
        cls
        for module in (core, api)
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, core.HfiError)
    }
    assert {type(error) for error, *_ in ERRORS} == defined
    assert set(TABLE) <= defined


def test_a_class_without_a_row_has_that_of_its_ancestor() -> None:
    class Special(core.PolicyNotFound):
        pass

    assert kind_of(Special("x")) == TABLE[core.PolicyNotFound]
    assert kind_of(KeyError()).status == 500
