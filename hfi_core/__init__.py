"""HFI's core: policies, the store, snapshots, and what is known of proxies.

What may live here: values and rules that both servers need, and the store behind one protocol. What may
not: gRPC *servers*, HTTP, the command line. Nothing here imports ``hfi_xds``, ``hfi_sse`` or ``hfi_cli``,
and nothing happens at import.
"""
