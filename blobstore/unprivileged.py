"""Run a program that refuses root, as root and without a second user account."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from functools import cache
from typing import TypedDict


class Identity(TypedDict, total=False):
    """The arguments of Popen that make a child another user."""

    user: int
    group: int
    extra_groups: list[int]


def wrap(command: list[str], owner: int, group: int) -> tuple[list[str], Identity]:
    """`command` so that it neither sees itself as root nor as a user without a name; files of `owner` stay its own.

    PostgreSQL refuses uid 0, and its initdb refuses a uid that has no name (a container started with `--user 12345`).
    Raises PermissionError where the system forbids the user namespace that this takes.
    """
    if os.geteuid() == 0 and owner != 0:
        return command, Identity(user=owner, group=group, extra_groups=[])
    if os.geteuid() != 0 and _has_name(os.geteuid()):
        return command, Identity()
    # Inside the namespace the uid has another number; outside it is still ours, so that every folder stays 0700.
    return [*_namespace(), *command], Identity()


def _has_name(uid: int) -> bool:
    try:
        return bool(pwd.getpwuid(uid))
    except KeyError:
        return False


@cache
def _namespace() -> tuple[str, ...]:
    entries = [entry for entry in pwd.getpwall() if entry.pw_uid != 0]
    uid = 1000 if _has_name(1000) or not entries else max(entry.pw_uid for entry in entries)
    prefix = ("unshare", "--user", f"--map-user={uid}", f"--map-group={uid}")
    if not shutil.which("unshare") or subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode:
        raise PermissionError("user namespaces are not allowed here")
    return prefix
