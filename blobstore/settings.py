"""Every knob: name, type, unit, default; and what makes a value unusable. `environment.py` reads them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote, urlsplit

from email_validator import validate_email
from pydantic import ByteSize, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from blobstore import emails

PREFIX = "BLOBSTORE_"
MIN_SECRET_LENGTH = 32
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
KiB, MiB, GiB = 1 << 10, 1 << 20, 1 << 30


class SettingsError(Exception):
    """The settings cannot be used; `problems` has one line per mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("the settings cannot be used:\n" + "\n".join(f"  - {line}" for line in problems))
        self.problems = problems


def _names(text: object) -> object:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text


class Settings(BaseSettings):
    """All knobs, frozen. A field `x_y` is read from BLOBSTORE_X_Y unless it has an alias."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, allow_inf_nan=False, extra="forbid", populate_by_name=True
    )

    database_url: SecretStr | None = Field(None, alias="DATABASE_URL")
    """postgresql://user:password@host:port/name; empty means POSTGRES_*, or else the embedded PostgreSQL."""
    postgres_host: str | None = Field(None, alias="POSTGRES_HOST")
    postgres_port: int = Field(5432, alias="POSTGRES_PORT", ge=1, le=65535)
    postgres_user: str = Field("blobstore", alias="POSTGRES_USER")
    postgres_password: SecretStr | None = Field(None, alias="POSTGRES_PASSWORD")
    postgres_db: str = Field("blobstore", alias="POSTGRES_DB")
    pg_version: Literal["16", "18"] = Field("18", alias="PG_VERSION")
    """Which embedded PostgreSQL a new data folder gets; an existing one keeps its own."""

    pool_size: int = Field(10, alias="POOL_SIZE", ge=1)
    """Connections that each worker keeps open."""
    max_overflow: int = Field(0, alias="MAX_OVERFLOW", ge=0)
    """Connections that each worker opens beyond POOL_SIZE under load."""
    pool_timeout: float = Field(2.0, alias="POOL_TIMEOUT", gt=0)
    """Seconds to wait for a free connection before 503 `busy`."""
    pool_recycle: int = Field(1800, alias="POOL_RECYCLE", ge=-1)
    """Seconds after which a connection is replaced; -1 = never."""
    pool_pre_ping: bool = Field(False, alias="POOL_PRE_PING")
    """Ask each connection whether it lives before using it: one round trip a request."""
    pool_use_lifo: bool = Field(True, alias="POOL_USE_LIFO")
    database_timeout_seconds: float = Field(2.5, gt=0)
    """How long a request waits for PostgreSQL to answer one statement, or to let it in, before 503."""

    secret_key: SecretStr | None = Field(None, alias="SECRET_KEY")
    """At least 32 characters; signs links. Several, separated by commas: the first signs, all are accepted.

    `blobstore serve` makes and keeps one when it is not set.
    """
    base_url: str | None = Field(None, alias="BASE_URL")
    """https://files.example: what links start with. Unset: the request's own Host."""
    content_origin: str | None = None
    """https://content.example, a host of its own that leads here too: links to contents go there, and only there are
    pictures and text shown rather than saved. Nothing else is answered under that host."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins, separated by commas, whose pages may use the API with a login that they ask for themselves."""
    log_file: Path | None = Field(None, alias="LOG_FILE")
    """Where the JSON lines go; unset: standard error."""
    admin_email: str | None = Field(None, alias="ADMIN_EMAIL")
    admin_password: SecretStr | None = Field(None, alias="ADMIN_PASSWORD")
    """The first admin's, when there is none yet."""

    metrics_token: SecretStr | None = None
    """At least 32 characters: who sends it as a Bearer token gets /metrics and the numbers of /health/ready.

    Several, separated by commas: each of them does. Unset: nobody gets either.
    """

    access_token_expire_minutes: int = Field(30, alias="ACCESS_TOKEN_EXPIRE_MINUTES", ge=1, le=7 * 24 * 60)
    """How long a login token is good for."""

    registration: Literal["closed", "allowlist", "open"] = "closed"
    """Who may sign up: nobody, whose e-mail is on the list, or anybody."""
    registration_allowlist: Annotated[tuple[str, ...], NoDecode] = ()
    """Addresses and, as @example.org, whole domains, separated by commas."""
    signups: int = Field(20, ge=1)
    """How many signups one client address (an IPv6 /64) may try in a window."""
    mails: int = Field(10, ge=1)
    """How many mails one client address may ask for, and how many one mailbox gets, in a window."""
    signup_window_seconds: int = Field(3600, ge=1)
    unverified_days: int = Field(7, ge=1)
    """How long an account that signed up waits for its e-mail to be verified, before it is removed."""

    smtp_host: str | None = Field(None, alias="SMTP_HOST")
    """The server that takes our mail; unset: none is sent, and an admin hands out the tickets."""
    smtp_port: int = Field(587, alias="SMTP_PORT", ge=1, le=65535)
    smtp_tls: Literal["starttls", "tls", "none"] = Field("starttls", alias="SMTP_TLS")
    """TLS after a plain start (port 587), from the first byte (465), or none at all."""
    smtp_user: str | None = Field(None, alias="SMTP_USER")
    smtp_password: SecretStr | None = Field(None, alias="SMTP_PASSWORD")
    smtp_timeout_seconds: float = Field(10.0, alias="SMTP_TIMEOUT_SECONDS", gt=0)
    """How long to wait for each answer of the server."""
    mail_from: str | None = Field(None, alias="MAIL_FROM")
    """Whom mail comes from: an address, or a name and an address as in `Files <files@example.org>`."""

    data: Path = Path("data")
    """The folder for everything that must be kept: the store, the embedded PostgreSQL, the made secrets."""
    bind: str = "127.0.0.1:5000"
    """ADDRESS:PORT."""
    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Worker processes; default: one per core."""
    storage: Literal["disk"] = "disk"
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """More names to be reached by than BASE_URL's, separated by commas; only with BASE_URL."""
    trusted_proxy_hops: int = Field(0, ge=0, le=10)
    """How many proxies of ours set X-Forwarded-*; 0: those headers are ignored."""

    max_file_bytes: ByteSize = Field(ByteSize(5 * GiB), ge=1)
    default_quota_bytes: ByteSize = Field(ByteSize(10 * GiB), ge=0)
    """The quota of a new user."""
    default_visibility: Literal["public", "private"] = "public"
    short_id_length: int = Field(8, ge=8, le=32)
    """Characters of a file's id."""
    free_floor_bytes: ByteSize = Field(ByteSize(256 * MiB), ge=0)
    """Free space of the store below which uploads are refused with 507."""

    header_timeout_seconds: float = Field(10.0, gt=0)
    """A request's headers must have arrived by then."""
    idle_timeout_seconds: float = Field(30.0, gt=0)
    """A body that sends nothing, or a reader that takes nothing, for so long is cut."""
    min_rate_bytes: ByteSize = Field(ByteSize(KiB), ge=0)
    """Bytes per second a body must reach on average after 10 seconds."""
    keepalive_seconds: float = Field(5.0, ge=0)
    """How long an idle connection is kept."""
    graceful_timeout_seconds: int = Field(30, ge=1)
    """How long requests under way may go on after a stop or reload was asked for."""
    max_connections: int = Field(1000, ge=1)
    """Connections per worker."""
    max_connections_per_address: int = Field(500, ge=1)
    """Of those, how many one client address (an IPv6 /64) may have; not counted behind a trusted proxy."""
    max_bodies_per_address: int = Field(100, ge=1)
    """Bodies in flight per client address (an IPv6 /64) and worker, then 429."""

    requests_per_minute: int = Field(0, ge=0)
    """Requests that a user may make in a minute; 0: no limit."""
    requests_per_minute_per_address: int = Field(0, ge=0)
    """The same for requests without valid credentials, per client address (an IPv6 /64); 0: no limit."""
    login_failures: int = Field(10, ge=1)
    """Failed logins per account and address in a window."""
    login_failures_per_address: int = Field(100, ge=1)
    """Failed logins of all accounts from one client address (an IPv6 /64) in a window."""
    login_failures_total: int = Field(1000, ge=1)
    """Failed logins of all accounts and addresses in a window."""
    login_window_seconds: int = Field(300, ge=1)

    audit_days: int = Field(90, ge=0, le=36_525)
    """How long the audit log is kept; 0: for ever."""
    audit_traffic: bool = True
    """Whether uploads and downloads of private files are in the audit log too, not only what is changed."""

    upkeep_interval_seconds: int = Field(600, ge=0)
    """How often the upkeep runs in the background, once for all workers and nodes; 0: never."""
    reap_grace_seconds: int = Field(3600, ge=60)
    """How old a file that never became ready must be to be removed."""
    sweep_grace_seconds: int = Field(86400, ge=0)
    """How long a blob that nobody claims keeps its bytes."""
    verify_days: int = Field(30, ge=0, le=36_525)
    """Within how many days the upkeep in the background reads and hashes every blob; 0: never."""
    verify_bytes_per_second: ByteSize = Field(ByteSize(32 * MiB), ge=KiB)
    """How fast it reads."""

    @field_validator("allowed_hosts", "cors_origins", "registration_allowlist", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return _names(value)

    @field_validator("bind")
    @classmethod
    def _check_bind(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError("is ADDRESS:PORT, like 127.0.0.1:5000")
        return value

    @field_validator("base_url", "content_origin")
    @classmethod
    def _check_base_url(cls, value: str | None) -> str | None:
        if not value:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("is http://HOST or https://HOST")
        if parts.path not in ("", "/"):
            raise ValueError("has no path: the service lives at the root of its host")
        return f"{parts.scheme}://{parts.netloc.lower().removesuffix(DEFAULT_PORTS[parts.scheme])}"

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: SecretStr | None) -> SecretStr | None:
        scheme = urlsplit(value.get_secret_value()).scheme.partition("+")[0] if value else ""
        if value and value.get_secret_value() and scheme not in ("postgresql", "postgres"):
            raise ValueError("is postgresql://USER:PASSWORD@HOST:PORT/NAME")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(cls._check_base_url(origin) or "" for origin in value)

    @field_validator("registration_allowlist")
    @classmethod
    def _check_listed(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(emails.parse_listed, value))

    @field_validator("mail_from")
    @classmethod
    def _check_sender(cls, value: str | None) -> str | None:
        if value:
            validate_email(value, check_deliverability=False, allow_smtputf8=False, allow_display_name=True)
        return value

    @field_validator("secret_key", "metrics_token")
    @classmethod
    def _check_secret(cls, value: SecretStr | None) -> SecretStr | None:
        for secret in value.get_secret_value().split(",") if value else ():
            if len(secret) < MIN_SECRET_LENGTH or len(set(secret)) < 8:
                raise ValueError(f"needs at least {MIN_SECRET_LENGTH} random characters (openssl rand -hex 32)")
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Settings:
        if self.admin_password and not self.admin_email:
            raise ValueError("ADMIN_PASSWORD needs ADMIN_EMAIL")
        if self.allowed_hosts and not self.base_url:
            raise ValueError("BLOBSTORE_ALLOWED_HOSTS needs BASE_URL")
        if self.content_origin and not self.base_url:
            raise ValueError("BLOBSTORE_CONTENT_ORIGIN needs BASE_URL")
        if self.content_origin and urlsplit(self.content_origin).netloc == urlsplit(self.base_url or "").netloc:
            raise ValueError("BLOBSTORE_CONTENT_ORIGIN is another host than BASE_URL's")
        if self.registration == "allowlist" and not self.registration_allowlist:
            raise ValueError("BLOBSTORE_REGISTRATION=allowlist needs BLOBSTORE_REGISTRATION_ALLOWLIST")
        if self.smtp_host and not (self.base_url and self.mail_from):
            raise ValueError("SMTP_HOST needs MAIL_FROM, and BASE_URL for the links in mails")
        if bool(self.smtp_user) != bool(self.smtp_password):
            raise ValueError("SMTP_USER and SMTP_PASSWORD need each other")
        if self.smtp_user and self.smtp_tls == "none":
            raise ValueError("SMTP_USER needs SMTP_TLS: the password would travel in clear")
        return self

    @classmethod
    def settings_customise_sources(  # type: ignore[override]
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 (the base class's signature)
        init_settings: PydanticBaseSettingsSource,
        **_others: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `environment.load` hands over: it merged the environment already."""
        return (init_settings,)

    @property
    def external_database(self) -> str | None:
        """The address of a PostgreSQL that is not ours, for SQLAlchemy with psycopg2; None: the embedded one."""
        if self.database_url and self.database_url.get_secret_value():
            _, _, rest = self.database_url.get_secret_value().partition("://")
            return "postgresql+psycopg2://" + rest
        if self.postgres_host:
            password = self.postgres_password.get_secret_value() if self.postgres_password else ""
            who = f"{quote(self.postgres_user, safe='')}:{quote(password, safe='')}"
            return f"postgresql+psycopg2://{who}@{self.postgres_host}:{self.postgres_port}/{self.postgres_db}"
        return None

    def require_database(self) -> str:
        """The address of the database. Raises SettingsError when none is set: only `serve` starts the embedded one."""
        if self.external_database is None:
            raise SettingsError(["DATABASE_URL: is not set (`blobstore serve` brings its own PostgreSQL)"])
        return self.external_database

    def require_secret_key(self) -> str:
        """The secret that signs links, or several. Raises SettingsError when none is set."""
        if self.secret_key is None:
            raise SettingsError(["SECRET_KEY: is not set (openssl rand -hex 32)"])
        return self.secret_key.get_secret_value()

    @property
    def store(self) -> Path:
        """The folder of the disk storage."""
        return self.data / "store"
