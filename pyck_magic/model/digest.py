"""The digest of stored bytes: the name they are kept under, and the proof that they are the right ones.

Runs in: everywhere.
"""

from typing import NamedTuple

from pyck_magic.model.errors import BadManifest

_HEX = frozenset("0123456789abcdef")


class _Parts(NamedTuple):
    algorithm: str
    hex: str


class Digest(_Parts):
    """An algorithm and its result in lower-case hex digits. It holds nothing else, so it may become part of a path."""

    __slots__ = ()

    def __new__(cls, algorithm: str, hex: str) -> "Digest":
        """Raises BadManifest for what is no SHA-256 digest."""
        if algorithm != "sha256":
            raise BadManifest(f"{algorithm[:32]!a} digests are not supported", expected="sha256", actual=algorithm)
        if len(hex) != 64 or not _HEX.issuperset(hex):
            raise BadManifest(f"{hex[:80]!a} is no SHA-256 digest", expected="64 hex digits", actual=hex[:80])
        return super().__new__(cls, algorithm, hex)

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
        import hashlib  # to run what is here takes none

        return cls("sha256", hashlib.sha256(data).hexdigest())

    @property
    def short(self) -> str:
        """The twelve characters people read."""
        return self.hex[:12]

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"
