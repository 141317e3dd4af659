"""The worker's life: how it starts, which worker it refuses, how it stops and reloads under requests."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from blobstore.environment import load
from blobstore.hooks import gunicorn_settings
from tests.served import Client, Server, command, environment, eventually, serving

SLOW = "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"


def ask_slowly(server: Server) -> Client:
    """A request that is under way and ends when the file `go` appears."""
    client = server.connect().send(SLOW)
    eventually((server.data / "here").exists)
    return client


def refuses(server: Server) -> bool:
    """Whether a new connection gets no answer."""
    try:
        server.get("/hello")
    except (OSError, EOFError):
        return True
    return False


def test_a_stop_lets_requests_end(tmp_path: Path) -> None:
    """Otherwise every deploy cuts uploads; or the stopping worker still takes new ones."""
    with serving(tmp_path) as server, ask_slowly(server) as client, server.connect() as idle, server.connect() as new:
        idle.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").answer()
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: refuses(server))
        assert (idle.rest(), new.rest()) == (b"", b"")
        (tmp_path / "go").touch()
        answer = client.answer()
        assert (answer.text, client.rest()) == ("done", b"")
        assert server.process.wait(60) == 0


def test_a_stop_does_not_wait_for_ever(tmp_path: Path) -> None:
    """Otherwise one endless download keeps the service from stopping."""
    with serving(tmp_path, graceful_timeout_seconds=1) as server, ask_slowly(server) as client:
        worker = psutil.Process(server.process.pid).children()[0]
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        worker.wait(60)
        with pytest.raises((EOFError, ConnectionResetError)):
            client.answer()


def test_a_reload_lets_requests_end(tmp_path: Path) -> None:
    """Otherwise a reload cuts uploads, or the old worker goes on answering."""
    with serving(tmp_path) as server:
        old = server.pid()
        with ask_slowly(server) as client:
            server.process.send_signal(signal.SIGHUP)
            eventually(lambda: server.pid() != old)
            (tmp_path / "go").touch()
            assert client.answer().text == "done"
        eventually(lambda: not psutil.pid_exists(old))
        assert server.pid() != old


@pytest.mark.parametrize("other", ["gevent", "sync"])
def test_another_worker_is_refused(tmp_path: Path, other: str) -> None:
    """Otherwise `gunicorn --worker-class gevent wsgi:app` loses every promise of the worker, and nobody hears of it."""
    done = subprocess.run(
        command("--worker-class", other),
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert b"blobstore runs only with --worker-class blobstore.server.Worker" in done.stderr
    assert b"Traceback" not in done.stderr


def test_mistakes_in_the_settings_end_the_start(tmp_path: Path) -> None:
    """Otherwise a typing error is a stack, or is found one by one."""
    environ = environment(tmp_path, workers="many", no_such_setting=1)
    done = subprocess.run(command(), cwd=tmp_path, env=environ, capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert b"BLOBSTORE_WORKERS" in done.stderr
    assert b"BLOBSTORE_NO_SUCH_SETTING" in done.stderr
    assert b"Traceback" not in done.stderr


def test_the_module_is_a_configuration_too(tmp_path: Path) -> None:
    """Otherwise an installed blobstore, which has no gunicorn.conf.py, cannot be run."""
    options = ["-c", "python:blobstore.gunicorn_conf", "--print-config"]
    done = subprocess.run(
        command(*options),
        cwd=tmp_path,
        env=environment(tmp_path, workers=3),
        capture_output=True,
        timeout=60,
        check=False,
    )
    printed = dict(line.partition("=")[::2] for line in done.stdout.decode().replace(" ", "").splitlines())
    assert printed["workers"] == "3"
    assert printed["worker_class"] == "blobstore.server.Worker"


def test_the_settings_reach_gunicorn(tmp_path: Path) -> None:
    """Otherwise a knob turns nothing; or gunicorn believes X-Forwarded-*, opens a socket of its own, logs twice."""
    settings = load(
        {
            "BLOBSTORE_BIND": "[::1]:7000",
            "BLOBSTORE_WORKERS": "7",
            "BLOBSTORE_MAX_CONNECTIONS": "11",
            "BLOBSTORE_GRACEFUL_TIMEOUT_SECONDS": "13",
            "BLOBSTORE_KEEPALIVE_SECONDS": "0",
        },
        None,
    )
    given = gunicorn_settings(settings)
    expected = {
        "bind": "[::1]:7000",
        "workers": 7,
        "worker_connections": 11,
        "graceful_timeout": 13,
        "keepalive": 0,
        "limit_request_line": 4094,
        "limit_request_fields": 100,
        "limit_request_field_size": 8190,
        "preload_app": False,
        "control_socket_disable": True,
        "forwarded_allow_ips": "",
        "secure_scheme_headers": {},
        "accesslog": None,
    }
    assert {name: given[name] for name in expected} == expected


def test_what_the_start_made_is_not_collected_again(tmp_path: Path) -> None:
    """Otherwise a full collection walks all modules now and then, and everybody waits for it."""
    with serving(tmp_path) as server:
        assert int(server.get("/frozen").text) > 10_000
    assert "Traceback" not in server.log.read_text()
