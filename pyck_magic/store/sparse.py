"""Sparse files in tar archives: the four ways of saying where the pieces belong.

Runs in: the unpacker. Source: GNU tar manual, "Storing Sparse Files" (old GNU, PAX 0.0, 0.1 and 1.0).
"""

from collections.abc import Callable

from pyck_magic.model.errors import BadArchive

_BLOCK = 512
# Such a map is held in memory (CVE-2025-58183).
_EXTENTS_MAX = 1 << 16
_HINT = "the image was pushed broken, or somebody tries something: do not use it"

Extents = list[tuple[int, int]]
Records = list[tuple[bytes, bytes]]


def from_gnu_headers(header: bytes, take_block: Callable[[], bytes], number: Callable[[bytes], int]) -> tuple[Extents, int]:
    """Type `S`: four extents in the header, 21 in every extension block. Returns them and the file's real size."""
    size = number(header[483:495])
    extents = _of_block(header[386:482], number)
    goes_on = header[482]
    while goes_on:
        block = take_block()
        extents += _of_block(block[:504], number)
        goes_on = block[504]
        _check_count(len(extents))
    return extents, size


def _of_block(block: bytes, number: Callable[[bytes], int]) -> Extents:
    pairs = [block[at : at + 24] for at in range(0, len(block), 24)]
    return [(number(pair[:12]), number(pair[12:])) for pair in pairs if pair[0]]


def from_pax(records: Records, take: Callable[[int], bytes]) -> tuple[Extents, int, bytes] | None:
    """The PAX ways. Returns extents, real size and real name; None if the records say too little to be sparse.

    `take` reads from the beginning of the body, where format 1.0 keeps its map.
    """
    said = dict(records)
    if said.get(b"GNU.sparse.major") == b"1" and said.get(b"GNU.sparse.minor") == b"0":
        size = _decimal(said.get(b"GNU.sparse.realsize", b""))
        return _from_body(take), size, said.get(b"GNU.sparse.name", b"")
    if b"GNU.sparse.size" not in said:
        return None
    if b"GNU.sparse.map" in said:
        numbers = said[b"GNU.sparse.map"].split(b",") if said[b"GNU.sparse.map"] else []
    else:
        numbers = [value for key, value in records if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes")]
    _check_count(len(numbers) // 2)
    if len(numbers) % 2:
        raise _broken()
    values = [_decimal(text) for text in numbers]
    extents = list(zip(values[::2], values[1::2], strict=True))
    return extents, _decimal(said[b"GNU.sparse.size"]), said.get(b"GNU.sparse.name", b"")


def _from_body(take: Callable[[int], bytes]) -> Extents:
    """Decimal numbers, one a line: how many extents, then offset and length of each; padded to a block."""
    text = take(_BLOCK)
    if b"\n" not in text:
        raise _broken()
    count = _decimal(text.split(b"\n", 1)[0])
    _check_count(count)
    parts, lines = [text], text.count(b"\n")
    while lines < 1 + 2 * count:
        parts.append(take(_BLOCK))
        lines += parts[-1].count(b"\n")
    values = [_decimal(line) for line in b"".join(parts).split(b"\n")[1 : 1 + 2 * count]]
    return list(zip(values[::2], values[1::2], strict=True))


def check(extents: Extents, size: int, stored_bytes: int) -> None:
    """Extents go upwards, stay in the file and account for every stored byte; else BadArchive."""
    end = total = 0
    for offset, length in extents:
        if offset < end or length < 0 or offset + length > size:
            raise _broken()
        end = offset + length
        total += length
    if total != stored_bytes or not 0 <= size < 2**63:
        raise _broken()


def _check_count(count: int) -> None:
    if count > _EXTENTS_MAX:
        raise BadArchive(f"a layer holds a sparse file of more than {_EXTENTS_MAX} pieces", hint=_HINT)


def _decimal(text: bytes) -> int:
    if len(text) > 19 or not text.isdigit():
        raise _broken()
    return int(text)


def _broken() -> BadArchive:
    return BadArchive("a layer holds a sparse file whose map makes no sense", hint=_HINT)
