from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from hfi_core.errors import ModuleUnavailable
from hfi_core.modules import catalogue
from hfi_core.modules.catalogue import FILTER, VALIDATOR, load_module, modules_directory
from hfi_core.modules.filter_config import FilterConfig


def write(directory: Path, name: str, code: bytes, digest: str | None = None) -> None:
    directory.mkdir(exist_ok=True)
    (directory / name).write_bytes(code)
    said = digest or hashlib.sha256(code).hexdigest()
    (directory / "manifest.json").write_text(
        json.dumps({"version": "1.2.3", "modules": {name: {"sha256": said, "size": len(code)}}})
    )


@pytest.mark.parametrize("name", [FILTER, VALIDATOR])
def test_what_ships_agrees_with_its_manifest(name: str) -> None:
    module = load_module(name)
    assert module.code[:4] == b"\0asm"
    assert module.digest == hashlib.sha256(module.code).hexdigest()


def test_another_directory_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, FILTER, b"\0asm-other")
    monkeypatch.setenv("HFI_MODULES_DIR", str(tmp_path))
    module = load_module(FILTER)
    assert (module.code, module.version) == (b"\0asm-other", "1.2.3")


def test_an_installed_package_brings_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HFI_MODULES_DIR", raising=False)
    monkeypatch.setattr(catalogue, "__file__", str(tmp_path / "catalogue.py"))
    (tmp_path / "dist").mkdir()
    assert modules_directory() == tmp_path / "dist"


def test_a_damaged_module_is_refused(tmp_path: Path) -> None:
    write(tmp_path, FILTER, b"\0asm-damaged", digest="0" * 64)
    with pytest.raises(ModuleUnavailable, match=r"build it anew with: python wasm_filter/build\.py"):
        load_module(FILTER, tmp_path)


def test_a_missing_module_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(ModuleUnavailable, match=r"build it with: python wasm_filter/build\.py"):
        load_module(FILTER, tmp_path)


def test_the_filters_bootstrap_has_the_defaults_that_are_documented() -> None:
    assert json.loads(FilterConfig().to_json()) == {
        "http_cluster": "hfi_http",
        "authority": "hfi",
        "wait_seconds": 25,
        "max_staleness_seconds": 600,
        "probe_paths": [],
        "generation": 1,
    }


def test_a_probe_path_is_a_path() -> None:
    with pytest.raises(ValueError, match="probe_paths"):
        FilterConfig(probe_paths=("healthz",))


@pytest.mark.parametrize(("staleness", "wait"), [(600, 25), (30, 10), (3, 1), (1, 1), (0, 25)])
def test_a_quiet_poll_ends_before_it_would_count_as_stale(staleness: int, wait: int) -> None:
    assert json.loads(FilterConfig(max_staleness_seconds=staleness).to_json())["wait_seconds"] == wait
