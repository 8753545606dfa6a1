"""What can be asked of sidecar documents, described."""

from __future__ import annotations

from hfi_sse.media import JSON, YAML
from hfi_sse.openapi.parts import TEXT, Json, content, in_path, obj, operation, problems, query, ref, response

BOTH = (JSON, YAML)


def complete_schema(spec: Json) -> None:
    """Add to ``SidecarSpec`` what its model checks as a whole, and the short form that its normaliser takes."""
    spec["anyOf"] = [{"required": ["listen"]}, {"required": ["upstream"]}]
    spec["properties"]["upstream"]["anyOf"].append(TEXT)


def sidecar_paths() -> Json:
    """Their part of ``paths``."""
    sidecar = content(ref("SidecarDocument"), *BOTH)
    listed = obj({"items": {"type": "array", "items": ref("SidecarDocument")}}, "items")
    return {
        "/v1/sidecars": {
            "get": operation(
                "listSidecars", "Every sidecar document", [], response("All, by name", content(listed, *BOTH)), 400, 503
            ),
            "post": {
                "operationId": "applySidecar",
                "summary": "Create or update the sidecar document of a cluster",
                "parameters": [query("dryRun", "Do everything but the write", {"type": "boolean", "default": False})],
                "requestBody": {"required": True, "content": sidecar},
                "responses": {
                    "200": response("Updated, or what a dry run would store", sidecar, "etag"),
                    "201": response("Created", sidecar, "etag", "location"),
                    **problems(400, 409, 413, 415, 422, 502, 503),
                },
            },
        },
        "/v1/sidecars/{name}": {
            "parameters": [in_path("name", "The cluster")],
            "get": operation(
                "getSidecar", "One sidecar document", [], response("The document", sidecar, "etag"), 400, 404, 503
            ),
            "delete": operation(
                "deleteSidecar",
                "Remove a sidecar document: its listener goes, then its cluster",
                [],
                response("Removed, as of that version", content(ref("Deleted"), *BOTH)),
                400,
                404,
                502,
                503,
            ),
        },
    }
