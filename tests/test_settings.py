"""The settings: what is read, what is refused, and what `.env.example` tells people."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from blobstore.environment import SECRETS, knobs, load
from blobstore.settings import SettingsError

EXAMPLE = Path(__file__).parents[1] / ".env.example"
LINE = re.compile(r"^#([A-Z_]+)=(.*)$", re.MULTILINE)
SECRET = "0123456789abcdef" * 4


def problems(environ: dict[str, str]) -> list[str]:
    """What is wrong with an environment."""
    with pytest.raises(SettingsError) as raised:
        load(environ, dotenv=None)
    return raised.value.problems


def test_the_example_names_every_setting_once_and_in_order() -> None:
    """People would not find a setting, or set one that stops the start."""
    assert [name for name, _ in LINE.findall(EXAMPLE.read_text())] == [knob.variable for knob in knobs()]


def test_the_example_shows_the_defaults() -> None:
    """Uncommenting a line would change what it says it shows."""
    shown = dict(LINE.findall(EXAMPLE.read_text()))
    assert load(shown, dotenv=None) == load({}, dotenv=None)
    silent = {knob.variable for knob in knobs() if knob.default in (None, (), "one per core")}
    assert {name for name, value in shown.items() if not value} == silent


def test_every_mistake_is_told_at_once() -> None:
    """People would mend one line, start again, and find the next."""
    found = problems({"BLOBSTORE_BIND": "5000", "BLOBSTORE_WORKERS": "0", "BLOBSTORE_DATTA": "x", "PG_VERSION": "12"})
    assert [line.partition(":")[0] for line in found] == [
        "BLOBSTORE_DATTA",
        "PG_VERSION",
        "BLOBSTORE_BIND",
        "BLOBSTORE_WORKERS",
    ]


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"BLOBSTORE_BIND": "127.0.0.1:70000"}, "BLOBSTORE_BIND: is ADDRESS:PORT, like 127.0.0.1:5000"),
        ({"BASE_URL": "files.example"}, "BASE_URL: is http://HOST or https://HOST"),
        ({"BASE_URL": "https://files.example/x"}, "BASE_URL: has no path: the service lives at the root of its host"),
        ({"SECRET_KEY": "changeme"}, "SECRET_KEY: needs at least 32"),
        ({"SECRET_KEY": "a" * 64}, "SECRET_KEY: needs at least 32"),
        ({"ADMIN_PASSWORD": "correct horse"}, "ADMIN_PASSWORD needs ADMIN_EMAIL"),
        ({"BLOBSTORE_ALLOWED_HOSTS": "a.example"}, "BLOBSTORE_ALLOWED_HOSTS needs BASE_URL"),
        ({"BLOBSTORE_CONTENT_ORIGIN": "https://a.example"}, "BLOBSTORE_CONTENT_ORIGIN needs BASE_URL"),
        (
            {"BLOBSTORE_CONTENT_ORIGIN": "https://A.example:443/", "BASE_URL": "https://a.example"},
            "BLOBSTORE_CONTENT_ORIGIN is another host than BASE_URL's",
        ),
        ({"BLOBSTORE_CORS_ORIGINS": "https://a.example, *"}, "BLOBSTORE_CORS_ORIGINS: is http://HOST or https://HOST"),
        ({"BLOBSTORE_CORS_ORIGINS": "null"}, "BLOBSTORE_CORS_ORIGINS: is http://HOST or https://HOST"),
        (
            {"BLOBSTORE_REGISTRATION": "allowlist"},
            "BLOBSTORE_REGISTRATION=allowlist needs BLOBSTORE_REGISTRATION_ALLOWLIST",
        ),
        (
            {"BLOBSTORE_REGISTRATION_ALLOWLIST": "@a.example, b"},
            "BLOBSTORE_REGISTRATION_ALLOWLIST: An email address must",
        ),
        ({"SMTP_HOST": "x", "MAIL_FROM": "a@files.example"}, "SMTP_HOST needs MAIL_FROM, and BASE_URL for the links"),
        ({"SMTP_HOST": "x", "BASE_URL": "https://a.example"}, "SMTP_HOST needs MAIL_FROM, and BASE_URL for the links"),
        ({"SMTP_USER": "a"}, "SMTP_USER and SMTP_PASSWORD need each other"),
        ({"SMTP_USER": "a", "SMTP_PASSWORD": "b", "SMTP_TLS": "none"}, "SMTP_USER needs SMTP_TLS"),
        ({"MAIL_FROM": "a@b.example\r\nBcc: c@d.example"}, "MAIL_FROM: "),
        ({"BLOBSTORE_METRICS_TOKEN": "short"}, "BLOBSTORE_METRICS_TOKEN: needs at least 32"),
        ({"BLOBSTORE_MAX_FILE_BYTES": "lots"}, "BLOBSTORE_MAX_FILE_BYTES:"),
        ({"SECRET_KEY_FILE": "/nonexistent"}, "SECRET_KEY_FILE: /nonexistent cannot be read (FileNotFoundError)"),
    ],
)
def test_a_bad_value_stops_the_start(environ: dict[str, str], line: str) -> None:
    """The service would start with something else than was asked for."""
    (found,) = problems(environ)
    assert found.startswith(line)


@pytest.mark.parametrize("name", SECRETS)
def test_no_mistake_repeats_a_secret(name: str) -> None:
    """A refused secret would stand in the terminal and the log."""
    text = str(problems({name: "hunter2", "ADMIN_EMAIL": "", "BLOBSTORE_NO_SUCH": "hunter2", "POOL_SIZE": "hunter2"}))
    assert "hunter2" not in text


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_come_from_a_file(tmp_path: Path, name: str) -> None:
    """Secrets of Docker and systemd could not be used."""
    kept = tmp_path / "secret"
    value = f"postgresql://u:{SECRET}@h/d" if name == "DATABASE_URL" else SECRET
    kept.write_text(value + "\n")
    environ = {
        "ADMIN_EMAIL": "a@files.example",
        "SMTP_USER": "me" if name == "SMTP_PASSWORD" else "",
        f"{name}_FILE": str(kept),
    }
    field = {knob.variable: knob.field for knob in knobs()}[name]
    secret = getattr(load(environ, dotenv=None), field)
    assert secret.get_secret_value() == value
    assert SECRET not in repr(load(environ, dotenv=None))


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """An override for one start would be ignored."""
    dotenv = tmp_path / ".env"
    dotenv.write_text("BLOBSTORE_WORKERS=3\nPOOL_SIZE=7\n")
    settings = load({"BLOBSTORE_WORKERS": "4"}, dotenv=dotenv)
    assert (settings.workers, settings.pool_size) == (4, 7)


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, None),
        ({"DATABASE_URL": ""}, None),
        ({"DATABASE_URL": "postgresql://a:b@h:1/d"}, "postgresql+psycopg2://a:b@h:1/d"),
        ({"DATABASE_URL": "postgres://a:b@h:1/d"}, "postgresql+psycopg2://a:b@h:1/d"),
        ({"DATABASE_URL": "postgresql+psycopg2://a:b@/d?host=%2Ftmp"}, "postgresql+psycopg2://a:b@/d?host=%2Ftmp"),
        (
            {"POSTGRES_HOST": "h", "POSTGRES_USER": "a@b", "POSTGRES_PASSWORD": "p/w:%"},
            "postgresql+psycopg2://a%40b:p%2Fw%3A%25@h:5432/blobstore",
        ),
    ],
)
def test_the_address_of_the_database(environ: dict[str, str], url: str | None) -> None:
    """SQLAlchemy would take another driver, or a password with a slash another host."""
    assert load(environ, dotenv=None).external_database == url


def test_sizes_are_written_as_people_write_them() -> None:
    """10GiB would be refused, or be 10 bytes."""
    settings = load({"BLOBSTORE_MAX_FILE_BYTES": "1GiB", "BLOBSTORE_DEFAULT_QUOTA_BYTES": "1000"}, dotenv=None)
    assert (settings.max_file_bytes, settings.default_quota_bytes) == (1 << 30, 1000)
