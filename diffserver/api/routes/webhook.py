"""The webhook to which events of rollouts are sent: how it does, and a trial of it."""

from fastapi import APIRouter

from diffserver.api.access import Admin, Config, Database, TokenFirst, Viewer
from diffserver.api.answers import DeliveredAnswer, EventAnswer, WebhookAnswer
from diffserver.api.problems import CALLER, declared
from diffserver.errors import Conflict
from diffserver.events import outbox
from diffserver.events.webhook import send
from diffserver.storage.database import reading

router = APIRouter(prefix="/v1/webhook", tags=["webhook"], route_class=TokenFirst, responses=declared(*CALLER))

SHOWN = 20


@router.get("")
def get_webhook(engine: Database, config: Config, _who: Viewer) -> WebhookAnswer:
    """Where events go, how many wait or were given up, and the latest, the newest first. No secret is shown."""
    with reading(engine) as session:
        state, events = outbox.waiting(session), outbox.latest(session, SHOWN)
    return WebhookAnswer(
        host=None if config.webhook is None else config.webhook.host,
        waiting=state.waiting,
        given_up=state.given_up,
        events=[EventAnswer.model_validate(event) for event in events],
    )


@router.post("/test", responses=declared(409))
def try_webhook(config: Config, _who: Admin) -> DeliveredAnswer:
    """Send an event of the type `webhook.test`, once and at once; nothing else waits for it, and it is not kept."""
    if config.webhook is None:
        raise Conflict("the server has no webhook", "set DIFFSERVER_WEBHOOK_URL and DIFFSERVER_WEBHOOK_SECRET there")
    event = outbox.new_event("webhook.test", {})
    return DeliveredAnswer(host=config.webhook.host, message_id=event.message_id, status=send(config.webhook, event))
