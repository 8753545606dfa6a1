"""A certificate authority for trying out TLS: ``hfi-cli certs``.

What may live here: making keys and certificates, and keeping them in a directory. It is no PKI: its key lies beside
what it signs, and it revokes nothing.
"""
