"""Addresses as the command line takes them: see :mod:`hfi_core.address`."""

from hfi_core.address import Address

__all__ = ["Address"]
