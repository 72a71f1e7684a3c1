"""What Prometheus is told over HTTP, read by its own parser: well formed, bounded, and of what was asked."""

from __future__ import annotations

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.server import factories
from tests.server.conftest import Service
from tests.server.rollouts.fleet import enrolled


def families(service: Service) -> dict[str, Metric]:
    answer = service.client(service.token("viewer", "prometheus")).get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def value(service: Service, family: str, sample: str = "", **labels: str) -> float | None:
    samples = families(service)[family].samples
    name = sample or samples[0].name
    return next((one.value for one in samples if one.name == name and labels.items() <= one.labels.items()), None)


def test_requests_are_counted_by_template_method_and_status(service: Service) -> None:
    for model in ("one", "two"):
        service.operator.get(f"/v1/models/{model}")
    asked = {"route": "/v1/models/{model}", "method": "GET"}
    assert value(service, "diffserver_requests", "diffserver_requests_total", **asked, status="404") == 2
    assert value(service, "diffserver_request_seconds", "diffserver_request_seconds_count", **asked) == 2


def test_what_strangers_send_makes_no_label(service: Service) -> None:
    for path in ("/a", "/b", "/v1/models/x/y/z"):
        service.public.get(path)
    service.public.request("BREW", "/a")
    of = families(service)["diffserver_requests"].samples
    strange = {(one.labels["route"], one.labels["method"]) for one in of if one.labels["status"] in ("404", "405")}
    assert strange == {("other", "GET"), ("other", "other")}


def test_sent_bytes_are_counted_by_kind(service: Service) -> None:
    version = service.publish_chain(1)[1]
    payload = version.candidate.manifest["payload"]
    data = service.public.get(f"/v1/blobs/{payload['sha256']}").content
    assert value(service, "diffserver_sent_bytes", "diffserver_sent_bytes_total", kind="payload") == len(data) > 0


def test_reports_are_counted_once_by_stage_and_cause(service: Service) -> None:
    service.publish_chain(0)
    (device,) = enrolled(service, 1)
    for _ in range(2):
        body = {"stage": "failed", "cause": "network", "report_id": "f" * 32, "reason": "cut off"}
        device.client.post("/v1/device/reports", json={**body, "to_digest": factories.digest("v0")})
    counted = {"stage": "failed", "cause": "network"}
    assert value(service, "diffserver_reports", "diffserver_reports_total", **counted) == 1


def test_every_figure_has_a_help_text_and_a_unit_in_its_name(service: Service) -> None:
    found = families(service)
    assert all(family.documentation for family in found.values())
    assert {"diffserver_devices", "diffserver_workers", "process_resident_memory_bytes"} <= found.keys()
