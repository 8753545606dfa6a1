"""What the filter is started with: its bootstrap, delivered with the module by ECDS."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictStr

#: The names that a bootstrap gives the two clusters of the control plane. An API: people's bootstraps use them.
HTTP_CLUSTER = "hfi_http"
XDS_CLUSTER = "hfi_xds"


class FilterConfig(BaseModel):
    """The filter's bootstrap (``docs/filter.md`` says what each field does).

    ``wait_seconds``: how long a poll may be parked. ``max_staleness_seconds``: without word from the control
    plane for so long, faults stop; 0 means never. ``probe_paths``: exact paths that are never touched.
    ``generation``: raised to have Envoy apply the same module anew; it would acknowledge and ignore equal bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    http_cluster: StrictStr = HTTP_CLUSTER
    authority: StrictStr = "hfi"
    wait_seconds: Annotated[int, Field(ge=1, le=300)] = 25
    max_staleness_seconds: Annotated[int, Field(ge=0, le=86_400)] = 600
    probe_paths: tuple[Annotated[StrictStr, Field(pattern="^/[^?#]*$", max_length=256)], ...] = ()
    generation: Annotated[int, Field(ge=1)] = 1

    def to_json(self) -> str:
        """The plugin configuration as the filter reads it; equal configurations give equal text.

        A quiet poll ends well within ``max_staleness_seconds``: its end is the sign of life that the limit waits for.
        """
        wait = self.wait_seconds
        if self.max_staleness_seconds:
            wait = min(wait, max(1, self.max_staleness_seconds // 3))
        return self.model_copy(update={"wait_seconds": wait}).model_dump_json()
