"""Updates 6 to 20 of the reference corpus, for long chains: eight new names each in sentences like the base's."""

from diffserver.tasks.asr.domain import Domain

_MUSIC = ("play {new}", "play some music by {new}", "play the new song by {new}", "play {new} in the {room}")
_PLACES = ("what is the weather in {new}", "how far is it to {new}", "take me to {new}", "find a hotel in {new}")
_FOODS = ("add {new} to my list", "order {number} {new}", "how do i cook {new}", "buy {new} and {food}")
_DEVICES = (
    "turn on the {new}",
    "turn off the {new} in the {room}",
    "turn on the {new} in the {room}",
    "is the {new} on in the {room}",
)
_CALLS = (
    "call {new}",
    "send a message to {new}",
    "what did {new} say",
    "remind me to call {new} at {number}",
)
_NEWS = ("show me news about {new}", "what did {new} say", "call {new}", "remind me to call {new} at {number}")
_GAMES = ("play {new}", "did {person} win the {new} game", "show me news about {new}", "buy {new} and {food}")


def _update(name: str, templates: tuple[str, ...], new: str) -> Domain:
    return Domain(name, templates, tuple(new.split()))


MORE_UPDATES = (
    _update("6-composers", _MUSIC, "mozart beethoven chopin vivaldi tchaikovsky debussy schubert wagner"),
    _update("7-countries", _PLACES, "argentina mongolia portugal ethiopia vietnam norway jamaica belgium"),
    _update("8-drinks", _FOODS, "espresso lemonade kombucha cappuccino prosecco smoothies cider absinthe"),
    _update("9-machines", _DEVICES, "blender toaster microwave freezer printer chandelier jacuzzi treadmill"),
    _update("10-colleagues", _CALLS, "siobhan dmitri yusuf ingrid takeshi priya xavier lorenzo"),
    _update("11-spices", _FOODS, "turmeric cinnamon paprika oregano saffron cardamom nutmeg rosemary"),
    _update("12-towns", _PLACES, "pittsburgh albuquerque minneapolis nashville tucson sacramento cleveland omaha"),
    _update("13-bands", _MUSIC, "radiohead kraftwerk blondie oasis aerosmith scorpions genesis megadeth"),
    _update("14-scientists", _NEWS, "einstein darwin galileo tesla hawking pasteur kepler feynman"),
    _update("15-fruits", _FOODS, "mangoes pineapple blueberries pomegranate lychees apricots coconut watermelon"),
    _update("16-mountains", _PLACES, "everest kilimanjaro matterhorn vesuvius olympus denali fuji aconcagua"),
    _update("17-games", _GAMES, "chess tetris minecraft monopoly scrabble poker solitaire backgammon"),
    _update("18-fish", _FOODS, "salmon mackerel anchovies lobster octopus haddock squid halibut"),
    _update("19-gadgets", _DEVICES, "jukebox gramophone telescope metronome turntable amplifier subwoofer laptop"),
    _update("20-islands", _PLACES, "madagascar mallorca tasmania sardinia corsica okinawa greenland bermuda"),
)
