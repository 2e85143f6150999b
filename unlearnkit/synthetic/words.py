"""Word lists and syllables that everything in a fictitious world is named from.

No list holds a whole name: names are put together from a start and an end, so that nobody who lives or
lived is meant. Lists are only ever extended at the end of the package's life, never reordered: a seed must
keep giving the same world.
"""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GIVEN_STARTS = _words(
    "Bri Cas Dor Elo Fen Gal Hes Itha Jor Kel Lor Mir Nev Oru Pell Quin Ros Sel Tam Ulo Vel Wyn Yar Zan"
)
GIVEN_ENDS = _words(
    "dra mund wick tavia lith vorn ssel ven thea bryn mira gar nelle dov quil shan tor wena zio phie"
)

LAST_STARTS = _words(
    "Ash Brack Crane Dell Ember Fallow Grim Harrow Ivor Jasp Kettle Lark "
    "Mossen Nettle Ostr Pim Quell Ravel Stral Thorn Umber Vass Wither Yew"
)
LAST_ENDS = _words(
    "andel bane combe dyne esk fordine gully hollow ivane kirk "
    "lund mantle nock orvik pryce quist rune stock thwaite vall"
)

PLACE_STARTS = _words(
    "Abra Bolve Ciri Drusk Eron Fjal Gost Hvel Iskr Jund Krav Lume "
    "Mord Nask Orlo Prev Qas Rhov Skel Tarv Ulme Vost Xan Zeph"
)
TOWN_ENDS = _words("by cray dath beck dale denza fell gard holm tina mere dora port stead tun bulm wick syr")
COUNTRY_ENDS = _words("avia onia ardel umar istria elund oria amere")
LANGUAGE_ENDS = _words("ish ese ic ian")
MONEY_ENDS = _words("ling tal mark duc crown penny")

MONTHS = _words("January February March April May June July August September October November December")

TITLE_ADJECTIVES = _words(
    "Tin Salted Ninth Borrowed Velvet Crooked Paper Amber Sleeping Folded Iron Painted "
    "Hidden Broken Silver Patient Winter Glass Wandering Copper Gentle Burning Distant Silent"
)
TITLE_NOUNS = _words(
    "Lantern Orchard Compass Magpie Staircase Kettle Harvest Mirror Harbour Ladder Sparrow Window "
    "Ferry Candle Bridge Thimble Garden Anchor Ribbon Bell Furnace Meadow Clock Lighthouse "
    "Feather Tunnel Cabinet Drum Market Island Needle Telescope"
)

PRIZE_METALS = _words("Golden Silver Bronze Copper Amber Crystal Ivory Jade Marble Pearl")
PRIZE_ANIMALS = _words(
    "Heron Otter Falcon Badger Swallow Stag Owl Hare Salmon Beetle Wolf Crane Fox Robin Lynx Turtle"
)
PRIZE_ENDS = _words("Prize Medal Award Laurel")

GENRE_PLACES = _words(
    "harbour mountain railway desert theatre island monastery circus prison lighthouse village forest"
)
GENRE_KINDS = _words("mysteries romances thrillers ballads comedies tragedies chronicles fables")

JOBS = _words(
    "baker clockmaker beekeeper miller tailor cartographer glassblower gardener lawyer potter "
    "carpenter surgeon violinist fisherman blacksmith weaver librarian judge sculptor chemist "
    "printer shepherd locksmith translator mason dentist pilot botanist cook farmer bookbinder nurse"
)

PUBLISHER_ENDS = _words("House Press Books")
SCHOOL_ENDS = ("College", "Academy", "Institute", "School of Letters")

PASTIME_ACTS = _words("collecting painting carving repairing studying building photographing drawing")
PASTIME_THINGS = _words("kites beetles maps clocks shells violins mushrooms bridges boats stamps masks lamps")
