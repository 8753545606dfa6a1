"""Every resource, and what can be asked of it."""

from __future__ import annotations

from hfi_sse.filters import WASM
from hfi_sse.media import JSON, YAML
from hfi_sse.openapi.parts import (
    BOOLEAN,
    INTEGER,
    TEXT,
    Json,
    content,
    header,
    in_path,
    obj,
    operation,
    page,
    problems,
    query,
    ref,
    response,
)
from hfi_sse.openapi.sidecars import sidecar_paths

BOTH = (JSON, YAML)
DRY_RUN = query("dryRun", "Do everything but the write", {"type": "boolean", "default": False})
IF_MATCH = header("if-match", "The version that the write is meant for, as its ETag; * for any that exists")
IF_NONE_MATCH = header("if-none-match", "*: the policy must not exist yet")


def paths() -> Json:
    """The ``paths`` of the document."""
    policy, question, module = ref("Policy"), ref("Question"), ref("FilterModule")
    stored = content(policy, *BOTH)
    write: Json = {
        "requestBody": {"required": True, "content": content(policy, *BOTH)},
        "parameters": [DRY_RUN, IF_MATCH, IF_NONE_MATCH],
        "responses": {
            "200": response("Updated, or what a dry run would store", stored, "etag"),
            "201": response("Created", stored, "etag", "location"),
            **problems(400, 409, 413, 415, 422, 502, 503),
        },
    }
    return {
        "/v1/policies": {
            "get": operation(
                "listPolicies",
                "Policies by name, a page at a time",
                [
                    query("label", "k=v; may be repeated, and all must be carried", {"type": "string"}),
                    query("limit", "How many", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
                    query("after", "`next` of the page before", {"type": "string"}),
                ],
                response("A page", content(page(policy), *BOTH)),
                400,
                503,
            ),
            "post": {"operationId": "applyPolicy", "summary": "Create or update a policy", **write},
        },
        "/v1/policies/{name}": {
            "parameters": [in_path("name", "The policy's name")],
            "get": operation(
                "getPolicy",
                "One policy",
                [header("if-none-match", "The ETag that is known: 304 when it is still right")],
                response("The policy", stored, "etag"),
                400,
                404,
                503,
                also={"304": response("Not modified", None, "etag")},
            ),
            "put": {"operationId": "putPolicy", "summary": "Create or update the policy of that name", **write},
            "delete": operation(
                "deletePolicy",
                "Remove a policy",
                [DRY_RUN, IF_MATCH, IF_NONE_MATCH],
                response("Removed, as of that version", content(ref("Deleted"), *BOTH)),
                400,
                404,
                409,
                502,
                503,
            ),
        },
        "/v1/filters": {
            "get": operation(
                "listFilters",
                "The catalogue of filter modules",
                [],
                response("All", content(page(module), *BOTH)),
                400,
                503,
            )
        },
        "/v1/filters/rollout": {
            "get": operation(
                "getRollout",
                "Which nodes run which module",
                [],
                response("Now", content(ref("Rollout"), *BOTH)),
                400,
                503,
            ),
            "post": _rollout("startRollout", "Have some nodes run another module", "RolloutStart", 404),
        },
        "/v1/filters/rollout/advance": {
            "post": _rollout("advanceRollout", "To the next share; from 100 % to the end", "RolloutAdvance")
        },
        "/v1/filters/rollout/pause": {
            "post": _rollout("pauseRollout", "Let nobody advance it; an empty object, or no body", "RolloutPause")
        },
        "/v1/filters/rollout/rollback": {
            "post": _rollout("rollBackRollout", "Back to the stable module", "RolloutRollBack")
        },
        "/v1/filters/{version}": {
            "parameters": [in_path("version", "The module's version, such as 1.4.0")],
            "get": operation(
                "getFilter",
                "One module: what the catalogue says of it, or its bytes when these alone are accepted",
                [],
                response("The module", {**content(module, *BOTH), WASM: {}}, "etag"),
                400,
                404,
                503,
            ),
            "put": {
                "operationId": "putFilter",
                "summary": "Look into a module, and take it into the catalogue",
                "requestBody": {"required": True, "content": {WASM: {}}},
                "parameters": [query("note", "A line about it", {"type": "string"})],
                "responses": {
                    "200": response("It was there already", content(module, *BOTH), "location"),
                    "201": response("Taken", content(module, *BOTH), "location"),
                    **problems(400, 409, 413, 415, 422, 502, 503),
                },
            },
            "delete": operation(
                "deleteFilter",
                "Take a module that no proxies run out of the catalogue",
                [header("if-match", "The digest that it must have, as its ETag; * for any")],
                response("Gone: what it was", content(module, *BOTH)),
                400,
                404,
                409,
                502,
                503,
            ),
        },
        "/v1/explain": {
            "post": {
                "operationId": "explain",
                "summary": "Which rule would decide a request",
                "requestBody": {"required": True, "content": content(question, *BOTH)},
                "responses": {
                    "200": response("What the engine says", content(ref("Explanation"), *BOTH)),
                    **problems(400, 413, 415, 422, 503),
                },
            }
        },
        "/v1/proxies": {
            "get": operation(
                "listProxies",
                "The proxies of this replica",
                [
                    query("limit", "How many", {"type": "integer", "minimum": 1, "maximum": 20000, "default": 1000}),
                    query("after", "`next` of the page before", {"type": "string"}),
                ],
                response("A page, and counts of all", content(_proxy_page(), *BOTH)),
                400,
            )
        },
        "/v1/proxies/{id}": {
            "parameters": [in_path("id", "Envoy's node id")],
            "get": operation(
                "getProxy", "One proxy", [], response("The proxy", content(ref("Proxy"), *BOTH)), 400, 404
            ),
        },
        "/v1/config/stream": {
            "get": operation(
                "stream",
                "The rules, as server-sent events",
                [
                    query("once", "One event, and then the end", {"type": "boolean", "default": False}),
                    query("wait", "With `once`: how long to wait for it, such as 25s", {"type": "string"}),
                    query("node", "As x-hfi-node", {"type": "string"}),
                    query("cluster", "As x-hfi-cluster", {"type": "string"}),
                    query("labels", "As x-hfi-labels", {"type": "string"}),
                    query("epoch", "As x-hfi-epoch", {"type": "string"}),
                    header("x-hfi-node", "Envoy's node id"),
                    header("x-hfi-cluster", "Envoy's node cluster; selectors are compared with it"),
                    header("x-hfi-labels", "k=v,k2=v2; selectors are compared with them"),
                    header("x-hfi-epoch", "The epoch that last-event-id is of"),
                    header("last-event-id", "The version that the reader has"),
                ],
                response(
                    "Events named `update`: a snapshot each. Or a comment, when there is nothing new",
                    content({"type": "string"}, "text/event-stream"),
                    "x-hfi-version",
                    "x-hfi-epoch",
                    "x-hfi-age-ms",
                ),
                400,
                403,
                429,
                503,
            )
        },
        "/v1/health": {
            "get": operation(
                "health",
                "Whether the process lives, and whether it can serve",
                [query("ready", "Answer 503 when it cannot serve", {"type": "boolean", "default": False})],
                response("It does", content(ref("Health"), JSON)),
                400,
                503,
            )
        },
        "/v1/metrics": {
            "get": operation(
                "metrics",
                "Metrics of the filters and of this replica",
                [query("format", "Instead of accept", {"enum": ["json", "prometheus"]})],
                response(
                    "JSON, or Prometheus text",
                    {**content(ref("Metrics"), JSON), **content({"type": "string"}, "text/plain")},
                ),
                400,
            )
        },
        "/v1/openapi.json": {
            "get": operation(
                "openapi", "This document", [], response("OpenAPI", content({"type": "object"}, JSON)), 400
            )
        },
        **sidecar_paths(),
    }


def _rollout(name: str, summary: str, body: str, *more: int) -> Json:
    return {
        "operationId": name,
        "summary": summary,
        # A start says at least of which module; the others may say nothing.
        "requestBody": {"required": body == "RolloutStart", "content": content(ref(body), *BOTH)},
        "responses": {
            "200": response("As it is then", content(ref("Rollout"), *BOTH)),
            **problems(400, *more, 409, 413, 415, 422, 502, 503),
        },
    }


def _proxy_page() -> Json:
    epoch = {"type": ["string", "null"]}
    replica = obj({"id": TEXT, "self": BOOLEAN, "startedMs": INTEGER, "version": TEXT}, "id", "self")
    replicas = {"type": "array", "items": replica}
    return page(ref("Proxy"), epoch=epoch, connected=INTEGER, connectedUpToDate=INTEGER, replicas=replicas)
