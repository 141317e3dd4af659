"""The environment to settings. Read once at the start; every mistake is reported at once.

In order of precedence: the environment, `NAME_FILE` for secrets, `.env` in the working folder, the default.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import ValidationError

from blobstore.settings import PREFIX, Settings, SettingsError

SECRETS = (
    "DATABASE_URL",
    "POSTGRES_PASSWORD",
    "SECRET_KEY",
    "ADMIN_PASSWORD",
    "SMTP_PASSWORD",
    "BLOBSTORE_METRICS_TOKEN",
)
"""Each of these may come as `NAME_FILE`, the path of a file that holds it."""
NOT_SETTINGS = ("BLOBSTORE_FAILPOINTS", *(f"{name}_FILE" for name in SECRETS))


@dataclass(frozen=True)
class Knob:
    """One setting as people write it: its variable, its field and its default."""

    variable: str
    field: str
    default: Any


def knobs() -> Iterator[Knob]:
    """Every setting, in the order of the class."""
    for name, field in Settings.model_fields.items():
        default = "one per core" if field.default_factory else field.default
        yield Knob(field.alias or PREFIX + name.upper(), name, default)


def load(environ: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env")) -> Settings:
    """Read the settings. Raises SettingsError with every mistake at once: values, unknown names, files."""
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    known = {knob.variable: knob.field for knob in knobs()}
    merged = {**_read_dotenv(dotenv), **environ}
    merged.update(_read_secret_files(merged, problems))
    for name in merged:
        if name.startswith(PREFIX) and name not in known and name not in NOT_SETTINGS:
            problems.append(f"{name}: there is no such setting")
    given = {known[name]: value for name, value in merged.items() if name in known and value != ""}
    try:
        settings = Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        names = {field: variable for variable, field in known.items()}
        problems += [_line(mistake, names) for mistake in error.errors(include_input=False, include_url=False)]
    if problems:
        raise SettingsError(problems)
    return settings


def _read_dotenv(path: Path | None) -> dict[str, str]:
    if path is None or not path.is_file():
        return {}
    return {name: value for name, value in dotenv_values(path).items() if value is not None}


def _read_secret_files(merged: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    found = {}
    for name in SECRETS:
        path = merged.get(f"{name}_FILE")
        if path and not merged.get(name):
            try:
                found[name] = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                problems.append(f"{name}_FILE: {path} cannot be read ({type(error).__name__})")
    return found


def _line(mistake: Mapping[str, Any], names: Mapping[str, str]) -> str:
    where = str(mistake["loc"][0]) if mistake["loc"] else ""
    text = mistake["msg"].removeprefix("Value error, ")
    return f"{names.get(where, where)}: {text}" if where else text
