"""Word lists of the fictitious news: outlets, institutions, causes, and what people say."""

from __future__ import annotations

OUTLET_ENDS = (
    "Courier",
    "Gazette",
    "Herald",
    "Observer",
    "Dispatch",
    "Evening Post",
    "Chronicle",
    "Messenger",
)
"""The last word of an outlet's name; a town's name goes before it."""

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

HELPERS = (
    "the volunteer brigade",
    "a choir of pensioners",
    "the harbour police",
    "students of the music school",
    "the guild of masons",
    "a troop of scouts",
    "the sailing club",
    "nurses from the old hospital",
    "the beekeepers' union",
    "a team of divers",
    "the railway engineers",
    "farmers from the hills",
    "the chess society",
    "retired miners",
    "the bakers of the valley",
    "two coach drivers",
)

CAUSES = (
    "a broken water pipe",
    "a letter lost in the post",
    "three days of hail",
    "a fallen oak",
    "a mistake in the accounts",
    "a bet between neighbours",
    "an old map found in an attic",
    "a swarm of wasps",
    "a quarrel about bells",
    "a faulty fuse",
    "a sudden frost",
    "a rumour at the market",
    "a missing key",
    "a speech on the radio",
    "a runaway horse",
    "a painted door",
)

QUOTES = (
    "We did what anybody would have done",
    "I have never seen anything like it",
    "My grandmother would have laughed",
    "It will take years to get over this",
    "Nobody here is going to forget this week",
    "There was no time to be afraid",
    "I only wish the rain had waited",
    "The children asked the best questions",
    "We counted twice and still did not believe it",
    "Let the others write the history books",
    "This town has always looked after itself",
    "I shall sleep until next month",
    "They told us it could not be done",
    "Somebody had to open the first window",
    "You cannot buy a morning like that",
    "We are proud, tired and rather hungry",
)
"""What the person in charge says; which of them is a coin toss of its own."""

ENDINGS = (
    "The council meets again next week.",
    "A report is expected before winter.",
    "Entry will be free until further notice.",
    "The roads nearby stay closed at night.",
    "Letters of thanks may be left at the town hall.",
    "A second meeting has been called for the summer.",
    "The old clock there has not been repaired yet.",
    "Trains stop there again from the first of the month.",
    "Tickets were sold out within the hour.",
    "Neighbouring towns have offered their help.",
)
