"""Set up trust without questions: make the first keys and the first root, and write the root to the home.

Versions published before there was metadata are signed, too. Safe to run again, and on several machines at once. Later
keys are left to `key_changes`.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from tuf.api.metadata import Metadata, Targets

from diffclient.durable import write_file
from diffclient.release.manifest import from_json
from diffserver.errors import KeyMissing
from diffserver.settings import ROOT_FILE, Settings
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Step, Version
from diffserver.trust import keys, metadata_rows, sign_change
from diffserver.trust.admit_model import OFFLINE, ONLINE
from diffserver.trust.clock import signing_time
from diffserver.trust.keys import Keyring
from diffserver.trust.metadata.delegation import Holders, first_root
from diffserver.trust.metadata.next_metadata import expiry, follow
from diffserver.trust.metadata.role_changes import Publish
from diffserver.trust.metadata.roles import ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from diffserver.trust.signing import enact, sign_all


@dataclass(frozen=True)
class TrustAnchor:
    """The root of trust that devices enrol with: the newest root's file, or the first root's SHA-256."""

    path: Path
    version: int
    first_sha256: str


def establish(engine: Engine, settings: Settings) -> TrustAnchor:
    """Make missing keys and metadata, write the newest root to the home, and return its trust anchor."""
    keyring = Keyring(settings.keys)
    with writing(engine) as session:
        metadata_rows.lock(session)
        if metadata_rows.read(session, ROOT, None) is None:
            _begin(session, keyring, signing_time(session))
            _adopt(session, keyring)
    return write_anchor(engine, settings.home)


def write_anchor(engine: Engine, home: Path) -> TrustAnchor:
    """Write the newest root to the home; raises KeyMissing if there is none."""
    with reading(engine) as session:
        newest, first = metadata_rows.read(session, ROOT, None), metadata_rows.read(session, ROOT, 1)
    if newest is None or first is None:
        raise KeyMissing("trust is not set up", "run: diffserver init")
    path = home / ROOT_FILE
    if not path.is_file() or path.read_bytes() != newest:
        # Replicas that share a home may be at it together.
        write_file(path, newest, ending=f".{secrets.token_hex(4)}")
    return TrustAnchor(path, Metadata.from_bytes(newest).signed.version, sha256(first).hexdigest())


def _begin(session: Session, keyring: Keyring, moment: datetime) -> None:
    root, targets, online = (
        Holders(((keyring.named(name) or keys.create(keyring.folder / folder, name)).public,))
        for name, folder in ((ROOT, OFFLINE), (TARGETS, OFFLINE), (ONLINE, ONLINE))
    )
    holders = {ROOT: root, TARGETS: targets, SNAPSHOT: online, TIMESTAMP: online}
    changed = {
        ROOT: follow(None, first_root(holders), expiry(ROOT, moment)),
        TARGETS: follow(None, Targets(), expiry(TARGETS, moment)),
    }
    sign_all(changed, metadata_rows.CurrentMetadata(session).get, keyring)
    enact(session, changed, keyring, moment)


def _adopt(session: Session, keyring: Keyring) -> None:
    for version in session.scalars(select(Version).order_by(Version.model, Version.number)):
        steps = select(Step.manifest).where(Step.model == version.model, Step.to_digest == version.digest)
        manifests = tuple(from_json(manifest) for manifest in session.scalars(steps.order_by(Step.id)))
        sign_change.apply(session, keyring, version.model, Publish(manifests))
