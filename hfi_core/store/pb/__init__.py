"""Generated from ``proto/etcd`` by ``proto/generate.py``; only ``hfi_core.store.etcd_client`` imports it."""
