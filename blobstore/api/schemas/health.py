"""What a worker says of itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from blobstore.api.schemas.base import moment
from blobstore.core.health import Details, Problem, Status
from blobstore.core.rounds import Round


def ready_json(problems: list[Problem], details: Details | None) -> dict[str, Any]:
    """Whether it can work; the details are for operators."""
    told: dict[str, Any] = {
        "status": Status.of(problems),
        "problems": [{"code": problem.code, "detail": problem.detail} for problem in problems],
    }
    if details:
        told |= {
            "degraded": details.degraded,
            "free_bytes": details.free_bytes,
            "floor_bytes": details.floor_bytes,
            "damaged": details.damaged,
            "upkeep": None if details.rounds is None else [_round_json(last) for last in details.rounds.values()],
        }
    return told


def _round_json(last: Round) -> dict[str, Any]:
    return {**asdict(last), "ended_at": moment(last.ended_at), "failed_at": moment(last.failed_at)}
