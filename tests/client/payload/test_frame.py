from __future__ import annotations

import pytest

from diffclient.errors import DiffClientError, PayloadError, PayloadTooNew, WrongParent
from diffclient.payload import frame
from diffclient.tensors.arithmetic import ONE

PARENT = "5a" * 32
FIELDS = "magic version kind parent alpha beta seed tensors lanes records symbols extra_bits".split()
SECTIONS = ([b"re"], [b"s", b"", b"ym"], [b"x"])
GOOD = frame.Header(frame.PLAIN, "sparse", bytes.fromhex(PARENT)[:8], ONE, -ONE, 0, 4, 1).write(SECTIONS)


def changed(**fields: object) -> bytes:
    """The good payload with other fields in its header."""
    header = dict(zip(FIELDS, frame.HEADER.unpack_from(GOOD), strict=True)) | fields
    return frame.HEADER.pack(*header.values()) + GOOD[frame.HEADER.size :]


def test_a_payload_is_cut_into_header_and_sections() -> None:
    parsed = frame.read(GOOD, 4, PARENT)
    assert (parsed.kind, parsed.alpha, parsed.beta, parsed.seed, parsed.lanes) == ("sparse", ONE, -ONE, 0, 1)
    assert [bytes(part) for part in (parsed.records, parsed.symbols, parsed.extra_bits)] == [b"re", b"sym", b"x"]
    assert parsed.write([[parsed.records], [parsed.symbols], [parsed.extra_bits]]) == GOOD


HOSTILE: dict[str, tuple[bytes, type[DiffClientError]]] = {
    "empty": (b"", PayloadError),
    "half a header": (GOOD[:20], PayloadError),
    "other magic": (changed(magic=b"NDIX"), PayloadError),
    "format before this one": (changed(version=1), PayloadTooNew),
    "next format": (changed(version=4), PayloadTooNew),
    "a kind that the next format has not": (changed(version=3), PayloadTooNew),
    "unknown kind": (changed(kind=9), PayloadTooNew),
    "other parent": (changed(parent=b"12345678"), WrongParent),
    "other model": (changed(tensors=5), PayloadError),
    "huge alpha": (changed(alpha=2**31 - 1), PayloadError),
    "huge beta": (changed(beta=-(2**31)), PayloadError),
    "exact with factors": (changed(kind=3), PayloadError),
    "sparse with a seed": (changed(seed=1), PayloadError),
    "too many lanes": (changed(lanes=4097), PayloadError),
    "section longer than the file": (changed(symbols=2**32 - 1), PayloadError),
    "sections that wrap around": (changed(records=2**32 - 1, symbols=8), PayloadError),
    "trailing byte": (GOOD + b"\0", PayloadError),
    "cut": (GOOD[:-1], PayloadError),
}


@pytest.mark.parametrize(("data", "error"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_headers_end_in_their_own_error(data: bytes, error: type[DiffClientError]) -> None:
    with pytest.raises(error) as caught:
        frame.read(data, 4, PARENT)
    assert caught.type is error
