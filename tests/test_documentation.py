"""What the pages say is there: links, commands, settings, tables."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from blobstore.cli import main
from blobstore.environment import SECRETS, knobs
from blobstore.models import Base
from tests.laws import WRITERS
from tests.served import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")
COMMAND = re.compile(
    r"\bblobstore((?: --data \S+)?(?: (?:user|key|ban|events|upkeep|storage|db|serve)\b)(?: [a-z]+)?)((?: --?[a-z-]+)*)"
)
SETTING = re.compile(r"\b(?:BLOBSTORE_[A-Z_]+|[A-Z]+_(?:URL|PASSWORD|KEY|HOST|SIZE|OVERFLOW|FILE))\b")
NAMED = {"BLOBSTORE_DATTA", "BLOBSTORE_FAILPOINTS", *(f"{name}_FILE" for name in SECRETS)}
"""A mistyped one that is shown, one that is no setting, and files of secrets."""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def prose_of(page: Path) -> str:
    """The text with its line ends as spaces."""
    return re.sub(r"\s+", " ", page.read_text())


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    """A reader would stand before nothing."""
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@each_page
def test_every_command_exists(page: Path) -> None:
    """What an operator types at night would be refused."""
    for words, options in COMMAND.findall(prose_of(page)):
        path = [word for word in re.sub(r" --data \S+", "", words).split() if word]
        command: click.Command = main
        for word in path:
            if isinstance(command, click.Group):
                found = command.get_command(click.Context(command), word)
                assert found is not None, f"blobstore {' '.join(path)}"
                command = found
        known = {option for parameter in command.params for option in parameter.opts} | {"-h", "--help"}
        assert set(options.split()) <= known, f"blobstore {' '.join(path)} {options}"


@each_page
def test_every_setting_exists(page: Path) -> None:
    """Somebody would set what is refused at the start."""
    known = {knob.variable for knob in knobs()} | NAMED
    assert set(SETTING.findall(page.read_text())) <= known


def test_every_table_is_explained_with_its_writers() -> None:
    """Who changes a table would not know whose it is."""
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE))
    assert set(rows) == set(Base.metadata.tables)
    assert {table: tuple(re.findall(r"core/\w+\.py", writers)) for table, writers in rows.items()} == WRITERS


def test_decisions_are_numbered_once() -> None:
    """Two decisions would have one name."""
    numbers = [path.name[:4] for path in sorted((ROOT / "docs/decisions").glob("*.md"))]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
