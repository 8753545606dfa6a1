"""Where policies are kept: one protocol, and its implementations.

Only keys, bytes and revisions live here; what the bytes mean is ``hfi_core.policy``'s business. Each
implementation passes the same contract suite (``tests/integration/test_store_contract.py``).
"""
