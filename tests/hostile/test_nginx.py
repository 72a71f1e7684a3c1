"""The configuration of nginx in docs/proxy.md: nginx accepts it, and passes requests on within its limits."""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.hostile.served import free_port, served
from tests.server import factories

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
DOCS = Path(__file__).parents[2] / "docs" / "proxy.md"
AROUND = """
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
access_log off;
client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
{configuration}
}}
"""

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian's package nginx)")


def certify(folder: Path) -> None:
    """Write a certificate of its own making, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "diffs.example")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(pem))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


def configured(folder: Path, listen: int, server: int) -> list[str]:
    """The command that runs nginx as the page says, but for ports and paths."""
    (block,) = re.findall(r"```nginx\n(.*?)```", DOCS.read_text(), re.DOTALL)
    for told, here in {
        "listen 443": f"listen 127.0.0.1:{listen}",
        "127.0.0.1:8080": f"127.0.0.1:{server}",
        "/var/cache/nginx/diffserver": f"{folder}/cache",
        "/etc/ssl/diffs.example.pem": f"{folder}/cert.pem",
        "/etc/ssl/private/diffs.example.key": f"{folder}/key.pem",
    }.items():
        assert told in block
        block = block.replace(told, here)
    certify(folder)
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder, configuration=block))
    assert NGINX is not None
    return [NGINX, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where nginx listens, with a server behind it."""
    folder, listen = tmp_path_factory.mktemp("nginx"), free_port()
    with served(tmp_path_factory.mktemp("behind")) as server:
        command = configured(folder, listen, server.port)
        done = subprocess.run([*command, "-t"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        nginx = subprocess.Popen([*command, "-g", "daemon off; master_process off;"])
        try:
            for _ in range(100):
                with socket.socket() as probe:
                    if not probe.connect_ex(("127.0.0.1", listen)):
                        break
                time.sleep(0.1)
            yield listen
        finally:
            nginx.terminate()
            nginx.wait(20)


def asked(port: int, method: str, path: str, length: int = 0, headers: dict[str, str] | None = None) -> int:
    """The status of an answer through nginx."""
    trusting = ssl._create_unverified_context()
    with closing(http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=trusting)) as connection:
        connection.request(method, path, bytes(length) if length else None, headers or {})
        return connection.getresponse().status


def test_requests_are_passed_on(port: int) -> None:
    payload = factories.update("v0", "v1", 1).manifest["payload"]["sha256"]
    assert asked(port, "GET", "/readyz") == 200
    assert asked(port, "GET", "/v1/tuf/timestamp.json") == 200
    assert asked(port, "GET", f"/v1/blobs/{payload}") == 200
    assert asked(port, "GET", f"/v1/blobs/{payload}", headers={"Range": "bytes=10-19"}) == 206
    assert asked(port, "GET", "/v1/models") == 401


def test_bodies_are_bounded_as_the_server_bounds_them(port: int) -> None:
    assert asked(port, "POST", "/v1/enroll", length=2 << 20) == 413
    assert asked(port, "PUT", f"/v1/checkpoints/{'0' * 64}", length=2 << 20) == 401


def test_one_address_does_not_take_all_connections(port: int) -> None:
    """nginx counts connections with a request under way: these wait for the rest of their body."""
    head = b"POST /v1/enroll HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    trusting = ssl._create_unverified_context()
    waiting = []
    for _ in range(60):
        waiting.append(trusting.wrap_socket(socket.create_connection(("127.0.0.1", port), 20)))
        waiting[-1].sendall(head)
    refused = waiting[-1].recv(100)
    for connection in waiting:
        connection.close()
    assert refused.split()[1] == b"503"


def test_a_token_is_bounded_from_whatever_address_it_asks(port: int) -> None:
    trusting, statuses = ssl._create_unverified_context(), Counter[int]()
    for host in range(2, 6):
        source = (f"127.0.0.{host}", 0)
        with closing(
            http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=trusting, source_address=source)
        ) as connection:
            for _ in range(150):  # an address may ask 200 times
                connection.request("GET", "/healthz", headers={"Authorization": "Bearer ds_one"})
                answer = connection.getresponse()
                answer.read()
                statuses[answer.status] += 1
    assert set(statuses) == {200, 503}
    assert statuses[200] >= 200
    assert asked(port, "GET", "/healthz", headers={"Authorization": "Bearer ds_another"}) == 200
