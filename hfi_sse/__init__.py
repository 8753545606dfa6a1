"""REST and SSE: HFI's HTTP side, for people, their tools, and the filters that poll for rules.

What may live here: routes, problem responses, the stream, OpenAPI, and the server that runs them. Routes are
thin: they read a request, ask :mod:`hfi_core`, and write the answer. What may not: rules of policies, the
store, gRPC. ``hfi_xds`` is a sibling that is never seen from here. Nothing happens at import.

Three laws of the API: a version is text everywhere (JavaScript cannot hold 64 bits); an error is always
``application/problem+json``; a query parameter that is not known is an error, because a misspelt ``dryRun``
would write.
"""
