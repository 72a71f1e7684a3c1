"""What admins do to devices: name, move and describe them, shut them out, take them out of service."""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from diffserver.catalog import tokens
from diffserver.catalog.devices import MOST_ATTRIBUTES, find
from diffserver.catalog.names import require_name
from diffserver.catalog.versions import find_channel
from diffserver.errors import Conflict, Invalid
from diffserver.storage.column_types import utc_now
from diffserver.storage.tables import Attribute, Device


def change(
    session: Session,
    device_id: str,
    name: str | None = None,
    channel: str | None = None,
    attributes: Mapping[str, str | None] | None = None,
) -> Device:
    """Change what is given; an attribute of None goes. Raises NotFound, Invalid, Conflict."""
    device = _in_service(session, device_id)
    if name is not None:
        require_name(name, "device")
        device.name = name
    if channel is not None:
        find_channel(session, device.model, channel)
        device.channel = channel
    if attributes:
        _describe(device, attributes)
    session.flush()
    return device


def decommission(session: Session, device: Device) -> bool:
    """Take a device out of service: its tokens end, and lists leave it out; its reports stay.

    Returns whether it was in service until now; if not, nothing changes.
    """
    if device.left_at is not None:
        return False
    device.left_at, device.stage = utc_now(), None
    tokens.revoke_device(session, device)
    return True


def _in_service(session: Session, device_id: str) -> Device:
    device = find(session, device_id)
    if device.left_at is not None:
        raise Conflict(f"device {device_id} was taken out of service", "enrol it again")
    return device


def _describe(device: Device, changed: Mapping[str, str | None]) -> None:
    known = {attribute.name: attribute for attribute in device.attributes}
    described = {**{name: attribute.value for name, attribute in known.items()}, **changed}
    kept = {name: value for name, value in described.items() if value is not None}
    if len(kept) > MOST_ATTRIBUTES:
        raise Invalid(f"a device has at most {MOST_ATTRIBUTES} attributes", "remove some: set them to null")
    for name, value in kept.items():
        known.setdefault(name, Attribute(name=name, value=value)).value = value
    device.attributes[:] = [known[name] for name in kept]
