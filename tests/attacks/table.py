"""The attacks, by what the attacker holds."""

from tests.attacks.model_key import MODEL_KEY
from tests.attacks.online_keys import ONLINE, THRESHOLDS
from tests.attacks.without_keys import COSTS, NETWORK, POLLS, TIME

ATTACKS = {
    "network": NETWORK, "time": TIME, "server": POLLS, "costs": COSTS, "online keys": ONLINE,
    "thresholds": THRESHOLDS, "model key": MODEL_KEY,
}  # fmt: skip
"""By what the attacker holds."""
