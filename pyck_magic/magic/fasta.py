"""FASTA in both directions. Pure.

Runs in: the notebook kernel.
"""

from collections.abc import Iterable, Mapping

from pyck_magic.magic.bad_data import BadData

_WIDTH = 60


def read(text: str) -> list[tuple[str, str, str]]:
    """(id, description, sequence) of each record; the description is what follows the id. Raises BadData."""
    records: list[tuple[str, str, list[str]]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith(">"):
            name, _, description = line[1:].strip().partition(" ")
            if not name:
                raise BadData(number, "a record without a name")
            records.append((name, description.strip(), []))
        elif line.startswith(";") or not line.strip():
            continue
        elif not records:
            raise BadData(number, f"sequences begin with a line that begins with >, and not with {line[:20]!r}")
        else:
            records[-1][2].append("".join(line.split()))
    return [(name, description, "".join(parts)) for name, description, parts in records]


def write(records: Iterable[Mapping[str, object]]) -> str:
    """Records with `id`, `sequence` and perhaps `description`, as FASTA with lines of sixty letters."""
    lines = []
    for record in records:
        description = _text(record.get("description")).removeprefix(_text(record["id"])).strip()
        lines.append(f">{record['id']} {description}".rstrip())
        sequence = _text(record["sequence"])
        lines += [sequence[start : start + _WIDTH] for start in range(0, len(sequence), _WIDTH)]
    return "".join(f"{line}\n" for line in lines)


def _text(value: object) -> str:
    # A DataFrame's NaN is a float that differs from itself.
    return "" if value is None or value != value else str(value)
