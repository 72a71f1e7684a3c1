"""The sentences of the reference corpus: commands with slots, drawn with a seed.

No word of an update domain's new names occurs in the base domain (`BASE_WORDS`, `new_words`). Pure text; voices and
audio are left to `synthesis` and `corpus`.
"""

import random
import re

from diffserver.tasks.asr import templates
from diffserver.tasks.asr.domain import Domain
from diffserver.tasks.asr.more_updates import MORE_UPDATES


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PEOPLE = _words("anna brian carla daniel emma frank grace harry isabel jack karen leo maria nathan olivia peter")
CITIES = _words("london paris berlin madrid dublin boston chicago denver oslo rome vienna toronto")
ARTISTS = _words("queen abba adele coldplay madonna beyonce sting prince elvis drake")
ROOMS = ("kitchen", "bedroom", "bathroom", "living room", "garage", "hallway", "office", "garden")
DEVICES = ("light", "lamp", "heater", "fan", "radio", "oven", "television", "speaker")
FOODS = _words("bread milk butter cheese coffee sugar apples rice eggs tomatoes")
NUMBERS = _words("two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty")

SLOTS: dict[str, tuple[str, ...]] = {
    "person": PEOPLE,
    "city": CITIES,
    "artist": ARTISTS,
    "room": ROOMS,
    "device": DEVICES,
    "food": FOODS,
    "number": NUMBERS,
}

BASE_TEMPLATES = (
    "call {person}",
    "send a message to {person}",
    "what did {person} say",
    "show me news about {person}",
    "did {person} win the game",
    "remind me to call {person} at {number}",
    "what is the weather in {city}",
    "how far is it to {city}",
    "take me to {city}",
    "find a hotel in {city}",
    "play {artist}",
    "play some music by {artist}",
    "play the new song by {artist}",
    "turn on the {device}",
    "turn off the {device} in the {room}",
    "turn on the {device} in the {room}",
    "is the {device} on in the {room}",
    "add {food} to my list",
    "order {number} {food}",
    "how do i cook {food}",
    "buy {food} and {food}",
    "set a timer for {number} minutes",
    "wake me up at {number}",
    "set the volume to {number}",
    "stop",
    "what time is it",
)


BASE = Domain("0-base", BASE_TEMPLATES)

UPDATES = (
    Domain(
        "1-athletes",
        (
            "did {new} win the game",
            "show me news about {new}",
            "what did {new} say",
            "call {new}",
            "play the game of {new}",
        ),
        ("ronaldo", "federer", "serena", "lebron", "mbappe", "djokovic", "verstappen", "biles"),
    ),
    Domain(
        "2-artists",
        templates.MUSIC,
        ("rihanna", "metallica", "shakira", "eminem", "nirvana", "rosalia", "gorillaz", "billie eilish"),
    ),
    Domain(
        "3-places",
        templates.PLACES,
        ("reykjavik", "singapore", "marrakesh", "istanbul", "kathmandu", "zanzibar", "honolulu", "bogota"),
    ),
    Domain(
        "4-devices",
        templates.DEVICES,
        (
            "humidifier",
            "dishwasher",
            "vacuum robot",
            "projector",
            "thermostat",
            "camera",
            "sprinkler",
            "doorbell",
        ),
    ),
    Domain(
        "5-foods",
        templates.FOODS,
        ("quinoa", "halloumi", "zucchini", "kimchi", "tofu", "guacamole", "croissants", "papaya"),
    ),
)

DOMAINS = (BASE, *UPDATES, *MORE_UPDATES)
BASE_WORDS = frozenset(
    word
    for text in (*(re.sub(r"\{\w+\}", "", template) for template in BASE_TEMPLATES), *sum(SLOTS.values(), ()))
    for word in text.split()
)


def new_words(domain: Domain) -> frozenset[str]:
    """Return the words that `domain` adds and that no base sentence may contain."""
    return frozenset(" ".join(domain.new).split())


def sentence(domain: Domain, rng: random.Random) -> str:
    """Return one command of `domain`: lower-case letters and spaces."""
    template = rng.choice(domain.templates)

    def fill(match: re.Match[str]) -> str:
        slot = match.group(1)
        return rng.choice(domain.new if slot == "new" else SLOTS[slot])

    return re.sub(r"\{(\w+)\}", fill, template)
