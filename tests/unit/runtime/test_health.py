"""The telemetry endpoint: probes, metrics, and where it may listen."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from runtime.clock import SystemClock
from runtime.errors import InfrastructureError
from runtime.health import Health, HealthServer, TelemetrySettings
from runtime.metrics import METRICS, Metrics, UnknownMetricError
from runtime.progress import Progress

LABELS = {
    *("service", "topic", "partition", "outcome", "reason"),
    *("side", "table", "kind", "severity", "channel"),
}


def get(server: HealthServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{server.address}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_what_is_served() -> None:
    clock = SystemClock()
    metrics, progress = Metrics("rater"), Progress(clock)
    server = HealthServer("127.0.0.1:0", metrics, Health(progress, clock, limit_s=60))
    try:
        metrics.add("ratestream_rater_events_total", 3, outcome="rated")
        status, body = get(server, "/metrics")
        assert status == 200
        assert 'ratestream_rater_events_total{outcome="rated"} 3.0\n' in body
        assert "ratestream_ledger" not in body
        assert "_created" not in body
        assert get(server, "/livez") == (200, '{"ok": true, "why": []}\n')
        status, body = get(server, "/readyz")
        assert (status, json.loads(body)["why"]) == (503, ["no partitions are assigned yet"])
        progress.stands({})
        assert get(server, "/readyz")[0] == 200
        progress.found("postgresql", "does not answer")
        progress.excuse({2: "waits for the rate book"})
        assert json.loads(get(server, "/readyz")[1])["why"] == [
            "postgresql: does not answer",
            "partition 2: waits for the rate book",
        ]
        assert get(server, "/livez")[0] == 200, "a dependency that is away is no reason for a restart"
        assert get(server, "/")[0] == 404
        with pytest.raises(InfrastructureError, match=r"telemetry\.listen"):
            HealthServer(server.address, metrics, Health(progress, clock, limit_s=60))
    finally:
        server.close()


class Standing:
    """A clock that is moved by hand."""

    now_s = 5.0

    def now_us(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return self.now_s


def test_a_loop_that_stands_is_not_alive_unless_within_a_budget() -> None:
    clock = Standing()
    progress = Progress(clock)
    health = Health(progress, clock, limit_s=60)
    clock.now_s += 61
    assert health.live().why == ("the loop last moved 61 s ago, limit 60 s",)
    with progress.budget("partitions are taken over", 100):
        assert health.live().ok
        assert health.ready().why == ("partitions are taken over",)
        clock.now_s += 100
        assert not health.live().ok
        assert health.ready().why[-1] == "partitions are taken over"
        progress.advance()
        assert health.live().ok
        clock.now_s += 61
    progress.turned(assigned=True)
    assert health.ready().ok


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"listen": "0.0.0.0:9400"}, "allow_remote"),
        ({"listen": "192.0.2.1:9400"}, "allow_remote"),
        ({"listen_by": {"rater": "[::]:9400"}}, "allow_remote"),
        ({"listen": "localhost:9400"}, "IP address"),
        ({"listen": "9400"}, "ADDRESS:PORT"),
        ({"listen": "127.0.0.1:70000"}, "ADDRESS:PORT"),
        ({"stuck_s": 0}, "greater than 0"),
    ],
)
def test_what_settings_refuse(given: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        TelemetrySettings(**given)


def test_where_each_service_listens() -> None:
    assert TelemetrySettings().listen_of("rater") is None
    settings = TelemetrySettings(
        listen="127.0.0.1:9400", listen_by={"ledger": "[::1]:9402", "rater": "0.0.0.0:1"}, allow_remote=True
    )
    assert settings.listen_of("ledger") == "[::1]:9402"
    assert settings.listen_of("aggregator") == "127.0.0.1:9400"


def test_a_name_that_is_not_in_the_table_is_refused() -> None:
    metrics = Metrics("rater")
    with pytest.raises(UnknownMetricError):
        metrics.add("ratestream_ledger_batches_total")
    with pytest.raises(UnknownMetricError):
        metrics.set("ratestream_rater_frames_total", 1)
    with pytest.raises(UnknownMetricError):
        Metrics("invoices")
    with pytest.raises(ValueError, match="label"):
        metrics.add("ratestream_rater_events_total", 1, customer_id="acme")


def test_names_follow_the_rules() -> None:
    """Names say service and unit; no label is a customer, an event or an alert: their number has no end."""
    units = {"total", "seconds", "records", "partitions", "frames", "alerts", "customers"}
    exempt = {
        "ratestream_process_broker_reachable",
        "ratestream_process_ready",
        "ratestream_rater_book_version",
        "ratestream_aggregator_repairs_open",
    }
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        words = metric.name.split("_")
        assert words[0] == "ratestream"
        assert words[1] in {"process", "rater", "ledger", "aggregator", "totals", "guard", "delivery"}
        assert words[-1] in units or metric.name in exempt, metric.name
        assert (words[-1] == "total") == (metric.kind == "counter"), metric.name
        assert set(metric.labels) <= LABELS
        assert bool(metric.buckets) == (metric.kind == "histogram")
