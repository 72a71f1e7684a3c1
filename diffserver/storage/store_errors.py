"""What an object store answers when it fails, for whoever types commands; a server logs it as it is."""

from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError

from diffserver.errors import Unavailable

REMEDY = "check the URL, its bucket, the variables with its credentials, and the network"


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn what a store refuses in the block into Unavailable, with its cause."""
    try:
        yield
    except BaseError as error:
        raise Unavailable(f"the object store does not answer as it should: {reason(error)}", REMEDY) from error


def reason(error: BaseError) -> str:
    """Return what a store says of a failure, without the dump of its own state that comes after it."""
    return str(error).partition("\n")[0]
