"""Setting trust up: the first keys and the first root, without a question asked; and telling where the root is.

Versions that were published before there was any metadata are signed then. Safe to run again, and on several
machines at once.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from tuf.api.metadata import Metadata, Targets

from diffclient.durable import rename, sync
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
class Anchor:
    """What devices enrol with: the newest root in a file, or the SHA-256 of the first one."""

    path: Path
    version: int
    first_sha256: str


def establish(engine: Engine, settings: Settings) -> Anchor:
    """Make what is missing of keys and metadata, write the root to the home, and return where it is."""
    keyring = Keyring(settings.keys)
    with writing(engine) as session:
        metadata_rows.lock(session)
        if metadata_rows.read(session, ROOT, None) is None:
            _begin(session, keyring, signing_time(session))
            _adopt(session, keyring)
    return write_anchor(engine, settings.home)


def write_anchor(engine: Engine, home: Path) -> Anchor:
    """Write the newest root to the home; raises KeyMissing if there is none."""
    with reading(engine) as session:
        newest, first = metadata_rows.read(session, ROOT, None), metadata_rows.read(session, ROOT, 1)
    if newest is None or first is None:
        raise KeyMissing("trust is not set up", "run: diffserver init")
    path = home / ROOT_FILE
    if not path.is_file() or path.read_bytes() != newest:
        # Replicas that share a home may be at it together.
        draft = path.with_name(f".{ROOT_FILE}.{secrets.token_hex(4)}")
        draft.write_bytes(newest)
        sync(draft)
        rename(draft, path)
    return Anchor(path, Metadata.from_bytes(newest).signed.version, sha256(first).hexdigest())


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
    sign_all(changed, metadata_rows.Book(session).look, keyring)
    enact(session, changed, keyring, moment)


def _adopt(session: Session, keyring: Keyring) -> None:
    for version in session.scalars(select(Version).order_by(Version.model, Version.number)):
        steps = select(Step.manifest).where(Step.model == version.model, Step.to_digest == version.digest)
        manifests = tuple(from_json(manifest) for manifest in session.scalars(steps.order_by(Step.id)))
        sign_change.apply(session, keyring, version.model, Publish(manifests))
