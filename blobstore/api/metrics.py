"""GET /metrics: what all workers have counted, and what one of them sees now, as Prometheus reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from flask import Blueprint, Response

from blobstore.api import auth
from blobstore.api.context import parts
from blobstore.core.health import Details, Readiness, Status
from blobstore.core.rounds import Round

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

bp = Blueprint("metrics", __name__)

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Set where workers count: not in an application without our server."""


@bp.get("/metrics")
def metrics() -> Response:
    """The page, for who carries BLOBSTORE_METRICS_TOKEN."""
    auth.operator()
    return Response(_page(parts().readiness), content_type="text/plain; version=0.0.4; charset=utf-8")


def _page(readiness: Readiness) -> bytes:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    if os.environ.get(FOLDER):
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    registry.register(_Now(Status.of(readiness.problems()), readiness.details()))
    return generate_latest(registry)


class _Now:
    """What is asked when somebody wants to know. What cannot be asked is left out, rather than 0."""

    def __init__(self, status: Status, details: Details) -> None:
        self._status, self._details = status, details

    def collect(self) -> Iterator[GaugeMetricFamily]:
        from prometheus_client.core import GaugeMetricFamily

        def gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"blobstore_{name}", text, value)

        details = self._details
        works, uploads = self._status != Status.UNREADY, self._status == Status.READY
        yield gauge("ready", "Whether the worker that was asked can work, perhaps but for uploads.", works)
        yield gauge("takes_uploads", "Whether it takes uploads too.", uploads)
        yield gauge("floor_bytes", "Free space below which uploads are refused.", details.floor_bytes)
        if details.free_bytes is not None:
            yield gauge("free_bytes", "Free space of the store.", details.free_bytes)
        if details.damaged is not None:
            yield gauge("damaged_blobs", "Contents that somebody has and that are damaged now.", details.damaged)
        yield from _upkeep(list((details.rounds or {}).values()))


def _upkeep(rounds: list[Round]) -> Iterator[GaugeMetricFamily]:
    """The last round of each job, with the job as a label."""
    from prometheus_client.core import GaugeMetricFamily

    told = {
        "ended_timestamp_seconds": "When it last came to its end; 0: never.",
        "failed": "Whether it has failed since.",
        "duration_seconds": "How long it took.",
        "handled": "Files reaped; blobs adopted, swept or verified.",
        "handled_bytes": "Bytes freed or read.",
        "findings": "Blobs found damaged.",
    }
    families = {
        name: GaugeMetricFamily(f"blobstore_upkeep_{name}", text, labels=["job"]) for name, text in told.items()
    }
    for last in rounds:
        values = {
            "ended_timestamp_seconds": last.ended_at.timestamp() if last.ended_at else 0,
            "failed": last.failed_at is not None,
            "duration_seconds": last.seconds,
            "handled": last.handled,
            "handled_bytes": last.handled_bytes,
            "findings": last.findings,
        }
        for name, family in families.items():
            family.add_metric([last.job], values[name])
    yield from families.values()
