"""Each rule of the protocol is kept, by an interleaving in which dropping it shows; and each is dropped once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from blobstore.settings import Settings
from blobstore.storage.disk import Disk
from tests.races import scenarios, scenarios_ban, scenarios_delete
from tests.races.caught import BUG, TEST, Note
from tests.races.keyed import Keyed
from tests.races.mutants import MUTANTS
from tests.races.scenarios import Scenario
from tests.races.world import World

KEYED = {scenarios_delete.a_location_that_changed}
SCENARIOS = [
    scenario
    for module in (scenarios, scenarios_delete, scenarios_ban)
    for name, scenario in vars(module).items()
    if getattr(scenario, "__module__", "") == module.__name__ and not name.startswith("_") and scenario.__doc__
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all: half a thousand files and folders are slower to make than a race is to run."""
    folder = tmp_path_factory.mktemp("data")
    Disk(folder / "store").prepare()
    return folder


@pytest.fixture
def world(settings: Settings, data: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """An empty store; the scenario says which storage it needs."""
    disk = Disk(data / "store")
    for location, *_ in disk.locations():
        disk.delete(location)
    scenario = request.node.callspec.params.get("scenario") or MUTANTS[request.node.callspec.params["mutant"]].scenario
    world = World(settings.model_copy(update={"data": data}), Keyed() if scenario in KEYED else disk)
    yield world
    world.close()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_the_protocol_holds(world: World, scenario: Scenario) -> None:
    """If this failed, what the scenario says would be broken."""
    scenario(world)
    world.tidy()


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_dropped_rule_is_caught(
    world: World, monkeypatch: pytest.MonkeyPatch, record_property: Note, mutant: str
) -> None:
    """If this failed, the rule could be dropped and no test would notice."""
    record_property(BUG, mutant)
    record_property(TEST, f"test_the_protocol_holds[{MUTANTS[mutant].scenario.__name__}]")
    MUTANTS[mutant].plant(monkeypatch, world)
    with pytest.raises(Exception, match=MUTANTS[mutant].sign):
        MUTANTS[mutant].scenario(world)


def test_every_scenario_catches_something() -> None:
    """If this failed, a scenario would be kept that no planted bug has ever failed."""
    assert {mutant.scenario for mutant in MUTANTS.values()} == set(SCENARIOS)
