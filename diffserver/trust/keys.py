"""Keys on disk: files with the public key and the URI of the private one, and the signers made of them.

A key made here is an encrypted PEM beside its file, under the scheme `encrypted`; any URI that securesystemslib
supports (a KMS, an HSM) may take its place. The role that a key signs for is left to `metadata`.
"""

import json
import re
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from getpass import getpass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.signer import SIGNER_FOR_URI_SCHEME, CryptoSigner, Key, SecretsHandler, Signer, SSlibKey

from diffclient.durable import PRIVATE, create_file
from diffserver import settings
from diffserver.errors import Conflict, Invalid, KeyMissing

SUFFIX = ".key.json"
PASSPHRASE = settings.variable("passphrase")
DEPTH = ("*", "*/*")


class EncryptedSigner(CryptoSigner):
    """A signer whose private key is an encrypted PEM: `encrypted:<path>`."""

    SCHEME = "encrypted"

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> "EncryptedSigner":
        """Open the PEM with the secret `passphrase`; raises OSError, ValueError, TypeError."""
        if secrets_handler is None or not isinstance(public_key, SSlibKey):
            raise ValueError(f"{priv_key_uri} needs a passphrase")
        pem = Path(urlparse(priv_key_uri).path).read_bytes()
        private = load_pem_private_key(pem, secrets_handler("passphrase").encode())
        return cls(private, public_key)


SIGNER_FOR_URI_SCHEME[EncryptedSigner.SCHEME] = EncryptedSigner


def checked_name(name: str) -> str:
    """Return `name` if it can be a file's; raises Invalid."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise Invalid(f"{name[:40]!r} can't be a key's name", "use letters, digits, '.', '_' and '-'")
    return name


@dataclass(frozen=True)
class KeyFile:
    """A public key, and the URI of its private half."""

    path: Path
    public: Key
    uri: str
    ask: bool = False
    """Whether a person may be asked for the passphrase; a server must not wait for one."""

    @property
    def name(self) -> str:
        """The key's name: its file's name without the suffix."""
        return self.path.name.removesuffix(SUFFIX)

    def signer(self) -> Signer:
        """Open the private half; raises KeyMissing."""
        uri = self.uri
        if uri.startswith(f"{EncryptedSigner.SCHEME}:"):
            uri = f"{EncryptedSigner.SCHEME}:{(self.path.parent / urlparse(uri).path).absolute()}"
        try:
            return Signer.from_priv_key_uri(uri, self.public, lambda what: secret(self.path.parent, what, ask=self.ask))
        except KeyMissing:
            raise
        except Exception as error:  # each kind of signer has errors of its own
            raise KeyMissing(
                f"key {self.name} can't be opened ({type(error).__name__}: {error})",
                f"check {PASSPHRASE}, or the URI in {self.path}",
            ) from error


@dataclass(frozen=True)
class Keyring:
    """The keys in a folder and its direct subfolders, read afresh by each method; where one was found is remembered."""

    folder: Path
    ask: bool = False
    _paths: dict[str, Path] = field(default_factory=dict, init=False, repr=False, compare=False)
    """By a key's id. Of a server with a thousand models, a look at all files would cost more than a signature."""

    def files(self) -> Iterator[KeyFile]:
        """Return all keys, sorted by path; raises Invalid on a damaged file."""
        paths = {path for depth in DEPTH for path in self.folder.glob(depth + SUFFIX)}
        return (_read(path, self.ask) for path in sorted(paths))

    def named(self, name: str) -> KeyFile | None:
        """Return the key of that name; None if there is none."""
        return next((file for file in self.files() if file.name == name), None)

    def held(self, keys: Iterable[Key]) -> list[KeyFile]:
        """Return the key files for those of `keys` that are here."""
        return [file for key in keys if (file := self._of(key.keyid))]

    def _of(self, keyid: str) -> KeyFile | None:
        if path := self._paths.get(keyid):
            with suppress(Invalid):
                file = _read(path, self.ask)
                if file.public.keyid == keyid:
                    return file
        here = {file.public.keyid: file for file in self.files()}
        self._paths.update({known: file.path for known, file in here.items()})
        return here.get(keyid)


def create(folder: Path, name: str) -> KeyFile:
    """Make an Ed25519 key pair, encrypted at rest; raises Conflict if the name is taken."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path, pem = folder / f"{name}{SUFFIX}", folder / f"{name}.pem"
    if path.exists():
        raise Conflict(f"there is a key {name} in {folder} already", "choose another name")
    signer = CryptoSigner.generate_ed25519()
    private = load_pem_private_key(signer.private_bytes, None)
    encryption = BestAvailableEncryption(secret(folder, "passphrase", new=True).encode())
    pem.unlink(missing_ok=True)
    create_file(pem, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption), PRIVATE)
    return record(path, signer.public_key, f"{EncryptedSigner.SCHEME}:{pem.name}")


def record(path: Path, public: Key, uri: str) -> KeyFile:
    """Write the file of a key whose private half is at a URI; raises Conflict if the file exists."""
    if path.exists():
        raise Conflict(f"there is {path} already", "choose another name")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    value = {"keyid": public.keyid, "public": public.to_dict(), "uri": uri}
    create_file(path, json.dumps(value, indent=1).encode() + b"\n", PRIVATE)
    return KeyFile(path, public, uri)


def read_public(path: Path) -> Key:
    """Read a public key: a key's file, or a PEM of any kind; raises KeyMissing."""
    try:
        data = path.read_bytes()
        if data.lstrip()[:1] == b"{":
            return _public(json.loads(data))
        return SSlibKey.from_crypto(load_pem_public_key(data))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KeyMissing(f"{path} holds no public key ({error})", f"give a PEM or a file *{SUFFIX}") from error


def secret(folder: Path, what: str, new: bool = False, ask: bool = False) -> str:
    """Return the secret for a folder's keys (`passphrase`, or an HSM's `PIN`); raises KeyMissing.

    It comes from DIFFSERVER_<WHAT>, the file of that name, or the terminal if `ask`; if `new`, it is made.
    """
    plain = re.sub(r"[^a-z0-9]", "_", what.lower())
    path = folder / plain
    if given := settings.secret(plain):
        return given
    if path.is_file():
        return path.read_text().strip()
    if new:
        create_file(path, secrets.token_urlsafe(32).encode() + b"\n", PRIVATE)
        return path.read_text().strip()
    if ask and sys.stdin.isatty():
        return getpass(f"{what} of the keys in {folder}: ")
    raise KeyMissing(f"the keys in {folder} need a {what}", f"set {settings.variable(plain)}, or put it into {path}")


def _read(path: Path, ask: bool) -> KeyFile:
    try:
        value: dict[str, Any] = json.loads(path.read_bytes())
        return KeyFile(path, _public(value), str(value["uri"]), ask)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Invalid(f"{path} is no key's file ({error})", "restore it, or move it away") from error


def _public(value: dict[str, Any]) -> Key:
    return Key.from_dict(value["keyid"], dict(value["public"]))
