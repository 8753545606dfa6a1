"""One data directory, one user of it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import IO

from hfi_core.errors import SettingsInvalid


class DataDirLock:
    """Only one at a time may use a data directory. Held by this process, let go with it."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Raises :class:`~hfi_core.errors.SettingsInvalid` when somebody has it, or it cannot be written."""
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            file = (self._data_dir / "hfi.lock").open("a+")
        except OSError as error:
            raise SettingsInvalid(f"the data directory {self._data_dir} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise SettingsInvalid(
                f"the data directory {self._data_dir} is in use by another HFI (process {holder}): "
                "stop that one, or choose another directory"
            ) from None
        except OSError as error:  # A file system that cannot lock.
            file.close()
            raise SettingsInvalid(f"the data directory {self._data_dir} cannot be locked: {error.strerror}") from error
        self._file = file
        try:
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        except OSError as error:
            self.release()
            raise SettingsInvalid(f"the data directory {self._data_dir} cannot be used: {error.strerror}") from error

    def release(self) -> None:
        """Let go; fine when it is not held."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # Closing writes what could not be written before.
                self._file.close()
            self._file = None
