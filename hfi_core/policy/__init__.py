"""What a policy is, and when it is valid.

Pure: documents and values in, values and problems out. No IO and no asyncio here; the one exception is
``engine``, which calls the rule engine's WebAssembly module and reads that module from disk on first use.
"""
