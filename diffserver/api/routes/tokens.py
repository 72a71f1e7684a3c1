"""Tokens of operators, and those to enrol with: made, listed and revoked by admins. Devices' are not among them."""

from fastapi import APIRouter

from diffserver.api.access import Admin, AfterNumber, Database, Limit, TokenFirst, Writing, page
from diffserver.api.answers import Page, TokenAnswer, TokenCreated
from diffserver.api.fields import RowId
from diffserver.api.problems import CALLER, declared
from diffserver.api.requests import TokenRequest
from diffserver.catalog import audit, tokens
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading, writing

router = APIRouter(prefix="/v1/tokens", tags=["tokens"], route_class=TokenFirst, responses=declared(*CALLER))


@router.get("")
def list_tokens(engine: Database, _who: Admin, limit: Limit = 100, after: AfterNumber = 0) -> Page[TokenAnswer]:
    """Tokens, oldest first, revoked ones too; never their secrets."""
    with reading(engine) as session:
        rows = tokens.made(session, after, limit + 1)
    return page(rows, limit, TokenAnswer, lambda token: token.id)


@router.post("", status_code=201, dependencies=[Writing])
def create_token(body: TokenRequest, engine: Database, who: Admin) -> TokenCreated:
    """Make a token. Its secret is in this answer and nowhere else."""
    until = tokens.expiry(body.role, body.expires, utc_now())
    with writing(engine) as session:
        token, secret = tokens.create(session, body.role, body.name, expires_at=until, uses=body.uses)
        audit.record(session, who, "token.create", None, **tokens.described(token))
    return TokenCreated.model_validate(token).model_copy(update={"token": secret})


@router.delete("/{token_id}", dependencies=[Writing], responses=declared(404, 409))
def revoke_token(token_id: RowId, engine: Database, who: Admin) -> TokenAnswer:
    """End a token's validity, for ever; not that of the one that asks."""
    with writing(engine) as session:
        token = tokens.revoke_made(session, token_id, who)
        audit.record(session, who, "token.revoke", None, **tokens.described(token))
        return TokenAnswer.model_validate(token)
