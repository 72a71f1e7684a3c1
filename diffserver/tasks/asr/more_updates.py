"""Updates 6 to 20 of the reference corpus, for long chains: eight new names each in sentences like the base's."""

from diffserver.tasks.asr.domain import Domain
from diffserver.tasks.asr.templates import CALLS, DEVICES, FOODS, GAMES, MUSIC, NEWS, PLACES


def _update(name: str, templates: tuple[str, ...], new: str) -> Domain:
    return Domain(name, templates, tuple(new.split()))


MORE_UPDATES = (
    _update("6-composers", MUSIC, "mozart beethoven chopin vivaldi tchaikovsky debussy schubert wagner"),
    _update("7-countries", PLACES, "argentina mongolia portugal ethiopia vietnam norway jamaica belgium"),
    _update("8-drinks", FOODS, "espresso lemonade kombucha cappuccino prosecco smoothies cider absinthe"),
    _update("9-machines", DEVICES, "blender toaster microwave freezer printer chandelier jacuzzi treadmill"),
    _update("10-colleagues", CALLS, "siobhan dmitri yusuf ingrid takeshi priya xavier lorenzo"),
    _update("11-spices", FOODS, "turmeric cinnamon paprika oregano saffron cardamom nutmeg rosemary"),
    _update("12-towns", PLACES, "pittsburgh albuquerque minneapolis nashville tucson sacramento cleveland omaha"),
    _update("13-bands", MUSIC, "radiohead kraftwerk blondie oasis aerosmith scorpions genesis megadeth"),
    _update("14-scientists", NEWS, "einstein darwin galileo tesla hawking pasteur kepler feynman"),
    _update("15-fruits", FOODS, "mangoes pineapple blueberries pomegranate lychees apricots coconut watermelon"),
    _update("16-mountains", PLACES, "everest kilimanjaro matterhorn vesuvius olympus denali fuji aconcagua"),
    _update("17-games", GAMES, "chess tetris minecraft monopoly scrabble poker solitaire backgammon"),
    _update("18-fish", FOODS, "salmon mackerel anchovies lobster octopus haddock squid halibut"),
    _update("19-gadgets", DEVICES, "jukebox gramophone telescope metronome turntable amplifier subwoofer laptop"),
    _update("20-islands", PLACES, "madagascar mallorca tasmania sardinia corsica okinawa greenland bermuda"),
)
