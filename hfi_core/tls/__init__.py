"""TLS of the servers: the files, what is in them now, and for which nodes a client's certificate speaks.

What may live here: values, reading files, and looking again whether they have changed. No servers: how gRPC and HTTP
use a :class:`~hfi_core.tls.material.TlsMaterial` is theirs to know.
"""

from hfi_core.tls.certificates import Certificates
from hfi_core.tls.material import TlsFiles, TlsMaterial
from hfi_core.tls.nodes import NodeNames, NodePattern, Peer

__all__ = ["Certificates", "NodeNames", "NodePattern", "Peer", "TlsFiles", "TlsMaterial"]
