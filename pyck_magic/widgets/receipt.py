"""The line below a cell's output: how the run ended, what it took, and which image it was. Static.

Runs in: the notebook kernel.
"""

from pyck_magic.model.result import Result
from pyck_magic.widgets import html

_ISOLATING = ("root", "userns")


def bundle(result: Result) -> dict[str, str]:
    """The receipt as text/html and text/plain."""
    facts, notes = _facts(result), _notes(result)
    line = " · ".join(html.escape(fact) for fact in facts)
    digest = html.element("span", html.escape(result.image_digest[:19]), html.MONOSPACE, title=result.image_digest)
    warned = "".join(f" · {html.element('span', html.escape(note), html.WARNING)}" for note in notes)
    shown = html.element("div", f"{line} {digest}{warned}", f"{html.MUTED};{html.SMALL};margin:2px 0")
    return {"text/html": shown, "text/plain": " · ".join([f"{' · '.join(facts)} {result.image_digest[:19]}", *notes])}


def metadata(result: Result) -> dict[str, object]:
    """The same for programs, in the output's metadata: where a result came from stays with it."""
    return {
        "pyck": {
            "image": result.image, "image_id": result.image_id, "image_digest": result.image_digest,
            "exit_code": result.exit_code, "wall_s": round(result.usage.wall_s, 6), "cpu_s": round(result.usage.cpu_s, 6),
            "peak_memory_bytes": result.usage.peak_memory_bytes,
        }
    }  # fmt: skip


def _facts(result: Result) -> list[str]:
    usage = result.usage
    # A process starts as a copy of its parent, so what is smaller than the engine cannot be told apart.
    peak = f"peak {'< ' if usage.peak_memory_is_floor else ''}{html.memory(usage.peak_memory_bytes)}"
    ended = f"exit {result.exit_code}" + (f" ({result.reason})" if result.reason else "")
    return [ended, html.duration(usage.wall_s), f"CPU {html.duration(usage.cpu_s)}", peak, result.image]


def _notes(result: Result) -> list[str]:
    isolated = [] if result.mode in _ISOLATING else ["not isolated"]
    return [*isolated, *result.warnings]
