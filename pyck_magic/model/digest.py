"""The digest of stored bytes: the name they are kept under, and the proof that they are the right ones.

Runs in: everywhere.
"""

import hashlib
from dataclasses import dataclass

from pyck_magic.model.errors import BadManifest

_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Digest:
    """An algorithm and its result in lower-case hex digits. It holds nothing else, so it may become part of a path."""

    algorithm: str
    hex: str

    def __post_init__(self) -> None:
        if self.algorithm != "sha256":
            raise BadManifest(f"{self.algorithm[:32]!a} digests are not supported", expected="sha256", actual=self.algorithm)
        if len(self.hex) != 64 or not _HEX.issuperset(self.hex):
            raise BadManifest(f"{self.hex[:80]!a} is no SHA-256 digest", expected="64 hex digits", actual=self.hex[:80])

    @classmethod
    def parse(cls, text: str) -> "Digest":
        """Read `sha256:<64 hex digits>`. Raises BadManifest for anything else, other algorithms included."""
        algorithm, colon, digits = text.partition(":")
        if not colon:
            raise BadManifest(f"{text[:80]!a} is no digest", expected="sha256:…", actual=text[:80])
        return cls(algorithm, digits)

    @classmethod
    def of(cls, data: bytes) -> "Digest":
        """The digest of these bytes."""
        return cls("sha256", hashlib.sha256(data).hexdigest())

    @property
    def short(self) -> str:
        """The twelve characters people read."""
        return self.hex[:12]

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"
