"""Which names a model can have."""

from diffclient.errors import ManifestError
from diffclient.release.target_names import check_model
from diffserver.errors import Invalid


def require_model(name: str) -> None:
    """Raise Invalid unless a model can have this name: a role is called like its model."""
    try:
        check_model(name)
    except ManifestError as error:
        raise Invalid(str(error), "choose another name") from error
