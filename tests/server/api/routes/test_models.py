from typing import Any

from diffserver.catalog.devices import enroll
from diffserver.storage.database import writing
from tests.server import factories
from tests.server.conftest import Service, record, release


def walk(service: Service, path: str, limit: int) -> list[Any]:
    """All items of a list, page by page, each page as full as it may be but the last."""
    items: list[Any] = []
    after: Any = None
    while True:
        query = {"limit": limit} | ({} if after is None else {"after": after})
        page = service.operator.get(path, params=query).json()
        items += page["items"]
        after = page["next"]
        if after is None:
            return items
        assert len(page["items"]) == limit


def test_a_model_shows_where_its_channels_point(service: Service) -> None:
    record(service.engine, factories.base())
    model = service.operator.get("/v1/models/speech").json()
    assert (model["task"], model["head"], model["digest"], model["channels"]) == ("asr", None, None, {"stable": None})
    service.publish_chain(1)
    model = service.operator.get("/v1/models/speech").json()
    assert (model["head"], model["digest"], model["channels"]) == (1, factories.digest("v1"), {"stable": 1})


def test_versions_show_how_they_were_made(service: Service) -> None:
    service.publish_chain(0)
    new = factories.update("v0", "v1", 1, refusals=["over the budget"])
    release(service.engine, new, force=True)
    zero, one = service.operator.get("/v1/models/speech/versions").json()["items"]
    assert (zero["number"], zero["parent"], zero["payload"], zero["forced"]) == (0, None, None, False)
    assert zero["manifest"]["kind"] == "snapshot"
    assert (one["number"], one["parent"], one["method"], one["forced"]) == (1, 0, "sparse", True)
    assert (one["refusals"], one["published_by"]) == (["over the budget"], "test")
    assert one["payload"] == one["manifest"]["payload"]
    assert one["snapshot"] == {"sha256": factories.blob("v1").sha256, "length": 1_000_000}
    assert one["errors"] == {"base": {"errors": 12, "total": 400}}
    assert one["metric"] == {"name": "WER", "counts": "words"}
    assert one["manifest"] == new.manifest


def test_lists_come_in_pages(service: Service) -> None:
    service.publish_chain(4)
    with writing(service.engine) as session:
        names = [enroll(session, "speech", f"device {n}", "stable")[0].name for n in range(5)]
    for limit in (1, 2, 5, 500):
        assert [item["number"] for item in walk(service, "/v1/models/speech/versions", limit)] == [0, 1, 2, 3, 4]
        assert [item["id"] for item in walk(service, "/v1/candidates", limit)] == [1, 2, 3, 4, 5]
        assert {item["name"] for item in walk(service, "/v1/models/speech/devices", limit)} == set(names)


def test_models_are_listed_by_name(service: Service) -> None:
    for name in ("c", "a", "b"):
        record(service.engine, factories.base(name))
    assert [item["name"] for item in walk(service, "/v1/models", 2)] == ["a", "b", "c"]


def test_reports_are_listed_by_model(service: Service) -> None:
    for name in ("speech", "other"):
        release(service.engine, factories.base(name))
    for _ in range(3):
        service.device().post("/v1/device/reports", json={"stage": "installed"})
    assert len(walk(service, "/v1/reports", 2)) == 3
    assert len(walk(service, "/v1/reports?model=speech", 2)) == 3
    assert service.operator.get("/v1/reports?model=other").json() == {"items": [], "next": None}
