"""Models, their versions, and the reports of their devices, as operators see them; archived and deleted by admins."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from diffserver.api import shown
from diffserver.api.access import Admin, AfterNumber, AfterText, Database, Limit, TokenFirst, Viewer, Writing, page
from diffserver.api.answers import (
    LedgerAnswer,
    ModelAnswer,
    OnDevicesAnswer,
    Page,
    ReportAnswer,
    TallyAnswer,
    UpdateFailuresAnswer,
    VersionAnswer,
    VersionDetailAnswer,
)
from diffserver.api.fields import ModelName, Name, VersionNumber
from diffserver.api.problems import CALLER, declared
from diffserver.api.requests import ModelChangeRequest
from diffserver.catalog import audit, versions
from diffserver.catalog.admin import model_changes
from diffserver.rollouts import tallies
from diffserver.rollouts.failures import failures
from diffserver.rollouts.ledger import ledger
from diffserver.rollouts.on_devices import on_devices
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Channel, Device, Model, Report, Version

router = APIRouter(prefix="/v1", tags=["models"], route_class=TokenFirst, responses=declared(*CALLER))

Days = Annotated[int, Query(ge=1, le=tallies.KEPT.days, description="Of so many last days.")]


@router.get("/models")
def list_models(
    engine: Database,
    _who: Viewer,
    archived: Annotated[bool, Query(description="Also those that are archived.")] = False,
    limit: Limit = 100,
    after: AfterText = "",
) -> Page[ModelAnswer]:
    """All models, by name."""
    query = select(Model).where(Model.name > after).order_by(Model.name).limit(limit + 1)
    if not archived:
        query = query.where(Model.archived_at.is_(None))
    with reading(engine) as session:
        rows = [_show(session, model) for model in session.scalars(query)]
    return page(rows, limit, ModelAnswer, lambda model: model.name)


@router.get("/models/{model}", responses=declared(404))
def get_model(model: ModelName, engine: Database, _who: Viewer) -> ModelAnswer:
    """One model and where its channels point."""
    with reading(engine) as session:
        return _show(session, versions.find_model(session, model))


@router.patch("/models/{model}", dependencies=[Writing], responses=declared(404))
def change_model(model: ModelName, body: ModelChangeRequest, engine: Database, who: Admin) -> ModelAnswer:
    """Archive a model, or bring it back: lists leave it out, nothing new is made of it, its devices are served."""
    with writing(engine) as session:
        row = model_changes.archive(session, model, body.archived)
        audit.record(session, who, "model.archive" if body.archived else "model.restore", model)
        return _show(session, row)


@router.delete("/models/{model}", status_code=204, dependencies=[Writing], responses=declared(404, 409))
def delete_model(model: ModelName, engine: Database, who: Admin) -> None:
    """Delete a model of which nothing was published, with its candidates and trainings; its name is free again."""
    with writing(engine) as session:
        model_changes.delete_model(session, model)
        audit.record(session, who, "model.delete", model)


@router.get("/models/{model}/versions", responses=declared(404))
def list_versions(
    model: ModelName, engine: Database, _who: Viewer, limit: Limit = 100, after: AfterNumber = -1
) -> Page[VersionAnswer]:
    """A model's versions, from number 0."""
    query = select(Version).where(Version.model == model, Version.number > after)
    with reading(engine) as session:
        versions.find_model(session, model)
        rows = shown.versions(session, session.scalars(query.order_by(Version.number).limit(limit + 1)).all())
    return page(rows, limit, VersionAnswer, lambda version: version.number)


@router.get("/models/{model}/versions/{number}", responses=declared(404))
def get_version(model: ModelName, number: VersionNumber, engine: Database, _who: Viewer) -> VersionDetailAnswer:
    """One version, and what devices measured of it on its arrival and in the field."""
    with reading(engine) as session:
        version = versions.find_version(session, model, number)
        measured = OnDevicesAnswer.model_validate(on_devices(session, version))
        return VersionDetailAnswer(**dict(shown.versions(session, [version])[0]), on_devices=measured)


@router.get("/models/{model}/ledger", responses=declared(404))
def get_ledger(model: ModelName, engine: Database, _who: Viewer) -> LedgerAnswer:
    """What devices fetched for each version, against a snapshot for each of them."""
    with reading(engine) as session:
        versions.find_model(session, model)
        return LedgerAnswer.model_validate(ledger(session, model))


@router.get("/models/{model}/tallies", responses=declared(404))
def list_tallies(model: ModelName, engine: Database, _who: Viewer, days: Days = 30) -> Page[TallyAnswer]:
    """How many devices ran which version, hour by hour."""
    with reading(engine) as session:
        versions.find_model(session, model)
        rows = tallies.history(session, model, utc_now() - timedelta(days=days))
    number = {row.number: None if row.number == tallies.NO_VERSION else row.number for row in rows}
    return Page(
        items=[TallyAnswer(at=row.at, version=number[row.number], devices=row.devices) for row in rows], next=None
    )


@router.get("/models/{model}/failures", responses=declared(404))
def list_failures(model: ModelName, engine: Database, _who: Viewer, days: Days = 30) -> Page[UpdateFailuresAnswer]:
    """Why updates did not come off lately, the most frequent first."""
    with reading(engine) as session:
        versions.find_model(session, model)
        rows = failures(session, model, utc_now() - timedelta(days=days))
    return Page(items=[UpdateFailuresAnswer.model_validate(row) for row in rows], next=None)


@router.get("/reports")
def list_reports(
    engine: Database,
    _who: Viewer,
    model: Annotated[Name | None, Query(description="Of this model's devices only.")] = None,
    limit: Limit = 100,
    after: AfterNumber = 0,
) -> Page[ReportAnswer]:
    """Return the reports of devices, oldest first."""
    query = select(Report).join(Device, Device.id == Report.device_id).where(Report.id > after)
    if model is not None:
        query = query.where(Device.model == model)
    with reading(engine) as session:
        rows = session.scalars(query.order_by(Report.id).limit(limit + 1)).all()
    return page(rows, limit, ReportAnswer, lambda report: report.id)


def _show(session: Session, model: Model) -> ModelAnswer:
    head, newest = versions.head(session, model.name), versions.newest(session, model.name)
    pointing = session.execute(
        select(Channel.name, Version.number)
        .outerjoin(Version, and_(Version.model == Channel.model, Version.digest == Channel.digest))
        .where(Channel.model == model.name)
    )
    return ModelAnswer(
        name=model.name,
        task=model.task,
        created=model.created_at,
        archived=model.archived_at,
        head=head.number if head else None,
        newest=newest.number if newest else None,
        digest=head.digest if head else None,
        metric=head.candidate.metric if head else None,
        channels={row.name: row.number for row in pointing},
    )
