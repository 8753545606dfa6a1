"""The two things that the resource ``hfi`` can be: the filter, or a filter that lets everything pass. Pure.

Typed with envoy-data-plane. Its messages cost some 20 MB once imported, so they are imported where they are
used: a process that builds no resource does not pay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfi_core.modules.catalogue import FilterModule
from hfi_core.modules.filter_config import FilterConfig
from hfi_xds.resource_types import EXTENSION_CONFIG
from hfi_xds.resources import Resource

if TYPE_CHECKING:
    from betterproto2 import Message

#: The name of the filter's resource, and what it is called in a listener. An API: people's bootstraps use it.
FILTER_NAME = "hfi"
RUNTIME = "envoy.wasm.runtime.v8"


def filter_resource(module: FilterModule, config: FilterConfig, name: str = FILTER_NAME) -> Resource:
    """The filter, with its module inline.

    Inline, because Envoy acknowledges remote code in an update and then never fetches it; with the code inside, an
    acknowledgement means that it is there. FAIL_OPEN: a filter that broke lets traffic pass.
    """
    from envoy_data_plane.envoy.config.core.v3 import AsyncDataSource, DataSource
    from envoy_data_plane.envoy.extensions.filters.http.wasm.v3 import Wasm
    from envoy_data_plane.envoy.extensions.wasm.v3 import FailurePolicy, PluginConfig, VmConfig
    from envoy_data_plane.google.protobuf import Any, StringValue

    plugin = PluginConfig(
        name=name,
        root_id=name,
        failure_policy=FailurePolicy.FAIL_OPEN,
        vm_config=VmConfig(
            # Plugins with one vm_id and one code share a VM, so ours is named.
            vm_id=name,
            runtime=RUNTIME,
            code=AsyncDataSource(local=DataSource(inline_bytes=module.code)),
        ),
        configuration=Any.pack(StringValue(value=config.to_json())),
    )
    return _typed(name, Wasm(config=plugin))


def pass_through(name: str = FILTER_NAME) -> Resource:
    """What is served when there is no filter: a fault filter that is told of no fault.

    Taking the resource away instead would be answered with 500 by an Envoy that has no default configuration.
    """
    from envoy_data_plane.envoy.extensions.filters.http.fault.v3 import HttpFault

    return _typed(name, HttpFault())


def _typed(name: str, message: Message) -> Resource:
    from envoy_data_plane.envoy.config.core.v3 import TypedExtensionConfig
    from envoy_data_plane.google.protobuf import Any

    body = bytes(TypedExtensionConfig(name=name, typed_config=Any.pack(message)))
    return Resource.of(EXTENSION_CONFIG, name, body)
