from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from hfi_core.errors import SettingsInvalid
from hfi_core.store.data_dir import DataDirLock


def test_one_at_a_time_and_the_next_when_it_is_let_go(tmp_path: Path) -> None:
    one, two = DataDirLock(tmp_path / "new" / "dir"), DataDirLock(tmp_path / "new" / "dir")
    one.acquire()
    with pytest.raises(SettingsInvalid, match=f"process {os.getpid()}"):
        two.acquire()
    two.release()  # Does nothing to the first one's.
    with pytest.raises(SettingsInvalid):
        two.acquire()
    one.release()
    two.acquire()
    two.release()
    two.release()


def test_a_lock_file_that_was_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "hfi.lock").write_text("99999999999")
    lock = DataDirLock(tmp_path)
    lock.acquire()
    assert (tmp_path / "hfi.lock").read_text() == str(os.getpid())
    lock.release()


def test_other_directories_are_other_locks(tmp_path: Path) -> None:
    locks = [DataDirLock(tmp_path / name) for name in "ab"]
    for lock in locks:
        lock.acquire()
    for lock in locks:
        lock.release()


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsInvalid, match=f"{tmp_path}/file"):
        DataDirLock(tmp_path / "file").acquire()
    with pytest.raises(SettingsInvalid, match=f"{tmp_path}/file/below"):
        DataDirLock(tmp_path / "file" / "below").acquire()


def test_a_file_system_without_locks_is_not_mistaken_for_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(SettingsInvalid, match="cannot be locked"):
        DataDirLock(tmp_path).acquire()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a file that takes nothing is Linux's")
def test_a_lock_file_that_takes_nothing_is_told(tmp_path: Path) -> None:
    """As on a disk that is full."""
    (tmp_path / "hfi.lock").symlink_to("/dev/full")
    lock = DataDirLock(tmp_path)
    with pytest.raises(SettingsInvalid, match=f"{tmp_path} cannot be used: "):
        lock.acquire()
    lock.release()
