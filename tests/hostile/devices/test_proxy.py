"""Proxies and private certificate authorities: options of a device that are kept, and variables that are heeded."""

from __future__ import annotations

import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from diffclient.network.proxies import check_proxy, hidden, proxy_for
from tests.client.cli.test_main import SCORE, Cli
from tests.client.lineage import MODEL, Lineage
from tests.client.scripted_server import ENROL_TOKEN, ScriptedServer
from tests.hostile.devices.forward_proxy import ForwardProxy
from tests.hostile.devices.private_authority import PrivateAuthority

LOGIN = "kitchen:s3cret"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def proxy() -> Iterator[ForwardProxy]:
    running = ForwardProxy()
    yield running
    running.close()


@pytest.fixture
def authority(tmp_path: Path) -> PrivateAuthority:
    return PrivateAuthority(tmp_path)


def enroll(cli: Cli, server: ScriptedServer, *options: str) -> tuple[int, Any, str]:
    root = cli.store.with_name("root.json")
    root.write_bytes(server.repository.first_root)
    who = ["--token", ENROL_TOKEN, "--model", MODEL, "--name", "kitchen", "--root", str(root)]
    return cli("enroll", server.url, *who, *options)


def paths(proxy: ForwardProxy) -> set[str]:
    """What the proxy was asked for, roughly."""
    return {line.rpartition("/v1/")[2].split("/")[0] for line in proxy.asked}


def test_the_variable_is_heeded_for_everything(
    cli: Cli, server: ScriptedServer, proxy: ForwardProxy, lineage: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.address)
    assert enroll(cli, server)[0] == 0
    assert cli("update", *SCORE)[1]["digest"] == lineage.digest(0)
    assert paths(proxy) == {"enroll", "device", "tuf", "blobs"}
    asked = len(proxy.asked)
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    assert cli("update", *SCORE)[0] == 0
    assert len(proxy.asked) == asked


def test_the_option_is_kept_with_the_enrolment(
    cli: Cli, server: ScriptedServer, proxy: ForwardProxy, lineage: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert enroll(cli, server, "--proxy", proxy.url)[0] == 0
    assert cli("update", *SCORE)[1]["digest"] == lineage.digest(0)
    assert paths(proxy) == {"enroll", "device", "tuf", "blobs"}
    asked = len(proxy.asked)
    assert cli("update", "--proxy", "none", *SCORE)[0] == 0  # for once
    assert len(proxy.asked) == asked
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert cli("update", *SCORE)[0] == 0
    assert len(proxy.asked) > asked
    assert cli("policy", "--proxy", "")[1]["proxy"] is None
    assert cli("update", *SCORE)[0] == 4  # the variable's proxy is not there
    assert cli("policy", "--proxy", "none")[1]["proxy"] == "none"
    assert cli("update", *SCORE)[0] == 0


def test_a_proxy_that_asks_for_a_password(cli: Cli, server: ScriptedServer) -> None:
    proxy = ForwardProxy(LOGIN)
    assert enroll(cli, server, "--proxy", proxy.url)[0] == 1
    code, told, _ = enroll(cli, server, "--proxy", proxy.url.replace("//", f"//{LOGIN}@"))
    assert code == 0
    assert cli("update", *SCORE)[0] == 0
    shown = cli("policy")[1]
    assert (shown["proxy"], "s3cret" in str((told, shown))) == (proxy.url, False)
    assert stat.S_IMODE((cli.store / "policy.json").stat().st_mode) == 0o600
    proxy.close()


def test_a_private_authority_is_given_once(
    cli: Cli, server: ScriptedServer, authority: PrivateAuthority, lineage: Lineage
) -> None:
    authority.certify(server)
    code, _, complaint = enroll(cli, server)
    assert (code, "--ca-file" in complaint) == (4, True)
    assert enroll(cli, server, "--ca-file", str(authority.file))[0] == 0
    assert cli("update", *SCORE)[1]["digest"] == lineage.digest(0)
    assert cli("policy")[1]["ca_file"] == str(authority.file)
    assert cli("policy", "--ca-file", "")[1]["ca_file"] is None
    assert cli("update", *SCORE)[0] == 4


def test_another_authority_vouches_for_nothing(cli: Cli, server: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    PrivateAuthority(tmp_path).certify(server)
    stranger = PrivateAuthority(tmp_path / "other")
    assert enroll(cli, server, "--ca-file", str(stranger.file))[0] == 4
    assert server.seen == []


@pytest.mark.parametrize("content", [None, b"", b"no certificate"], ids=["absent", "empty", "something else"])
def test_a_file_without_certificates_is_named(
    cli: Cli, server: ScriptedServer, authority: PrivateAuthority, tmp_path: Path, content: bytes | None
) -> None:
    authority.certify(server)
    file = tmp_path / "other.pem"
    if content is not None:
        file.write_bytes(content)
    code, told, complaint = enroll(cli, server, "--ca-file", str(file))
    assert (code, told["error"], str(file) in complaint) == (1, "NoCertificates", True)


@pytest.mark.parametrize("given", [True, False], ids=["option", "variable"])
def test_tls_is_tunnelled_and_the_proxy_learns_a_name_alone(
    cli: Cli,
    server: ScriptedServer,
    authority: PrivateAuthority,
    proxy: ForwardProxy,
    lineage: Lineage,
    monkeypatch: pytest.MonkeyPatch,
    given: bool,
) -> None:
    authority.certify(server)
    if not given:
        monkeypatch.setenv("https_proxy", proxy.url)
    options = ["--proxy", proxy.url] if given else []
    assert enroll(cli, server, "--ca-file", str(authority.file), *options)[0] == 0
    assert cli("update", *SCORE)[1]["digest"] == lineage.digest(0)
    assert set(proxy.asked) == {f"CONNECT {server.url.removeprefix('https://')}"}


def test_a_tunnel_that_hangs_ends_in_time(
    cli: Cli, server: ScriptedServer, authority: PrivateAuthority, proxy: ForwardProxy
) -> None:
    authority.certify(server)
    options = ["--ca-file", str(authority.file), "--proxy", proxy.url, "--patience", "0.5"]
    assert enroll(cli, server, *options)[0] == 0
    proxy.tunnels_hang = True
    began = time.monotonic()
    code, told, _ = cli("update", *SCORE)
    assert (code, told["cause"], time.monotonic() - began < 20) == (4, "TooSlow", True)
    proxy.tunnels_hang = False
    assert cli("update", *SCORE)[0] == 0


def test_a_handshake_that_hangs_ends_in_time(cli: Cli, server: ScriptedServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server.url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        code, told, _ = enroll(cli, server, "--patience", "0.5")
        assert (code, told["error"], time.monotonic() - began < 10) == (4, "ServerUnreachable", True)


@pytest.mark.parametrize("proxy", ["proxy.example.org:3128", "socks5://h", "http://", "http://[::1", "http://h:x"])
def test_what_is_no_proxy_is_refused(cli: Cli, server: ScriptedServer, proxy: str) -> None:
    code, told, _ = enroll(cli, server, "--proxy", proxy)
    assert (code, told["error"]) == (1, "AnswerError")
    assert server.seen == []


def test_which_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(VARIABLES, ("http://h", "s:1", "http://a", "direct.org,.inside"), strict=True):
        monkeypatch.setenv(name, value)
    assert proxy_for("http://models.org/x", None) == "http://h"
    assert proxy_for("https://models.org/x", None) == "http://s:1"
    assert proxy_for("https://models.org/x", "http://given:3128") == "http://given:3128"
    for given in (None, "http://given:3128"):
        assert proxy_for("https://direct.org:8443/x", given) is None
        assert proxy_for("https://models.inside/x", given) is None
    assert proxy_for("http://models.org/x", "none") is None
    monkeypatch.delenv("HTTP_PROXY")
    assert proxy_for("http://models.org/x", None) == "http://a"


def test_a_password_is_not_shown() -> None:
    assert hidden("http://kitchen:s3cret@proxy:3128") == "http://proxy:3128"
    assert hidden("http://proxy:3128") == check_proxy("http://proxy:3128")
