"""Attacks as values, and the moves that they are made of."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Targets

from diffclient.errors import DiffClientError
from diffclient.network.report import Stage
from diffclient.release.manifest import Blob
from tests.client import scripted_server
from tests.client.conftest import Device
from tests.client.lineage import MODEL
from tests.client.repository import Repository

Move = Callable[[Device], None]


@dataclass(frozen=True)
class Attack:
    """The moves of an attack, and the stage and error at which a device with version `runs` detects it."""

    name: str
    stage: Stage
    cause: type[DiffClientError]
    move: Move
    runs: int = 0


def honest(device: Device, version: int) -> None:
    """Let the device run a version."""
    device.server.target = version
    device.update()


def fault(path: str, how: scripted_server.Fault) -> Move:
    """Disturb replies on paths that contain `path`."""
    return lambda device: device.server.fault(path, how)


def saying(**fields: Any) -> Move:
    """An honest answer to the poll with some fields replaced."""

    def move(device: Device) -> None:
        device.server.rewrite = lambda answer: answer | fields

    return move


def serving(name: str, make: Callable[[Repository], bytes]) -> Move:
    """Serve other bytes as a file of metadata; `{role}` in its name stands for the role's current version."""

    def move(device: Device) -> None:
        repository = device.server.repository
        repository.files[_file(repository, name)] = make(repository)

    return move


def endless(name: str) -> Move:
    """Never end while a file of metadata is sent."""

    def move(device: Device) -> None:
        repository = device.server.repository
        repository.publish()
        repository.files.setdefault(_file(repository, name), b"{ ")
        device.server.fault(f"/v1/tuf/{_file(repository, name)}", scripted_server.spill)

    return move


def resigning(role: str, change: Callable[[Metadata[Any]], None]) -> Move:
    """Change a role and sign it with its own keys, and with it what makes it current."""

    def move(device: Device) -> None:
        repository = device.server.repository
        change(repository.metadata[role])
        for each in dict.fromkeys((role, "snapshot", "timestamp")):
            repository.write(each)

    return move


def with_keys_of(role: str, others: Callable[[Repository], str | Repository]) -> Move:
    """Publish a role that is signed with other keys than its own."""

    def move(device: Device) -> None:
        repository, other = device.server.repository, others(device.server.repository)
        kept = repository.signers[role]
        stranger = other if isinstance(other, Repository) else repository
        repository.signers[role] = stranger.signers[role if isinstance(other, Repository) else other]
        repository.write(role)
        repository.signers[role] = kept
        for each in ("snapshot", "timestamp") if role not in ("snapshot", "timestamp") else ("timestamp",):
            if each != role:
                repository.write(each)

    return move


def naming(name: str, custom: Callable[[Mapping[str, Any]], object]) -> Move:
    """Give a target other custom fields, signed with the model's key."""

    def move(device: Device) -> None:
        repository = device.server.repository
        target = repository.named[name]
        target.unrecognized_fields["custom"] = custom(copy.deepcopy(target.custom or {}))
        repository.publish()

    return move


def holding(name: str, make: Callable[[Device], Blob]) -> Move:
    """Let a target be other bytes, signed with the model's key."""

    def move(device: Device) -> None:
        blob, repository = make(device), device.server.repository
        repository.named[name].length, repository.named[name].hashes = blob.length, {"sha256": blob.sha256}
        repository.publish()

    return move


def going_to(version: int, *moves: Move) -> Move:
    """Assign an older version by its snapshot, after some moves."""

    def move(device: Device) -> None:
        line = device.server.lineage
        for each in moves:
            each(device)
        steps = [f"{MODEL}/v0/{version}.snapshot"]
        answer = {"action": "update", "version": version, "digest": line.digest(version), "steps": steps}
        device.server.rewrite = lambda honest: honest | answer

    return move


def delegating(roles: Mapping[str, str]) -> Move:
    """Delegate roles (keys) from others (values), each for the whole model; request a target that does not exist."""

    def move(device: Device) -> None:
        repository = device.server.repository
        key = repository.signers[MODEL][0].public_key
        for role, delegator in roles.items():
            repository.metadata.setdefault(role, Metadata(Targets(expires=repository.expires)))
            signed = repository.metadata[delegator].signed
            signed.delegations = signed.delegations or Delegations({}, roles={})
            signed.delegations.roles[role] = DelegatedRole(role, [], 1, False, [f"{MODEL}/*/*"])
            signed.add_key(key, role)
        for role in roles:
            repository.signers.setdefault(role, repository.signers[MODEL])
            repository.write(role)
        repository.publish()
        gone = f"{MODEL}/v1/99.snapshot"
        device.server.rewrite = lambda answer: answer | {"version": 99, "digest": "9" * 64, "steps": [gone]}

    return move


def _file(repository: Repository, name: str) -> str:
    role = name.partition(".")[2].removesuffix(".json")
    return name.format(role=repository.metadata[role].signed.version) if "{role}" in name else name
