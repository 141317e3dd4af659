"""The schema: the migrations make what the models say, at any number of nodes, and can be undone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine

from blobstore.database import Database, _alembic, is_current, upgrade
from blobstore.environment import load
from blobstore.errors import DatabaseUnavailable
from blobstore.models import Base
from tests.children import query
from tests.conftest import libpq
from tests.served import environment

SCHEMA = """
SELECT 'column', c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || ' '
       || a.attidentity::text || ' ' || COALESCE(pg_get_expr(d.adbin, d.adrelid), '') || ' ' || a.attcollation
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON (adrelid, adnum) = (attrelid, attnum)
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
UNION ALL SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'table', relname, relpersistence::text
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(t.oid)
FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid AND c.relnamespace = 'public'::regnamespace WHERE NOT tgisinternal
UNION ALL SELECT 'function', proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""
New = Callable[[str], str]


@pytest.fixture
def new(postgres_url: str) -> Iterator[New]:
    """`new(name)` is the address of an empty database."""
    made: list[str] = []

    def make(name: str) -> str:
        run_alone(postgres_url, f"CREATE DATABASE {name}")
        made.append(name)
        return postgres_url.replace("/blobstore?", f"/{name}?")

    yield make
    for name in made:
        run_alone(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


def run_alone(url: str, statement: str) -> None:
    """Run what no transaction may contain."""
    import psycopg2

    connection = psycopg2.connect(libpq(url))
    connection.autocommit = True
    connection.cursor().execute(statement)
    connection.close()


@pytest.fixture
def engine(new: New) -> Iterator[Engine]:
    """An engine on a database with the newest schema."""
    url = new("migrated")
    upgrade(url)
    engine = create_engine(url)
    yield engine
    engine.dispose()


def schema(url: str) -> set[tuple[object, ...]]:
    """Everything that PostgreSQL knows of the tables, but for Alembic's own."""
    return {row for row in query(url, SCHEMA) if "alembic_version" not in str(row[1])}


def test_the_migrations_make_what_the_models_say(engine: Engine) -> None:
    """A column of the models would not be there when the service starts."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_they_make_it_to_the_last_constraint(engine: Engine, new: New) -> None:
    """A rule that the tests rely on would not hold in production: checks, partial indexes, collations, unlogged."""
    url = new("modelled")
    modelled = create_engine(url)
    Base.metadata.create_all(modelled)
    modelled.dispose()
    migrated = engine.url.render_as_string(hide_password=False)
    assert len(schema(url)) > 80
    assert schema(migrated) == schema(url)


def test_what_is_done_can_be_undone(engine: Engine) -> None:
    """A failed upgrade would leave only the backup."""
    url = engine.url.render_as_string(hide_password=False)
    with engine.connect() as connection, connection.begin():
        config = _alembic()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert schema(url) == set()
    upgrade(url)
    assert schema(url)


def test_nodes_may_upgrade_at_once(new: New, tmp_path: Path) -> None:
    """Two nodes that start together would both fail, or leave half a schema."""
    url = new("raced")
    environ = environment(tmp_path, DATABASE_URL=url)
    arguments = [sys.executable, "-m", "blobstore", "db", "upgrade"]
    nodes = [subprocess.Popen(arguments, env=environ, cwd=tmp_path, stdout=subprocess.PIPE) for _ in range(3)]
    assert [node.communicate(timeout=120)[0] for node in nodes] == [b"the schema is current\n"] * 3
    assert query(url, "SELECT count(*) FROM alembic_version") == [(1,)]


def test_an_older_and_a_newer_schema_are_told(new: New) -> None:
    """The service would serve with a schema that it does not know."""
    url = new("versions")
    database = Database(url, load({}, None))
    assert not is_current(database)
    upgrade(url)
    assert is_current(database)
    query(url, "UPDATE alembic_version SET version_num = 'newer'")
    assert not is_current(database)
    with pytest.raises(DatabaseUnavailable, match="does not know"):
        upgrade(url)
    database.dispose()


def test_the_versions_are_one_line() -> None:
    """Two changes that were made side by side would leave no way to upgrade."""
    scripts = ScriptDirectory.from_config(_alembic())
    assert len(scripts.get_heads()) == 1
    assert all(not script.is_branch_point for script in scripts.walk_revisions())
