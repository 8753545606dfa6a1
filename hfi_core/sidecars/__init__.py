"""What a whole Envoy is to be, when all of it comes from the control plane: where it listens, and for whom.

What may live here: the value, the ``kind: Sidecar`` document, and how it lies in the store. What may not: Envoy's own
configuration (``hfi_xds`` makes it of the value), and anything of policies.
"""
