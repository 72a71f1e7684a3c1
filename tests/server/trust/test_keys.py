import io
import stat
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from diffserver.errors import Conflict, DiffServerError, Invalid, KeyMissing
from diffserver.trust import keys
from diffserver.trust.keys import Keyring


@pytest.fixture(autouse=True)
def no_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(keys.PASSPHRASE, raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())


def test_a_key_signs_and_is_encrypted_at_rest(tmp_path: Path) -> None:
    key = keys.create(tmp_path / "online", "release")
    signature = key.signer().sign(b"words")
    (read,) = Keyring(tmp_path).files()
    read.public.verify_signature(signature, b"words")
    pem = (tmp_path / "online" / "release.pem").read_text()
    assert pem.startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert "PRIVATE" not in key.path.read_text()
    files = ("release.pem", "release.key.json", "passphrase")
    assert {stat.S_IMODE((tmp_path / "online" / name).stat().st_mode) for name in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "online").stat().st_mode) == 0o700


def test_a_folder_of_keys_can_be_moved(tmp_path: Path) -> None:
    key = keys.create(tmp_path / "here" / "offline", "root")
    (tmp_path / "here").rename(tmp_path / "there")
    (moved,) = Keyring(tmp_path / "there").held([key.public])
    key.public.verify_signature(moved.signer().sign(b"words"), b"words")
    assert Keyring(tmp_path / "here").held([key.public]) == []
    assert [file.name for file in Keyring(tmp_path / "there" / "offline").files()] == ["root"]


def test_a_key_is_found_wherever_it_is_now(tmp_path: Path) -> None:
    key, other = keys.create(tmp_path / "online", "one"), keys.create(tmp_path / "online", "two")
    keyring, moved = Keyring(tmp_path), tmp_path / "online" / "moved.key.json"
    assert [file.name for file in keyring.held([key.public])] == ["one"]
    key.path.rename(moved)
    assert [file.name for file in keyring.held([key.public])] == ["moved"]
    moved.unlink()
    assert keyring.held([key.public]) == []
    other.path.rename(moved)
    assert [file.public.keyid for file in keyring.held([key.public, other.public])] == [other.public.keyid]


def test_of_many_keys_one_is_read_that_was_found_before(tmp_path: Path) -> None:
    key, keyring = keys.create(tmp_path / "online", "one"), Keyring(tmp_path)
    (found,) = keyring.held([key.public])
    (tmp_path / "online" / "unreadable.key.json").write_text("{")
    assert keyring.held([key.public]) == [found]
    with pytest.raises(Invalid):
        list(keyring.files())


def test_the_passphrase_of_the_environment_is_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(keys.PASSPHRASE, "swordfish")
    key = keys.create(tmp_path, "root")
    assert not (tmp_path / "passphrase").exists()
    key.signer()
    monkeypatch.setenv(keys.PASSPHRASE, "marlin")
    with pytest.raises(KeyMissing, match="root can't be opened"):
        key.signer()
    monkeypatch.delenv(keys.PASSPHRASE)
    with pytest.raises(KeyMissing, match="need a passphrase; set DIFFSERVER_PASSPHRASE"):
        key.signer()


class Terminal(io.StringIO):
    """Somebody sits there."""

    def isatty(self) -> bool:
        return True


def test_a_person_is_asked_and_a_server_waits_for_no_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(keys.PASSPHRASE, "swordfish")
    key = keys.create(tmp_path, "root")
    monkeypatch.delenv(keys.PASSPHRASE)
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(keys, "getpass", lambda prompt: "swordfish")
    with pytest.raises(KeyMissing, match="need a passphrase"):
        Keyring(tmp_path).held([key.public])[0].signer()
    Keyring(tmp_path, ask=True).held([key.public])[0].signer()


def test_an_hsms_pin_is_a_secret_like_the_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyMissing, match=r"need a PIN; set DIFFSERVER_PIN, or put it into .*pin"):
        keys.secret(tmp_path, "PIN")
    (tmp_path / "pin").write_text("1234\n")
    assert keys.secret(tmp_path, "PIN") == "1234"
    monkeypatch.setenv("DIFFSERVER_PIN", "5678")
    assert keys.secret(tmp_path, "PIN") == "5678"


def test_names_are_taken_once(tmp_path: Path) -> None:
    first = keys.create(tmp_path, "root")
    with pytest.raises(Conflict, match="already"):
        keys.create(tmp_path, "root")
    first.signer()


def test_a_draft_that_a_crash_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_text("half a key")
    keys.create(tmp_path, "root").signer()


@pytest.mark.parametrize("name", ["", "../root", "a/b", ".hidden", "-", "a" * 101, "a\n"])
def test_names_that_are_no_names(name: str) -> None:
    with pytest.raises(Invalid, match="can't be a key's name"):
        keys.checked_name(name)


def test_a_public_key_comes_from_a_pem_or_a_keys_file(tmp_path: Path) -> None:
    key = keys.create(tmp_path, "root")
    assert keys.read_public(key.path) == key.public
    public = generate_private_key(SECP256R1()).public_key()
    pem = tmp_path / "kms.pem"
    pem.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    kept = keys.record(tmp_path / "kms.key.json", keys.read_public(pem), "unheardof:alias/diffs")
    assert kept.public.scheme == "ecdsa-sha2-nistp256"
    with pytest.raises(KeyMissing, match="kms can't be opened"):
        kept.signer()


@pytest.mark.parametrize("text", ["", "nothing", "{}", '{"keyid": 1, "public": {}}', "-----BEGIN PUBLIC KEY-----"])
def test_what_is_no_key(tmp_path: Path, text: str) -> None:
    (path := tmp_path / "bad.key.json").write_text(text)
    with pytest.raises(KeyMissing, match="holds no public key"):
        keys.read_public(path)
    with pytest.raises(DiffServerError, match="is no key's file"):
        list(Keyring(tmp_path).files())
