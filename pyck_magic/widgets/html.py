"""What all our HTML has in common: colours of the theme it is shown in, escaping, sizes. Pure.

Runs in: the notebook kernel. No scripts, no addresses: it looks the same in an untrusted notebook, in nbconvert, and offline.
"""

from html import escape

MUTED = "color:var(--jp-ui-font-color2,var(--vscode-descriptionForeground,GrayText))"
MONOSPACE = "font-family:var(--jp-code-font-family,monospace)"
SMALL = "font-size:var(--jp-ui-font-size1,13px)"
WARNING = "color:var(--jp-warn-color0,var(--vscode-editorWarning-foreground,#b45309))"
ERROR = "color:var(--jp-error-color1,var(--vscode-errorForeground,#c5221f))"

__all__ = ["ERROR", "MONOSPACE", "MUTED", "SMALL", "WARNING", "duration", "element", "escape", "memory", "size"]


def element(tag: str, inside: str, style: str = "", **attributes: object) -> str:
    """An element; `inside` is HTML already, attributes are escaped here."""
    given = {"style": style} | attributes if style else attributes
    words = "".join(f' {name.replace("_", "-")}="{escape(str(value))}"' for name, value in given.items())
    return f"<{tag}{words}>{inside}</{tag}>"


def size(count: float) -> str:
    """Bytes in decimal units: `163 MB`."""
    return _scaled(count, 1000.0, ("B", "kB", "MB", "GB", "TB"))


def memory(count: float) -> str:
    """Bytes in binary units: `46.1 MiB`."""
    return _scaled(count, 1024.0, ("B", "KiB", "MiB", "GiB", "TiB"))


def _scaled(count: float, base: float, units: tuple[str, ...]) -> str:
    step = 0
    while step < len(units) - 1 and float(f"{count:.3g}") >= base:
        count /= base
        step += 1
    return f"{count:.0f} {units[step]}" if step == 0 or count >= 100 else f"{count:.3g} {units[step]}"


def duration(seconds: float) -> str:
    """`0.004 s`, `1.24 s`, `12.3 s`, `3 min 05 s`."""
    if seconds < 0.1:
        return f"{seconds:.3f} s"
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
