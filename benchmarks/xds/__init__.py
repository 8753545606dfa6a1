"""What issue 4 asks of the xDS server, measured: fan-out beside go-control-plane, a real Envoy, failover, a flood."""
