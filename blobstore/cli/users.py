"""Users and API keys: `blobstore user …`, `blobstore key …`."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Literal

import click
from pydantic import ByteSize

from blobstore.cli.base import DEFAULT_SIZE, Size, Span, open_store, plainly
from blobstore.core import accounts, admin, keys, letters, new_password, removal, tickets
from blobstore.core.accounts import Account
from blobstore.core.gate import ROOT, Scope
from blobstore.core.names import parse_folder
from blobstore.core.tickets import Purpose


@click.group()
def user() -> None:
    """Users: add, list, passwd, ticket, quota, role, disable, enable, delete."""


def _password(from_stdin: bool) -> str:
    if from_stdin:
        try:
            return sys.stdin.buffer.readline().decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise click.UsageError("the password on standard input is not UTF-8") from None
    entered: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return entered


@user.command("add")
@click.argument("name")
@click.option("--email")
@click.option("--admin", is_flag=True, help="Give the role admin.")
@click.option(
    "--quota", type=Size(), default=DEFAULT_SIZE, help="10GiB, or none; default BLOBSTORE_DEFAULT_QUOTA_BYTES."
)
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@plainly
def add_user(name: str, email: str | None, admin: bool, quota: int | None, password_stdin: bool) -> None:
    """Make a user."""
    password = _password(password_stdin)
    with open_store() as store:
        limit = store.settings.default_quota_bytes if quota == DEFAULT_SIZE else quota
        account = accounts.add(store, name, password, email=email, admin=admin, quota_bytes=limit)
    click.echo(f"{account.name} may log in now, with {_limit(account.quota_bytes)}")


def _limit(quota_bytes: int | None) -> str:
    return "no quota" if quota_bytes is None else f"a quota of {ByteSize(quota_bytes).human_readable()}"


@user.command("list")
@click.option("--json", "as_json", is_flag=True)
@plainly
def list_users(as_json: bool) -> None:
    """Every user, by name."""
    with open_store() as store:
        found = accounts.accounts(store)
    for account in found:
        if as_json:
            click.echo(json.dumps(vars(account), default=str))
        else:
            used = ByteSize(account.used_bytes).human_readable()
            email = (account.email or "") + ("" if account.verified else " (not verified)")
            click.echo(f"{account.name:24} {_state(account):9} {account.file_count:>9} files {used:>10}  {email}")


def _state(account: Account) -> str:
    """The role, or why it is of no use."""
    if account.disabled:
        return "disabled"
    return account.role if account.admitted else "waiting"


@user.command()
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@plainly
def passwd(name: str, password_stdin: bool) -> None:
    """Give a user a new password."""
    password = _password(password_stdin)
    with open_store() as store:
        new_password.set_password(store, name, password)
    click.echo(f"{name} has a new password; the old one is refused from now on")


@user.command("ticket")
@click.argument("name")
@click.option("--for", "purpose", type=click.Choice([*map(str, Purpose)]), default="password", show_default=True)
@plainly
def issue_ticket(name: str, purpose: str) -> None:
    """Print a ticket, with which a user sets a new password or verifies his e-mail: once, within a day."""
    with open_store() as store:
        issued, _ = tickets.issue(store, name, Purpose(purpose))
        service = store.settings.base_url or f"http://{store.settings.bind}"
    given, path = {"ticket": issued}, "email/verify"
    if purpose == Purpose.PASSWORD:
        given, path = {**given, "new": "A NEW PASSWORD"}, "password/reset/confirm"
    click.echo(issued)
    click.echo(letters.link(service, Purpose(purpose), issued))
    click.echo(f"curl -H 'Content-Type: application/json' -d '{json.dumps(given)}' {service}/api/v1/auth/{path}")


@user.command("quota")
@click.argument("name")
@click.argument("size", type=Size())
@plainly
def set_quota(name: str, size: int | None) -> None:
    """Give a user a quota: 10GiB, or none."""
    with open_store() as store:
        admin.set_quota(store, name, size)
    click.echo(f"{name} has {_limit(size)}")


@user.command("role")
@click.argument("name")
@click.argument("role", type=click.Choice(["admin", "user"]))
@plainly
def set_role(name: str, role: Literal["admin", "user"]) -> None:
    """Make a user an admin, or an admin a user."""
    with open_store() as store:
        account = admin.change(store, name, {"role": role})
    click.echo(f"{account.name} is {'an admin' if role == 'admin' else 'a user'} from the next request on")


@user.command()
@click.argument("name")
@plainly
def disable(name: str) -> None:
    """Refuse a user, and serve nothing of his, from the next request on."""
    with open_store() as store:
        admin.set_disabled(store, name, disabled=True)
    click.echo(f"{name} is disabled; `blobstore user enable {name}` undoes it")


@user.command()
@click.argument("name")
@plainly
def enable(name: str) -> None:
    """Undo `disable`."""
    with open_store() as store:
        admin.set_disabled(store, name, disabled=False)
    click.echo(f"{name} may log in again")


@user.command("delete")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@plainly
def delete_user(name: str, yes: bool) -> None:
    """Delete a user with all his files."""
    with open_store() as store:
        account = accounts.get(store, name)
        if not yes:
            click.confirm(f"Delete {account.name} and {account.file_count} files for good?", abort=True)
        removed = removal.remove_account(store, name)
    click.echo(f"{name} is gone, with {removed} files; a sweep frees the bytes that nobody else has")


@click.group()
def key() -> None:
    """API keys: issue, list, rotate, revoke."""


@key.command("issue")
@click.argument("user_name", metavar="NAME")
@click.option("--name", "label", required=True, help="What the key is for.")
@click.option("--scopes", default="read,write", show_default=True, help="Some of read,write,delete,admin.")
@click.option("--folder", default=ROOT, show_default=True, help="Only for the files there and below it.")
@click.option("--expires", type=Span(), help="30d; default never.")
@plainly
def issue_key(user_name: str, label: str, scopes: str, folder: str, expires: timedelta | None) -> None:
    """Print a new API key of a user; it is shown this once."""
    known = {scope.value: scope for scope in Scope}
    names = [name.strip() for name in scopes.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise click.BadParameter(f"there is no scope {unknown[0]!r}", param_hint="--scopes")
    expires_at = datetime.now(UTC) + expires if expires else None
    wanted, place = [known[name] for name in names], parse_folder(folder)
    with open_store() as store:
        owner = accounts.get(store, user_name)
        if Scope.ADMIN in wanted and owner.role != "admin":
            raise click.BadParameter(f"{owner.name} is no admin", param_hint="--scopes")
        _, issued = keys.issue(store, owner.id, label, wanted, folder=place, expires_at=expires_at)
    click.echo(issued)


@key.command("list")
@click.argument("user_name", metavar="NAME")
@plainly
def list_keys(user_name: str) -> None:
    """The API keys of a user."""
    with open_store() as store:
        found = keys.keys(store, accounts.get(store, user_name).id)
    for stored in found:
        ends = stored.expires_at.date() if stored.expires_at else "never"
        where = f"{','.join(stored.scopes):24} {stored.folder:12}"
        click.echo(f"{stored.id}  …{stored.last_four}  {where} ends {ends}  {stored.name}")


@key.command("rotate")
@click.argument("user_name", metavar="NAME")
@click.argument("key_id", metavar="ID")
@click.option("--overlap", type=Span(), default="0", help="How long the old key works on: 1h; default 0, at most 7d.")
@plainly
def rotate_key(user_name: str, key_id: str, overlap: timedelta) -> None:
    """Print a new API key in the place of one; it is shown this once."""
    with open_store() as store:
        _, issued = keys.rotate(store, accounts.get(store, user_name).id, key_id, overlap)
    click.echo(issued)


@key.command("revoke")
@click.argument("user_name", metavar="NAME")
@click.argument("key_id", metavar="ID")
@plainly
def revoke_key(user_name: str, key_id: str) -> None:
    """End an API key; it is refused from the next request on."""
    with open_store() as store:
        keys.revoke(store, accounts.get(store, user_name).id, key_id)
    click.echo(f"{key_id} is revoked")
