"""The formats in which a stream or a file becomes a Python value: their names, and which one a file's suffix suggests.

Runs in: the notebook kernel. What the formats do is the business of the magic.
"""

NAMES = ("text", "bytes", "lines", "json", "csv", "tsv", "fasta", "path", "blast6")

_BY_SUFFIX = {
    ".txt": "text", ".log": "text", ".json": "json", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv",
    ".fa": "fasta", ".fasta": "fasta", ".faa": "fasta", ".fna": "fasta", ".ffn": "fasta",
}  # fmt: skip


def suggested(file: str) -> str:
    """The format of a file that was asked for without one; bytes when the suffix says nothing."""
    name = file.rpartition("/")[2]
    return _BY_SUFFIX.get(name[name.rfind(".") :].lower() if "." in name else "", "bytes")
