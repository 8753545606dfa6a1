"""What a policy is, and when it is valid.

Pure: documents and values in, values and problems out. No IO and no asyncio here; the exceptions are
``engine``, which calls the rule engine's WebAssembly module, and ``compilation``, which compiles it in a child.
"""
