"""Help in Docker's layout, made from the tables.

Runs in: the notebook kernel, or the `pyck` command.
"""

import textwrap

from pyck_magic.commands.options import CELL, VERBS, Option, options_of, verb_named

_WIDTH = 100


def help_text(verb: str | None = None, program: str = "pyck") -> str:
    """What `--help` shows of a verb ("cell" for `%%container`), or of everything. `program` is what people type first.

    Raises KeyError for a verb that is not in the table.
    """
    if verb is None:
        return _overview(program)
    row = verb_named(verb)
    if row is None:
        raise KeyError(verb)
    options = options_of(verb)
    start = "%%container" if verb == CELL else f"{program} {verb}"
    usage = " ".join(part for part in (start, "[OPTIONS]" if options else "", row.operands) if part)
    return "\n".join([f"Usage:  {usage}", "", row.summary, *(["", "Options:", *_rows(options)] if options else [])])


def _rows(options: tuple[Option, ...]) -> list[str]:
    heads = [f"{f'-{option.short},' if option.short else '   '} --{option.name} {option.metavar}".rstrip() for option in options]
    width = max(map(len, heads)) + 3
    return [
        line
        for head, option in zip(heads, options, strict=True)
        for line in textwrap.wrap(
            option.help, _WIDTH, initial_indent=f"  {head:<{width}}", subsequent_indent=" " * (width + 2), break_on_hyphens=False
        )
    ]


def _overview(program: str) -> str:
    width = max(len(verb.name) for verb in VERBS) + 3
    return "\n".join(
        [
            f"Usage:  {program} COMMAND",
            "",
            "Containers without a daemon, without root, without Docker",
            "",
            "Commands:",
            *(f"  {verb.name:<{width}}{verb.summary}" for verb in VERBS),
            "",
            f"Run '{program} COMMAND --help' for more information on a command.",
        ]
    )
