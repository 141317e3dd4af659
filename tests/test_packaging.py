"""What is installed is what was locked."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([a-z0-9-]+)==(\S+) ;(?:[^\\\n]|\\\n)*", re.MULTILINE)
Pins = dict[tuple[str, str], set[str]]


def locked() -> list[dict[str, Any]]:
    """The packages of poetry.lock."""
    packages: list[dict[str, Any]] = tomllib.loads((ROOT / "poetry.lock").read_text())["package"]
    return packages


def expected(groups: set[str]) -> Pins:
    """Name and version to hashes, of some groups of the lock."""
    return {
        (canonicalize_name(package["name"]), package["version"]): {file["hash"] for file in package["files"]}
        for package in locked()
        if groups & set(package["groups"])
    }


def exported(name: str) -> Pins:
    """The same of one export."""
    pins = PIN.finditer((ROOT / "requirements" / name).read_text())
    return {(pin[1], pin[2]): set(re.findall(r"sha256:[0-9a-f]{64}", pin[0])) for pin in pins}


def project() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize(("name", "groups"), [("run.txt", {"main", "build"}), ("test.txt", {"main", "build", "test"})])
def test_an_export_is_the_lock(name: str, groups: set[str]) -> None:
    """`make install` would install something else than was locked and audited."""
    assert exported(name) == expected(groups)


def test_every_pin_has_a_hash() -> None:
    """An index that was broken into could hand out another package."""
    for name in ("run.txt", "test.txt"):
        pins = exported(name)
        assert pins
        assert all(pins.values())


def test_every_requirement_is_locked_in_its_range() -> None:
    """A change of pyproject.toml without `make lock` would have no effect."""
    versions: dict[str, set[str]] = {}
    for package in locked():
        versions.setdefault(canonicalize_name(package["name"]), set()).add(package["version"])
    table = project()
    wanted = [*table["project"]["dependencies"], *chain(*table["project"]["optional-dependencies"].values())]
    for group in table["tool"]["poetry"]["group"].values():
        wanted += [f"{name}{'' if bound == '*' else bound}" for name, bound in group["dependencies"].items()]
    for line in wanted:
        requirement = Requirement(line)
        found = versions.get(canonicalize_name(requirement.name), set())
        assert any(requirement.specifier.contains(version) for version in found), line


def test_no_index_is_written_down() -> None:
    """A private mirror's address would be published, and installs elsewhere would fail."""
    for name in ("pyproject.toml", "poetry.lock", "requirements/run.txt", "requirements/test.txt"):
        text = (ROOT / name).read_text()
        assert not re.search(r"index-url|find-links|trusted-host|\[package\.source\]|tool\.poetry\.source", text), name


def test_a_wheel_carries_everything_that_runs(tmp_path: Path) -> None:
    """`pipx run` of it would start without a schema, a page or the description of the API."""
    build = "import sys; from poetry.core.masonry.api import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(ZipFile(wheel).namelist())
    kept = [path for path in (ROOT / "blobstore").rglob("*") if path.suffix in {".py", ".yml", ".html", ".js", ".css"}]
    assert {path.relative_to(ROOT).as_posix() for path in kept} <= names
    migrations = {f"blobstore/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "migrations").rglob("*.py")}
    assert {"blobstore/migrations/env.py"} <= migrations <= names
    assert not [name for name in names if not name.startswith(("blobstore/", "blobstore-"))]
