"""Names of containers and volumes: which there may be, and for containers that got none one in Docker's manner.

Runs in: the notebook kernel.
"""

import os
import re

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


_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


def is_name(text: str) -> bool:
    """May a container or a volume be called so? Docker's rule."""
    return _NAME.fullmatch(text) is not None


def invent() -> str:
    """A fresh name such as `curious_dayhoff`; that nobody has it yet is for the store to say."""
    first, second = os.urandom(2)
    return f"{_ADJECTIVES[first % len(_ADJECTIVES)]}_{_PEOPLE[second % len(_PEOPLE)]}"
