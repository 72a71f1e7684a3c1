"""Make a version of a diff that was trained elsewhere: the device's code applies its payload to the parent."""

from collections.abc import Mapping
from time import monotonic

from diffclient.diff.apply import apply
from diffclient.errors import FormatError, RangeError, WrongParent
from diffclient.measure.error_count import Errors
from diffclient.payload.decode import Payload, open_payload
from diffserver.errors import Invalid
from diffserver.evaluation import error_rate
from diffserver.pipeline.job_context import Result, Work, result_of_update
from diffserver.pipeline.parent_version import Parent
from diffserver.training.new_version import NewVersion


def update(work: Work, parent: Parent) -> Result:
    """Make the parent's next version of an uploaded payload, with its maker's measurements as notes; raises Invalid."""
    began = monotonic()
    work.on_progress(0.0, "applies the diff")
    assert work.spec.checkpoint is not None  # or there would be something to train
    data = work.objects.get(work.spec.checkpoint)
    payload = _opened(data, parent)
    try:
        digest = apply(parent.snapshot, [payload], work.out)
    except (FormatError, RangeError) as error:
        raise Invalid(f"the diff cannot be applied to version {parent.number}: {error}", "save it once more") from error
    if digest == parent.digest:
        raise Invalid(f"the diff leaves version {parent.number} as it is", "train it further")
    version = NewVersion(work.out, digest, payload.table_after, payload.kind, data)
    return result_of_update(work, parent, version, began, tuple(_notes(work.spec.checkpoint, work.spec.measured)))


def _opened(data: bytes, parent: Parent) -> Payload:
    try:
        return open_payload(data, parent.snapshot.table, parent.digest)
    except WrongParent as error:
        raise Invalid(
            f"the diff does not start from version {parent.number} ({parent.digest[:12]}): {error}",
            f"train it from that version's weights: diffserver snapshot <model> --version {parent.number}",
        ) from error
    except FormatError as error:
        raise Invalid(
            f"what was uploaded is no diff for this model: {error}", "pass the file that was saved"
        ) from error


def _notes(sha256: str, measured: Mapping[str, Errors]) -> list[str]:
    figures = [
        f"measured by its maker, not by this server: {name} {error_rate(errors):.2f} % "
        f"({errors.errors} of {errors.total})"
        for name, errors in measured.items()
    ]
    return [f"made of the diff {sha256}, trained elsewhere", *figures]
