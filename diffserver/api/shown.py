"""Answers to polls, and on candidates and versions with what devices fetch for each and what its probe set can tell."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from diffclient.release.manifest import Manifest, from_json
from diffserver.api.answers import (
    CandidateAnswer,
    PollAnswer,
    ProbeSetAnswer,
    StandingMetadata,
    ToFetchAnswer,
    VersionAnswer,
)
from diffserver.catalog import what_travels
from diffserver.rollouts.book import Answer
from diffserver.storage.tables import Candidate, Version
from diffserver.trust.metadata_rows import Standing


def poll(found: Answer, standing: Standing | None, poll_seconds: int) -> PollAnswer:
    """Return the answer to a poll."""
    return PollAnswer(
        action="update" if found.steps else "none",
        version=found.number,
        digest=found.digest,
        steps=list(found.steps),
        poll_seconds=poll_seconds,
        notice=found.notice,
        metadata=standing and StandingMetadata(root=standing.root, timestamp=standing.timestamp),
    )


def candidates(session: Session, rows: Sequence[Candidate]) -> list[CandidateAnswer]:
    """Return the answers on candidates, in their order."""
    parents = what_travels.parents(session, rows)
    return [CandidateAnswer.model_validate(row).model_copy(update=_figures(row, parents)) for row in rows]


def versions(session: Session, rows: Sequence[Version]) -> list[VersionAnswer]:
    """Return the answers on versions, in their order."""
    parents = what_travels.parents(session, [row.candidate for row in rows])
    return [
        VersionAnswer.model_validate(row).model_copy(update=_figures(row.candidate, parents, row.metadata_bytes))
        for row in rows
    ]


def _figures(
    candidate: Candidate, parents: Mapping[tuple[str, str], Manifest], metadata: int | None = None
) -> dict[str, Any]:
    if not candidate.manifest:  # for comparison only: no device gets it
        return {}
    manifest = from_json(candidate.manifest)
    parent = parents.get((candidate.model, candidate.parent_digest or ""))
    probe_set = what_travels.probe_set(manifest)
    return {
        "to_fetch": ToFetchAnswer.model_validate(what_travels.to_fetch(manifest, parent, metadata)),
        "probe_set": probe_set and ProbeSetAnswer.model_validate(probe_set),
    }
