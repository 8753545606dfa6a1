"""xDS: the filter module and its bootstrap, served to Envoys.

What may live here: resources (pure), protocol sessions (sans-IO), the gRPC server that pumps them, and the sink
for Envoy's metrics. It imports ``hfi_core`` only; ``hfi_sse`` is its sibling and is never seen from here.
"""
