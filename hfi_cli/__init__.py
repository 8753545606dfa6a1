"""``hfi-cli``, the Python client, and the composition of the servers.

What may live here: the command line, the typed client (:class:`hfi_cli.client.HfiClient`), the bootstrap
generator, and the composition root: the only place where store, feed, xDS and HTTP meet. What may not: rules of
policies and of protocols; they are asked for, in :mod:`hfi_core`, :mod:`hfi_xds` and :mod:`hfi_sse`.

Nothing happens at import, and ``hfi-cli --help`` must stay fast: a module of :mod:`hfi_cli.commands` imports what is
heavy (grpc, wasmtime, the servers, httpx) inside the command that needs it.
"""
