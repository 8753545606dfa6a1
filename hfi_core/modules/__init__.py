"""The WebAssembly modules that HFI ships, and the configuration that the filter starts with.

Reads files; knows nothing of xDS. The compiled modules are built from ``wasm_filter/`` and lie beside their
sources there; a wheel carries them in ``dist/`` of this package.
"""
