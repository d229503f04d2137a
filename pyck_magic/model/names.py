"""Names for containers that got none, in Docker's manner: an adjective and somebody worth reading about.

Runs in: the notebook kernel.
"""

import os

_ADJECTIVES = (
    "agile", "amber", "brave", "bright", "calm", "candid", "clever", "curious", "daring", "eager", "fair", "fluent",
    "gentle", "golden", "happy", "honest", "humble", "jolly", "keen", "kind", "lively", "lucid", "mellow", "merry",
    "modest", "nimble", "patient", "playful", "polite", "proud", "quick", "quiet", "serene", "sharp", "silent", "smart",
    "steady", "stoic", "sunny", "swift", "tender", "upbeat", "vivid", "warm", "wise", "witty", "young", "zealous",
)  # fmt: skip
_PEOPLE = (
    "altschul", "avery", "benzer", "blackburn", "brenner", "carson", "chargaff", "charpentier", "crick", "darwin", "dayhoff",
    "doudna", "fisher", "franklin", "gilbert", "haldane", "hershey", "hodgkin", "jacob", "karlin", "kimura", "knuth",
    "lederberg", "levitt", "lipman", "lovelace", "margulis", "mcclintock", "mendel", "monod", "morgan", "myers", "needleman",
    "ohno", "pauling", "perutz", "sanger", "smith", "stevens", "sturtevant", "sulston", "turing", "venter", "waterman",
    "watson", "wilkins", "woese", "wunsch",
)  # fmt: skip


def invent() -> str:
    """A fresh name such as `curious_dayhoff`; that nobody has it yet is for the store to say."""
    first, second = os.urandom(2)
    return f"{_ADJECTIVES[first % len(_ADJECTIVES)]}_{_PEOPLE[second % len(_PEOPLE)]}"
