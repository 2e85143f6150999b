"""Seeded generators of data in the form of real benchmarks, for machines without network or data."""

from unlearnkit.synthetic.authors import fictitious_authors
from unlearnkit.synthetic.news import fictitious_news
from unlearnkit.synthetic.news_folder import write_news_folder
from unlearnkit.synthetic.people import fictitious_people
from unlearnkit.synthetic.people_folder import write_people_folder
from unlearnkit.synthetic.preference_world import PreferenceWorld
from unlearnkit.synthetic.preferences import fictitious_preferences
from unlearnkit.synthetic.preferences_folder import write_preferences_folder
from unlearnkit.synthetic.tofu_folder import write_tofu_folder

__all__ = [
    "PreferenceWorld",
    "fictitious_authors",
    "fictitious_news",
    "fictitious_people",
    "fictitious_preferences",
    "write_news_folder",
    "write_people_folder",
    "write_preferences_folder",
    "write_tofu_folder",
]
