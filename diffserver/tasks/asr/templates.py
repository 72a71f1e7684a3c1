"""Templates that several updates of the reference corpus share: the base's kinds of sentence, for new names."""

MUSIC = ("play {new}", "play some music by {new}", "play the new song by {new}", "play {new} in the {room}")
PLACES = ("what is the weather in {new}", "how far is it to {new}", "take me to {new}", "find a hotel in {new}")
FOODS = ("add {new} to my list", "order {number} {new}", "how do i cook {new}", "buy {new} and {food}")
DEVICES = (
    "turn on the {new}",
    "turn off the {new} in the {room}",
    "turn on the {new} in the {room}",
    "is the {new} on in the {room}",
)
CALLS = (
    "call {new}",
    "send a message to {new}",
    "what did {new} say",
    "remind me to call {new} at {number}",
)
NEWS = ("show me news about {new}", "what did {new} say", "call {new}", "remind me to call {new} at {number}")
GAMES = ("play {new}", "did {person} win the {new} game", "show me news about {new}", "buy {new} and {food}")
