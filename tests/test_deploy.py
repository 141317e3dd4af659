"""What docs/operations.md promises of the image, the compose file, nginx and systemd."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from blobstore.core import accounts
from blobstore.core.store import Store
from blobstore.environment import knobs
from tests.children import until
from tests.conftest import PASSWORD
from tests.live import service
from tests.served import ROOT

DEPLOY = ROOT / "deploy"
Service = dict[str, Any]


def compose() -> dict[str, Any]:
    """docker-compose.yml."""
    whole: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return whole


def services() -> dict[str, Service]:
    """Its services by name."""
    found: dict[str, Service] = compose()["services"]
    return found


def steps() -> list[tuple[str, str]]:
    """The Dockerfile as instructions and their arguments, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    joined = re.sub(r"\\\n\s*", "", text)
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def final() -> dict[str, str]:
    """The last stage's instructions; of one that is repeated the last."""
    all_steps = steps()
    begin = max(number for number, (word, _) in enumerate(all_steps) if word == "FROM")
    return dict(all_steps[begin:])


def test_the_image_runs_as_nobody_in_particular() -> None:
    """A hole in the service would be a hole in the host."""
    user, _, group = final()["USER"].partition(":")
    assert int(user) >= 1000
    assert int(group) >= 1000


def test_the_image_is_built_from_what_was_locked() -> None:
    """A package that nobody audited could be in it, or the tools of the build."""
    assert "--require-hashes --requirement run.txt" in " ".join(rest for _, rest in steps())
    assert [word for word, _ in steps()].count("FROM") == 2
    assert final()["COPY"].startswith("--from=build ")


def test_the_image_says_when_it_can_work_and_where_its_data_is() -> None:
    """A container that cannot work would get requests, and an upgrade would lose the files."""
    assert "http://127.0.0.1:5000/health/ready" in final()["HEALTHCHECK"]
    assert final()["VOLUME"] == "/data"
    assert "BLOBSTORE_DATA=/data" in final()["ENV"]
    assert final()["ENTRYPOINT"] == '["blobstore"]'


def test_nothing_but_the_sources_reaches_the_builder() -> None:
    """Data or a `.env` of the machine that builds would be in the image."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert rules[0] == "*"
    copied = {word for step, rest in steps() if step == "COPY" and "--from" not in rest for word in rest.split()[:-1]}
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied


@pytest.mark.parametrize("name", ["postgres", "upgrade", "blobstore", "nginx"])
def test_a_container_can_do_no_more_than_it_must(name: str) -> None:
    """A hole in one of them would open the others."""
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in service["tmpfs"]
    assert not service.get("privileged")
    assert ":" in service["image"] or service["build"] == "."


def test_what_must_be_kept_is_in_volumes() -> None:
    """`docker compose down` would delete every file."""
    mounts = [mount for name in ("postgres", "blobstore") for mount in services()[name]["volumes"]]
    kept = dict(mount.split(":") for mount in mounts)
    assert kept == {"postgres": "/var/lib/postgresql/data", "data": "/data"}
    assert set(kept) == set(compose()["volumes"])


def test_no_secret_has_a_default() -> None:
    """Everybody who reads the file could log in."""
    for found in services().values():
        for name, value in found.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|KEY|TOKEN", name):
                # Empty is none: what it is for is off then.
                assert re.fullmatch(rf"\$\{{{name}:(\?.+|-)\}}", value), name


def test_only_nginx_is_reached_from_outside() -> None:
    """The database, or passwords in clear, would be open to the network."""
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert published == {"nginx": ["${PUBLISH:-127.0.0.1:8080}:8080"]}
    assert compose()["networks"]["inside"]["internal"] is True
    assert all(service["networks"] == ["inside"] for name, service in services().items() if name != "nginx")


def test_the_service_starts_when_the_schema_is_there() -> None:
    """The first start would serve nothing but 503, or an upgrade would run with the old schema."""
    found = services()
    assert found["upgrade"]["command"] == ["db", "upgrade"]
    assert found["blobstore"]["depends_on"]["upgrade"] == {"condition": "service_completed_successfully"}
    assert found["upgrade"]["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert found["nginx"]["depends_on"]["blobstore"] == {"condition": "service_healthy"}
    assert "healthcheck" in found["postgres"]
    assert "healthcheck" in found["nginx"]


def test_every_setting_of_the_compose_file_exists() -> None:
    """A mistyped name would stop the start, or be ignored."""
    known = {knob.variable for knob in knobs()}
    assert set(services()["blobstore"]["environment"]) <= known
    assert services()["blobstore"]["environment"]["BLOBSTORE_TRUSTED_PROXY_HOPS"] == 1


def test_the_unit_gives_up_its_privileges_and_waits() -> None:
    """systemd would start it as root, or kill the embedded PostgreSQL before its workers are done."""
    unit = dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / "blobstore.service").read_text(), re.MULTILINE))
    assert unit["User"] == "blobstore"
    assert unit["ExecStart"].endswith("/blobstore serve")
    assert (unit["KillMode"], unit["NoNewPrivileges"], unit["ProtectSystem"]) == ("mixed", "yes", "strict")
    assert int(unit["TimeoutStopSec"]) > {knob.field: knob.default for knob in knobs()}["graceful_timeout_seconds"]


def installed(program: str) -> str:
    """Where a program is; the test is skipped without it."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    return found or pytest.skip(f"{program} is not installed")


@contextmanager
def nginx(folder: Path, upstream: str) -> Iterator[int]:
    """nginx with the site of the compose file; its port."""
    program = installed("nginx")
    for _ in range(10):
        port = unused_port()
        main = configure(folder, upstream, port)
        child = subprocess.Popen([program, "-p", f"{folder}", "-c", f"{main}", "-e", f"{folder}/error.log"])
        if started(child, port):
            break
    try:
        yield port
    finally:
        child.terminate()
        child.wait(60)


def started(child: subprocess.Popen[bytes], port: int) -> bool:
    """Whether it answers; False when it has ended, because somebody took the port."""
    until(lambda: child.poll() is not None or listens(port))
    return child.poll() is None


def configure(folder: Path, upstream: str, port: int) -> Path:
    """The site of the compose file within a main configuration, all in `folder`."""
    site = (DEPLOY / "nginx-compose.conf").read_text()
    site = site.replace("listen 8080", f"listen 127.0.0.1:{port}").replace("http://blobstore:5000", upstream)
    site = site.replace("/etc/nginx/blobstore-proxy.conf", str(DEPLOY / "nginx-proxy.conf"))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    main = folder / "nginx.conf"
    main.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off;\n{folders}{site}}}\n"
    )
    return main


def unused_port() -> int:
    """A port that was free a moment ago: nginx has no way to say which one it took."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody answers there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_nginx_passes_everything_on(store: Store, database_url: str, tmp_path: Path) -> None:
    """Behind nginx large uploads, refusals, names with slashes, links or addresses would be others than without."""
    accounts.add(store, "me", PASSWORD, quota_bytes=4 << 20)
    content = bytes(range(256)) * (3 << 12)
    given = {"BLOBSTORE_TRUSTED_PROXY_HOPS": 1, "LOG_FILE": tmp_path / "log"}
    with service(store.settings.data, database_url, **given) as live, nginx(tmp_path, live.url) as port:
        host = {"Host": "files.example", "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, auth=("me", PASSWORD), headers=host, timeout=60) as client:
            made = client.put("/upload/folder/b.bin", content=iter([content]))
            assert made.status_code == 201
            assert made.json()["url"] == f"http://files.example/{made.json()['sha256']}.bin"
            part = client.get(made.headers["Location"], headers={"Range": "bytes=100-199"})
            assert (part.status_code, part.content) == (206, content[100:200])
            assert client.get(made.headers["Location"]).content == content
            assert client.get(f"{url}//health").status_code == 404
            refused = client.put("/upload/large", content=bytes(64 << 20))
            assert (refused.status_code, refused.json()["code"]) == (413, "quota_exceeded")
    assert '"address": "127.0.0.1"' in (tmp_path / "log").read_text()
    assert "203.0.113.9" not in (tmp_path / "log").read_text()


def test_the_site_for_a_host_is_sound(tmp_path: Path) -> None:
    """nginx would not start with it."""
    certificate = [
        installed("openssl"),
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=x",
        "-days",
        "1",
    ]
    files = ["-keyout", f"{tmp_path}/privkey.pem", "-out", f"{tmp_path}/fullchain.pem"]
    subprocess.run([*certificate, *files], check=True, capture_output=True)
    site = (DEPLOY / "nginx.conf").read_text().replace("/etc/letsencrypt/live/files.example", str(tmp_path))
    names = (f"listen unix:{tmp_path}/{number}" for number in range(4))
    site = re.sub(r"listen [^ ;]+", lambda _: next(names), site)
    site = site.replace("/etc/nginx/blobstore-proxy.conf", str(DEPLOY / "nginx-proxy.conf"))
    main = tmp_path / "nginx.conf"
    main.write_text(f"pid {tmp_path}/pid; events {{}}\nhttp {{ access_log off;\n{site}}}\n")
    command = [installed("nginx"), "-t", "-e", f"{tmp_path}/log", "-p", str(tmp_path), "-c", str(main)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
