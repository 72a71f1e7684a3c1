import json
import subprocess
import sys

from diffserver.settings import Settings
from tests.server.conftest import Service

BLOCKED = """
import sys
for name in ("torch", "onnx", "onnxruntime", "jiwer", "soxr", "soundfile", "matplotlib"):
    sys.modules[name] = None
import diffserver.app
TRAINING = tuple(f"diffserver.{room}" for room in ("tasks", "methods", "training", "pipeline", "experiment"))
print(sorted(name for name in sys.modules if name.startswith(TRAINING)))
"""

SERVE = """
import sys
from pathlib import Path
import uvicorn
from diffserver.app import create_app
from diffserver.logs import uvicorn_log_config
from diffserver.settings import Settings

class Once(uvicorn.Server):
    async def main_loop(self):
        import httpx2
        port = self.servers[0].sockets[0].getsockname()[1]
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            answer = await client.get("/healthz")
        assert answer.json() == {"status": "ok"}, answer.text

app = create_app(Settings(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
Once(uvicorn.Config(app, port=0, log_config=uvicorn_log_config())).run()
"""


def test_the_service_starts_without_what_trains() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_under_uvicorn_every_line_is_json(settings: Settings) -> None:
    arguments = [str(settings.home), settings.database, settings.objects]
    done = subprocess.run([sys.executable, "-c", SERVE, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines].count("request") == 1
    assert {"started", "stopped"} <= {line["event"] for line in lines}
    assert all({"timestamp", "level"} <= line.keys() for line in lines)


def test_requests_are_described_with_ids_examples_and_who_may_ask(service: Service) -> None:
    document = service.public.get("/openapi.json").json()
    operations = {
        operation["operationId"]: operation for path in document["paths"].values() for operation in path.values()
    }
    assert len(operations) == sum(len(path) for path in document["paths"].values()), "ids must be unique"
    assert set(document["components"]["securitySchemes"]) == {"viewer", "publisher", "admin", "enroll", "device"}
    public = {"live", "ready", "get_blob", "head_blob", "get_metadata"}
    for name, operation in operations.items():
        assert operation["description"], name
        errors = {status: said for status, said in operation["responses"].items() if status >= "400"}
        assert errors.keys() >= {"400", "413", "422", "503"}, name
        assert "default" not in operation["responses"], name
        problems = {status for status, said in errors.items() if "application/problem+json" in said["content"]}
        assert problems == errors.keys() - ({"404"} if name == "get_metadata" else set()), name
        assert ("security" not in operation) or errors.keys() >= {"401", "403", "429"}, name
        assert ("security" in operation) is (name not in public), name
    assert operations["poll"]["security"] == [{"device": []}]
    assert "Problem" in document["components"]["schemas"]
    assert document["components"]["schemas"]["EnrollRequest"]["properties"]["model"]["examples"] == ["speech"]


def test_health_and_readiness(service: Service) -> None:
    assert service.public.get("/healthz").json() == {"status": "ok"}


def test_not_ready_without_objects(service: Service) -> None:
    folder = service.settings.home / "objects" / "ready"
    folder.rmdir() if folder.exists() else None
    folder.parent.mkdir(exist_ok=True)
    folder.write_bytes(b"in the way")
    answer = service.public.get("/readyz")
    assert (answer.status_code, answer.json()["remedy"]) == (503, "check DIFFSERVER_OBJECTS and its rights")


def test_not_ready_when_the_database_was_migrated_beyond_it(service: Service) -> None:
    with service.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    answer = service.public.get("/readyz")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:diffserver:problem:database-too-new")
    assert service.public.get("/healthz").status_code == 200
