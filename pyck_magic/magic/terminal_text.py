"""What a program writes for a terminal, made fit for a cell. Pure.

Runs in: the notebook kernel.
"""

# Everything a terminal might obey except backspace, tab, newline, return and escape, which front ends understand.
_OBEYED = "\b\t\n\r\x1b"
_NOISE = {number: "\ufffd" for number in (*range(32), *range(127, 160)) if chr(number) not in _OBEYED}


def visible(text: str) -> str:
    """The text with the control characters of binary noise replaced by U+FFFD."""
    return text if text.isprintable() else text.translate(_NOISE)


def collapse(text: str) -> str:
    r"""The text with what a carriage return overwrote left out: of a thousand rewrites of a progress bar, the last.

    A `\r` at the beginning stays, for it overwrites what an earlier piece has written.
    """
    if "\r" not in text:
        return text
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(_last_state(line, first=number == 0) for number, line in enumerate(lines))


def _last_state(line: str, *, first: bool) -> str:
    if "\r" not in line:
        return line
    shown = ""
    for part in line.split("\r"):
        # A shorter text leaves the end of a longer one standing. Escapes have no width, so then only the last counts.
        shown = part + shown[len(part) :] if "\x1b" not in part and "\x1b" not in shown else part or shown
    return ("\r" if first else "") + shown
