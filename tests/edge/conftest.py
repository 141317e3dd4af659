"""One running service for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.edge import place as edge


@pytest.fixture(scope="module")
def place(migrated_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[edge.Place]:
    """The service, at which anybody may sign up."""
    with edge.place(tmp_path_factory.mktemp("edge"), migrated_url, registration="open", signups=10_000) as running:
        yield running
