"""What is built with one library is read with another: the generated messages that the streams use."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from hfi_core.modules.catalogue import FilterModule
from hfi_core.modules.filter_config import FilterConfig
from hfi_xds import pb
from hfi_xds.filter_resource import FILTER_NAME, filter_resource, pass_through
from hfi_xds.resource_types import EXTENSION_CONFIG

# envoy-data-plane, which builds the resource, declares its validators in a way that pydantic will drop.
pytestmark = pytest.mark.filterwarnings("ignore:Using `@model_validator` with mode='after':DeprecationWarning")

MODULE = FilterModule("hfi_filter.wasm", "0.1.0", "digest", b"\0asm and so on")
PREFIX = "type.googleapis.com/envoy.extensions.filters.http."


def plugin(config: pb.TypedExtensionConfig) -> pb.Wasm:
    assert config.typed_config.type_url == PREFIX + "wasm.v3.Wasm"
    return pb.Wasm.FromString(config.typed_config.value)


def test_the_filter_is_what_the_contract_says() -> None:
    resource = filter_resource(MODULE, FilterConfig(probe_paths=("/healthz",), generation=3))
    config = pb.TypedExtensionConfig.FromString(resource.body)
    # Envoy rejects a resource whose name is not that of the configuration.
    assert (resource.type_url, resource.name, config.name) == (EXTENSION_CONFIG, FILTER_NAME, FILTER_NAME)
    wasm = plugin(config).config
    assert (wasm.name, wasm.root_id, wasm.vm_config.vm_id) == ("hfi", "hfi", "hfi")
    assert wasm.vm_config.runtime == "envoy.wasm.runtime.v8"
    assert wasm.vm_config.code.local.inline_bytes == MODULE.code
    # FAIL_OPEN, and not the deprecated field beside it.
    assert wasm.failure_policy == 3
    text = StringValue()
    assert wasm.configuration.Unpack(text)
    assert FilterConfig.model_validate_json(text.value) == FilterConfig(probe_paths=("/healthz",), generation=3)
    assert json.loads(text.value)["http_cluster"] == "hfi_http"


def test_equal_filters_are_equal_bytes() -> None:
    assert filter_resource(MODULE, FilterConfig()) == filter_resource(MODULE, FilterConfig())


def test_a_generation_makes_another_content_of_the_same_module() -> None:
    first, second = (filter_resource(MODULE, FilterConfig(generation=number)) for number in (1, 2))
    assert first.version != second.version


def test_another_name_is_another_plugin() -> None:
    config = pb.TypedExtensionConfig.FromString(filter_resource(MODULE, FilterConfig(), "canary").body)
    wasm = plugin(config).config
    assert (config.name, wasm.name, wasm.root_id, wasm.vm_config.vm_id) == ("canary",) * 4


def test_the_pass_through_is_a_fault_filter_without_faults() -> None:
    resource = pass_through()
    config = pb.TypedExtensionConfig.FromString(resource.body)
    assert (resource.type_url, resource.name, config.name) == (EXTENSION_CONFIG, "hfi", "hfi")
    assert (config.typed_config.type_url, config.typed_config.value) == (PREFIX + "fault.v3.HTTPFault", b"")


def test_the_typed_messages_are_not_loaded_before_they_are_used() -> None:
    """They cost 20 MB."""
    code = "import sys, hfi_xds.filter_resource as f; assert not [m for m in sys.modules if 'envoy_data_plane' in m]"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
