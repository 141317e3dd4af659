"""What was measured, as a Markdown table of ratios, and on which machine."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

LIBRARIES = ("flask", "gunicorn", "gevent", "SQLAlchemy", "psycopg2-binary", "argon2-cffi")
PROGRAMS = {
    "nginx": ("nginx", "-v"),
    "docker-registry": ("docker-registry", "--version"),
    "wrk": ("wrk", "-v"),
    "curl": ("curl", "--version"),
}
_VERSION = re.compile(r"\d+\.\d+[\w.+~-]*")


@dataclass(frozen=True)
class Row:
    """One comparison: our figure, a peer's and the ratio of the two. `budget`: what the ratio is to keep to."""

    what: str
    ours: float
    unit: str
    peer: str = ""
    theirs: float | None = None
    budget: str = ""

    @property
    def line(self) -> str:
        theirs = "" if self.theirs is None else f"{plain(self.theirs)} {self.unit}"
        ratio = f"{self.ours / self.theirs:.2f}" if self.theirs else ""
        return f"| {self.what} | {plain(self.ours)} {self.unit} | {self.peer} | {theirs} | {ratio} | {self.budget} |"


def table(rows: Iterable[Row]) -> str:
    """The rows as Markdown."""
    columns = ("what", "blobstore", "beside it", "its figure", "ratio", "budget")
    head = [f"| {' | '.join(columns)} |", "| --- | ---: | --- | ---: | ---: | --- |"]
    return "\n".join([*head, *(row.line for row in rows)])


def against(what: str, unit: str, figures: Mapping[str, float], budgets: Mapping[str, str]) -> list[Row]:
    """One row for each peer beside `blobstore` in `figures`."""
    ours = figures["blobstore"]
    peers = [(name, figure) for name, figure in figures.items() if name != "blobstore"]
    return [Row(what, ours, unit, name, figure, budgets.get(name, "")) for name, figure in peers]


def interleaved(repeats: int, runs: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """The median of each run's figures. They take turns, so that whatever else the machine does hits all alike."""
    figures: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            figures[name].append(run())
    return {name: median(found) for name, found in figures.items()}


def plain(figure: float) -> str:
    """Three significant digits, or whole."""
    if abs(figure) >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.1f}" if abs(figure) >= 10 else f"{figure:.2f}"


def machine(postgres: str) -> str:
    """The date, the machine and the versions, as Markdown lines."""
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    programs = ", ".join(f"{name} {_program(command)}" for name, command in PROGRAMS.items())
    return "\n".join([host(postgres), f"- {versions}", f"- {programs}"])


def host(postgres: str) -> str:
    """The date, the machine, the system, Python and PostgreSQL."""
    now = datetime.now(UTC)
    kernel = platform.release().partition("-")[0]
    return "\n".join([
        f"- {now:%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores ({_processor()}), load {os.getloadavg()[0]:.1f} before",
        f"- {platform.system()} {kernel}, Python {platform.python_version()}, PostgreSQL {postgres}",
    ])  # fmt: skip


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _program(command: tuple[str, ...]) -> str:
    try:
        ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
    except FileNotFoundError:
        return "(not installed)"
    found = _VERSION.search(ran.stdout + ran.stderr)
    return found[0] if found else "?"
