"""Errors are counted of a total, in the words of a metric: reports, evaluations and manifests say so.

Revision 0006, after 0005. Metadata that was signed before stays as it was signed: its models are to be published anew.
"""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | None = None
depends_on: str | None = None

Json = dict[str, Any]

SPEECH = ("asr", "asr-words")
WER, PLAIN = {"name": "WER", "counts": "words"}, {"name": "error rate", "counts": "examples"}
COLUMNS = {"words": "total", "wer_ppm": "error_rate_ppm"}
"""Of reports; the same names stand in manifests and evaluations."""

models = sa.table("models", sa.column("name"), sa.column("task"))
candidates = sa.table(
    "candidates",
    sa.column("id"),
    sa.column("model"),
    *(sa.column(name, sa.JSON) for name in ("evaluation", "manifest", "tried")),
    sa.column("metric_name"),
    sa.column("metric_counts"),
)
steps = sa.table("steps", sa.column("id"), sa.column("model"), sa.column("manifest", sa.JSON))


def upgrade() -> None:
    for before, after in COLUMNS.items():
        op.alter_column("reports", before, new_column_name=after)
    for part, text in PLAIN.items():
        column = sa.Column(f"metric_{part}", sa.String(length=40), server_default=text, nullable=False)
        op.add_column("candidates", column)
    speech = sa.select(models.c.name).where(models.c.task.in_(SPEECH))
    named = {f"metric_{part}": text for part, text in WER.items()}
    op.execute(sa.update(candidates).where(candidates.c.model.in_(speech)).values(named))
    known = set(op.get_bind().scalars(speech))
    _rewrite(COLUMNS | {"mean_wer": "mean_error_rate"}, lambda model: {"metric": WER if model in known else PLAIN})


def downgrade() -> None:
    names = COLUMNS | {"mean_wer": "mean_error_rate"}
    _rewrite({after: before for before, after in names.items()}, lambda _model: {})
    for part in PLAIN:
        op.drop_column("candidates", f"metric_{part}")
    for before, after in COLUMNS.items():
        op.alter_column("reports", after, new_column_name=before)


def _rewrite(names: Json, metric_of: Callable[[str], Json]) -> None:
    """Rename the figures in all documents; manifests get what `metric_of` their model says, or nothing."""
    connection = op.get_bind()
    for row in connection.execute(sa.select(candidates)).mappings().all():
        values = {
            "manifest": _manifest(row["manifest"], names, metric_of(row["model"])),
            "evaluation": {domain: _pair(pair, names) for domain, pair in row["evaluation"].items()},
            "tried": [_renamed(one, names) for one in row["tried"]],
        }
        connection.execute(sa.update(candidates).where(candidates.c.id == row["id"]).values(values))
    for row in connection.execute(sa.select(steps)).mappings().all():
        manifest = _manifest(row["manifest"], names, metric_of(row["model"]))
        connection.execute(sa.update(steps).where(steps.c.id == row["id"]).values(manifest=manifest))


def _manifest(value: Json, names: Json, metric: Json) -> Json:
    if not value:  # of a fully retrained model, which has none
        return value
    kept = {name: inner for name, inner in _renamed(value, names).items() if name != "metric"}
    return kept | {"probes": [_renamed(probe, names) for probe in value["probes"]]} | metric


def _pair(value: Json, names: Json) -> Json:
    return {side: errors and _renamed(errors, names) for side, errors in value.items()}


def _renamed(value: Json, names: Json) -> Json:
    return {names.get(name, name): inner for name, inner in value.items()}
