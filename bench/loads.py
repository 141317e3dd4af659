"""The load: curl for what is large, wrk for what is small."""

from __future__ import annotations

import re
import subprocess
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.servers import PASSWORD, USER

CONNECTIONS = 16
CURL_SECONDS = 120
AUTHORIZATION = "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()

_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_P99 = re.compile(r"99%\s+([\d.]+)(us|ms|s)\b")
_FAILED = re.compile(r"Non-2xx or 3xx responses: \d+|Socket errors: .*")
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}

_PUT = """
local number, started, padding = 0, 0, string.rep("x", 4096 - 40)
function setup(thread) counter = (counter or 0) + 1; thread:set("thread_number", counter) end
function init(args) started = args[1]; target = args[2]; wrk.headers["Authorization"] = args[3] end
function request()
  number = number + 1
  local name = string.format("%s-%d-%d", started, thread_number, number)
  local body = name .. string.rep(" ", 40 - #name) .. padding
  return wrk.format("PUT", target .. name, nil, body)
end
"""
"""Every body is another: 4 KiB that begin with a name of its own."""


@dataclass(frozen=True)
class Answers:
    """What wrk saw."""

    per_second: float
    p99_milliseconds: float


def get(url: str, seconds: int, *, authorized: bool = False, connections: int = CONNECTIONS) -> Answers:
    """GET one URL as often as it goes."""
    headers = ("-H", f"Authorization: {AUTHORIZATION}") if authorized else ()
    return _wrk([*headers, url], seconds, connections)


def put(url: str, folder: Path, seconds: int, run: str, *, connections: int = CONNECTIONS) -> Answers:
    """PUT new contents of 4 KiB below `url`; `run` makes them differ from those of every other run."""
    script = folder / "put.lua"
    script.write_text(_PUT, encoding="ascii")
    path = urlsplit(url).path
    return _wrk(["-s", str(script), url, "--", run, path, AUTHORIZATION], seconds, connections)


def _wrk(arguments: Sequence[str], seconds: int, connections: int) -> Answers:
    threads = min(2, connections)
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "30s", *arguments]
    said = run(command, seconds + 60)
    if failed := _FAILED.search(said):
        raise RuntimeError(f"{failed[0]}: {' '.join(arguments)}")
    rate, p99 = _RATE.search(said), _P99.search(said)
    if not rate or not p99:
        raise RuntimeError(said)
    return Answers(float(rate[1]), float(p99[1]) * _MILLISECONDS[p99[2]])


def curl(*arguments: str, expected: Sequence[int] = (200, 201, 204)) -> float:
    """The seconds that one transfer takes. Raises RuntimeError for any other status."""
    shown = "%{http_code} %{time_total}"
    status, seconds = run(["curl", "-sS", "-o", "/dev/null", "-w", shown, *arguments], CURL_SECONDS).split()
    if int(status) not in expected:
        raise RuntimeError(f"{status}: curl {' '.join(arguments)}")
    return float(seconds)


def run(command: Sequence[str], seconds: float, environ: Mapping[str, str] | None = None) -> str:
    """What it prints. Raises RuntimeError when it fails, TimeoutExpired when it takes longer."""
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds, env=environ)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{ran.stdout}{ran.stderr}")
    return ran.stdout
