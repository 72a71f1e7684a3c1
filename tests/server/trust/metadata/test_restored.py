"""The promises of a snapshot after a restored backup."""

from datetime import UTC, datetime

import pytest

from diffserver.errors import Conflict
from diffserver.trust.metadata.next_metadata import least, next_snapshot
from diffserver.trust.metadata.restored import lagging, possible_roles, promise
from diffserver.trust.metadata.role_changes import Renew, Restored, Return
from tests.server import factories
from tests.server.trust.world import World

EXPIRES = datetime(2030, 1, 1, tzinfo=UTC)


def restored(world: World, lowest: int) -> World:
    """A world whose snapshot promises all that there may have been of its model."""
    snapshot = next_snapshot(None, world.roles, EXPIRES)
    world.roles["snapshot"] = promise(snapshot, possible_roles("speech", 65), lowest, EXPIRES)
    return world


def grown() -> World:
    world = World()
    for number in range(3):
        world.publish(number)
    return world


def test_roles_that_a_model_may_have_had() -> None:
    assert possible_roles("m", 64) == {"m", "m+archive", "m+archive-0"}
    assert possible_roles("m", 65) == {"m", "m+archive", "m+archive-0", "m+archive-1"}
    assert possible_roles("m", 0) == {"m", "m+archive", "m+archive-0"}


def test_a_snapshot_names_all_of_them_by_the_least_version_and_says_so_from_then_on() -> None:
    world = restored(grown(), 50)
    snapshot = world.roles["snapshot"]
    assert (snapshot.signed.version, least(snapshot), least(None)) == (50, 50, 1)
    versions = {file: meta.version for file, meta in snapshot.signed.meta.items()}
    assert versions == {
        "speech.json": 50,
        "speech+archive.json": 50,
        "speech+archive-0.json": 50,
        "speech+archive-1.json": 50,
        "targets.json": 1,
    }
    following = next_snapshot(snapshot, {}, EXPIRES)
    assert (following.signed.version, least(following)) == (51, 50)


def test_numbers_of_lost_versions_are_led_back_from_and_left_out() -> None:
    world = restored(grown(), 50)
    world.apply(Restored(99, (Return(factories.digest("v2"), 2, factories.blob("permission")),)))
    permission = world.find("speech/v0/2.downgrade")
    assert permission is not None
    assert permission.custom["diffserver"]["below"] == 99
    with pytest.raises(Conflict, match="does not follow"):
        world.publish(10**7, (2,))
    world.publish(100, (2,))
    assert world.find("speech/v1/100.from.2")
    assert world.find("speech/v0/2.snapshot"), "in the archive"
    assert world.find("speech/v0/2.downgrade") is None


def test_roles_lag_until_they_are_signed_again_all_at_once() -> None:
    world = grown()
    assert lagging("speech", world.roles.get) == {}
    restored(world, 50)
    lag = lagging("speech", world.roles.get)
    assert lag == {role: world.roles[role].signed.version for role in lag}
    assert set(lag) == {"speech", "speech+archive", "speech+archive-0"}
    signed = world.apply(Renew())
    assert {world.roles[role].signed.version for role in signed} == {50}
    assert (set(signed), lagging("speech", world.roles.get)) == (set(lag), {})
    world.publish(3)
    assert world.roles["speech"].signed.version == 51
