"""HFI's xDS control plane: the filter module for every Envoy that asks, and what became of it.

What may live here: resources (pure), sessions of the discovery protocol (sans-IO), and at the edge the gRPC
server and the sink for Envoy's metrics. What may not: policies, HTTP, the command line. Rules do not travel
by xDS (``docs/xds.md``). Nothing happens at import, and only ``server``, ``stream``, ``services`` and
``metrics_sink`` know gRPC.
"""
