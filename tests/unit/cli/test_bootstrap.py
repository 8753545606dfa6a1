from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from hfi_cli.bootstrap import ClientTls, Sidecar, minimal, sidecar, snippet
from hfi_core.address import Address
from hfi_core.errors import SettingsInvalid
from hfi_core.modules.filter_config import HTTP_CLUSTER, XDS_CLUSTER
from tests.unit.cli.conftest import Run


def made(**changed: Any) -> Sidecar:
    parsed = {
        "node_id": "checkout-1",
        "cluster": "checkout",
        "listen": Address("127.0.0.1", 10000),
        "upstream": Address("127.0.0.1", 9000),
        "admin": Address("127.0.0.1", 9901),
        "http": [Address("127.0.0.1", 8080)],
        "xds": [Address("127.0.0.1", 18000)],
    }
    return Sidecar(**{**parsed, **changed})


def endpoints(cluster: dict[str, Any]) -> list[tuple[str, int]]:
    found = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    sockets = [endpoint["endpoint"]["address"]["socket_address"] for endpoint in found]
    return [(socket["address"], socket["port_value"]) for socket in sockets]


def clusters(text: str) -> dict[str, dict[str, Any]]:
    return {cluster["name"]: cluster for cluster in yaml.safe_load(text)["static_resources"]["clusters"]}


def manager(text: str) -> dict[str, Any]:
    (chain,) = yaml.safe_load(text)["static_resources"]["listeners"][0]["filter_chains"]
    found: dict[str, Any] = chain["filters"][0]["typed_config"]
    return found


def test_every_address_is_where_it_belongs() -> None:
    text = sidecar(made(http=[Address("cp-0", 1), Address("cp-1", 2)], xds=[Address("10.0.0.1", 3)]))
    config = yaml.safe_load(text)
    assert config["admin"]["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 9901}
    (listener,) = config["static_resources"]["listeners"]
    assert listener["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 10000}
    by_name = clusters(text)
    assert endpoints(by_name["upstream"]) == [("127.0.0.1", 9000)]
    assert endpoints(by_name[HTTP_CLUSTER]) == [("cp-0", 1), ("cp-1", 2)]
    assert by_name[HTTP_CLUSTER]["type"] == "STRICT_DNS"
    assert endpoints(by_name[XDS_CLUSTER]) == [("10.0.0.1", 3)]
    assert by_name[XDS_CLUSTER]["type"] == "STATIC"


REPLICAS = [Address("10.0.0.1", 1), Address("10.0.0.2", 1)]


@pytest.mark.parametrize("text", [sidecar, snippet, minimal])
@pytest.mark.parametrize(
    ("replicas", "several"),
    [([Address("10.0.0.1", 1)], False), (REPLICAS, True), ([Address("hfi.test", 1)], True)],
    ids=["one", "two", "a name"],
)
def test_of_several_replicas_those_that_fail_are_left_alone(
    text: Callable[[Sidecar], str], replicas: list[Address], several: bool
) -> None:
    by_name = clusters(text(made(http=replicas, xds=replicas)))
    for name in (HTTP_CLUSTER, XDS_CLUSTER):
        assert (by_name[name].get("lb_policy") == "RANDOM") is several
        detection = by_name[name].get("outlier_detection", {})
        assert (detection.get("consecutive_local_origin_failure") == 1) is several
        assert (detection.get("consecutive_gateway_failure") == 1) is several
        # Enough to leave the last one alone, too; and then all are tried. And it takes effect at once.
        common = {"healthy_panic_threshold": {"value": 1}, "update_merge_window": "0s"}
        assert (by_name[name].get("common_lb_config") == common) is several


@pytest.mark.parametrize("text", [sidecar, snippet, minimal])
def test_tls_is_of_both_clusters_and_says_whom_to_believe(text: Callable[[Sidecar], str]) -> None:
    tls = ClientTls("/c a.pem", "/n.pem", "/k.pem")
    by_name = clusters(text(made(http=[Address("hfi.test", 1)], xds=REPLICAS, tls=tls)))
    found = {name: by_name[name]["transport_socket"]["typed_config"] for name in (HTTP_CLUSTER, XDS_CLUSTER)}
    for one in found.values():
        common = one["common_tls_context"]
        assert common["validation_context"]["trusted_ca"] == {"filename": "/c a.pem"}
        assert common["tls_certificates"] == [
            {"certificate_chain": {"filename": "/n.pem"}, "private_key": {"filename": "/k.pem"}}
        ]
        assert common["tls_params"]["tls_minimum_protocol_version"] == "TLSv1_3"
    by_dns, by_ip = (found[name] for name in (HTTP_CLUSTER, XDS_CLUSTER))
    names = "match_typed_subject_alt_names"
    assert (by_dns["sni"], by_dns["common_tls_context"]["alpn_protocols"]) == ("hfi.test", ["http/1.1"])
    assert by_dns["common_tls_context"]["validation_context"][names] == [
        {"san_type": "DNS", "matcher": {"exact": "hfi.test"}}
    ]
    assert ("sni" in by_ip, by_ip["common_tls_context"]["alpn_protocols"]) == (False, ["h2"])
    assert by_ip["common_tls_context"]["validation_context"][names] == [
        {"san_type": "IP_ADDRESS", "matcher": {"exact": address.host}} for address in REPLICAS
    ]
    assert all("transport_socket" not in by_name[name] for name in by_name.keys() - {HTTP_CLUSTER, XDS_CLUSTER})


def test_a_name_that_is_given_is_the_one_that_is_believed() -> None:
    tls = ClientTls("/ca.pem", server_names=("hfi.test",))
    one = clusters(sidecar(made(http=REPLICAS, tls=tls)))[HTTP_CLUSTER]["transport_socket"]["typed_config"]
    assert one["sni"] == "hfi.test"
    assert one["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"] == [
        {"san_type": "DNS", "matcher": {"exact": "hfi.test"}}
    ]
    assert "tls_certificates" not in one["common_tls_context"]


@pytest.mark.parametrize("text", ["no", "1.0", "a: b", '"', "null", "1e3", "x # y", "{a}", "0x10"])
def test_no_text_becomes_anything_else_in_yaml(text: str) -> None:
    config = yaml.safe_load(sidecar(made(node_id=text, cluster=text)))
    assert (config["node"]["id"], config["node"]["cluster"]) == (text, text)


def test_labels_are_text_and_where_the_filter_looks() -> None:
    labels = {"track": "canary", "version": "1.0", "on": "off", "example.com/x": ""}
    config = yaml.safe_load(sidecar(made(labels=labels)))
    assert config["node"]["metadata"] == {"hfi": {"labels": labels}}
    assert yaml.safe_load(sidecar(made()))["node"]["metadata"] == {"hfi": {"labels": {}}}


@pytest.mark.parametrize("text", [sidecar, snippet])
@pytest.mark.parametrize("bandwidth", [True, False])
def test_the_filter_stands_before_the_router_and_never_answers_500(
    text: Callable[[Sidecar], str], bandwidth: bool
) -> None:
    hfi, *behind = manager(text(made(bandwidth=bandwidth)))["http_filters"]
    assert hfi["name"] == "hfi"
    between = ["hfi-bandwidth"] if bandwidth else []
    assert [one["name"] for one in behind] == [*between, "envoy.filters.http.router"]
    discovery = hfi["config_discovery"]
    assert discovery["apply_default_config_without_warming"] is True
    assert discovery["default_config"]["@type"] in discovery["type_urls"]
    assert any("wasm.v3.Wasm" in url for url in discovery["type_urls"])


def test_a_sidecar_has_ads_and_a_snippet_leaves_the_users_own_alone() -> None:
    whole, part = yaml.safe_load(sidecar(made())), yaml.safe_load(snippet(made()))
    ads = whole["dynamic_resources"]["ads_config"]
    assert ads["api_type"] == "DELTA_GRPC"
    assert ads["set_node_on_first_message_only"] is True
    assert ads["grpc_services"][0]["envoy_grpc"]["retry_policy"]["retry_back_off"] == {
        "base_interval": "0.1s",
        "max_interval": "0.5s",
    }
    assert "dynamic_resources" not in part


def test_a_minimal_one_is_a_node_and_the_control_plane() -> None:
    config = yaml.safe_load(minimal(made(labels={"track": "canary"}, access_log="-", bandwidth=False)))
    assert config["node"]["metadata"]["hfi"] == {
        "labels": {"track": "canary"},
        "listen": "127.0.0.1:10000",
        "upstream": "127.0.0.1:9000",
        "access_log": "-",
        "bandwidth": False,
    }
    assert [cluster["name"] for cluster in config["static_resources"].pop("clusters")] == [HTTP_CLUSTER, XDS_CLUSTER]
    assert config["static_resources"] == {}
    ads = {"ads": {}, "resource_api_version": "V3"}
    assert config["dynamic_resources"].pop("ads_config")["api_type"] == "DELTA_GRPC"
    assert config["dynamic_resources"] == {"cds_config": ads, "lds_config": ads}
    # Of the rest each has its reason (docs/xds.md), and there is nothing else.
    report = {"stats_flush_interval", "stats_sinks"}
    assert set(config) == {"admin", "node", "dynamic_resources", "static_resources", *report}
    # What is not said, the control plane says; and HFI asks an Envoy's own interface nothing.
    silent = yaml.safe_load(minimal(made(listen=None, upstream=None, admin=None)))
    assert silent["node"] == {"id": "checkout-1", "cluster": "checkout"}
    assert config.keys() - silent.keys() == {"admin"}


@pytest.mark.parametrize("text", [sidecar, snippet])
def test_envoys_fault_filter_only_limits_a_rate_and_what_it_is_told_stays_here(text: Callable[[Sidecar], str]) -> None:
    http = manager(text(made()))
    bandwidth = http["http_filters"][1]["typed_config"]
    assert set(bandwidth) == {"@type", "response_rate_limit", "disable_downstream_cluster_stats"}
    assert bandwidth["response_rate_limit"] == {"header_limit": {}, "percentage": {"numerator": 100}}
    assert http["route_config"]["request_headers_to_remove"] == ["x-envoy-fault-throughput-response"]


@pytest.mark.parametrize("text", [sidecar, snippet])
@pytest.mark.parametrize("bandwidth", [True, False])
def test_clients_headers_go_before_any_filter(text: Callable[[Sidecar], str], bandwidth: bool) -> None:
    (guard,) = manager(text(made(bandwidth=bandwidth)))["early_header_mutation_extensions"]
    assert guard["name"] == "hfi-headers"
    assert guard["typed_config"]["mutations"] == [{"remove_on_match": {"key_matcher": {"prefix": "x-envoy-fault-"}}}]


@pytest.mark.parametrize("text", [sidecar, snippet])
@pytest.mark.parametrize(
    ("path", "kind", "written"),
    [("-", "stdout", None), ("/var/log/a: #b.json", "file", "/var/log/a: #b.json"), ("no", "file", "no")],
)
def test_an_access_log_goes_where_it_is_wanted(
    text: Callable[[Sidecar], str], path: str, kind: str, written: str | None
) -> None:
    (log,) = manager(text(made(access_log=path)))["access_log"]
    assert log["name"] == f"envoy.access_loggers.{kind}"
    assert log["typed_config"].get("path") == written
    assert log["typed_config"]["log_format"]["json_format"]["fault"] == "%FILTER_STATE(wasm.hfi.fault:PLAIN)%"


def test_without_asking_there_is_no_access_log() -> None:
    assert "access_log" not in manager(sidecar(made()))


@pytest.mark.parametrize("text", [sidecar, snippet])
def test_the_sink_sends_absolute_values_and_excludes_no_stat(text: Callable[[Sidecar], str]) -> None:
    config = yaml.safe_load(text(made()))
    (sink,) = config["stats_sinks"]
    assert sink["typed_config"]["report_counters_as_deltas"] is False
    assert sink["typed_config"]["histogram_emit_mode"] == "HISTOGRAM"
    assert "stats_config" not in config


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"node_id": ""}, "node id"),
        ({"node_id": "a\nb"}, "node id"),
        ({"cluster": "größe"}, "cluster"),
        ({"cluster": "x" * 254}, "cluster"),
        ({"listen": Address("localhost", 1)}, "--listen"),
        ({"admin": Address("host", 1)}, "--admin"),
        ({"upstream": Address("host", 0)}, "--upstream"),
        ({"http": []}, "--http"),
        ({"xds": [Address("h", 1), Address("1.1.1.1", 1)]}, "--xds"),
        ({"labels": {"a b": "c"}}, "label"),
        ({"labels": {"a": "c,d=e"}}, "label"),
        ({"access_log": ""}, "--access-log"),
        ({"access_log": "a\nb"}, "access log"),
    ],
)
def test_refuses_what_envoy_could_not_start_with(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsInvalid, match=named):
        made(**changed)


def test_the_command_prints_it(run: Run) -> None:
    result = run(
        *("bootstrap", "--node-id", "checkout-1", "--cluster", "checkout", "--listen", "127.0.0.1:10000"),
        *("--upstream", "127.0.0.1:9000", "--admin", "127.0.0.1:9901"),
        *("--http", "127.0.0.1:8080", "--xds", "127.0.0.1:18000", "--label", "track=canary"),
    )
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == sidecar(made(labels={"track": "canary"}))


def test_the_defaults_are_the_documented_addresses(run: Run) -> None:
    args = ("bootstrap", "--node-id", "checkout-1", "--cluster", "checkout", "--upstream", "127.0.0.1:9000")
    assert run(*args).stdout == sidecar(made())
    assert run(*args, "--snippet").stdout == snippet(made())
    assert run(*args, "--access-log", "-").stdout == sidecar(made(access_log="-"))
    assert run(*args, "--no-bandwidth").stdout == sidecar(made(bandwidth=False))
    assert run(*args, "--minimal").stdout == minimal(made(listen=None, admin=None))
    who = args[:5]
    assert run(*who, "--minimal").stdout == minimal(made(listen=None, upstream=None, admin=None))
    assert run(*who, "--minimal", "--listen", "[::1]:1", "--admin", "127.0.0.1:9901").stdout == minimal(
        made(listen=Address("::1", 1), upstream=None)
    )


def test_what_only_the_control_plane_could_know_is_asked_for(run: Run) -> None:
    for more in ((), ("--snippet",)):
        result = run("bootstrap", "--node-id", "a", "--cluster", "b", *more)
        assert (result.exit_code, "--upstream" in result.stderr, "--minimal" in result.stderr) == (2, True, True)


@pytest.mark.parametrize(
    "args",
    [
        ("--listen", "10000"),
        ("--listen", "localhost:1"),
        ("--label", "track"),
        ("--label", "a=1", "--label", "a=2"),
        ("--http", "[::1:8080"),
        ("--minimal", "--snippet"),
        ("--cert", "n.pem", "--key", "k.pem"),
        ("--server-name", "hfi.test"),
        ("--ca", "ca.pem", "--cert", "n.pem"),
        ("--ca", ""),
        ("--ca", "ca.pem", "--server-name", "*.hfi.test"),
    ],
)
def test_wrong_usage_is_2_and_says_why(run: Run, args: tuple[str, ...]) -> None:
    result = run("bootstrap", "--node-id", "a", "--cluster", "b", "--upstream", "127.0.0.1:9000", *args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
