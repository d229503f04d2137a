"""How a pull looks: while it moves, when it is over, and as plain text. Pure.

Runs in: the notebook kernel.
"""

from dataclasses import dataclass, field

from pyck_magic.model.events import Phase
from pyck_magic.widgets import html

_OVER = (Phase.DONE, Phase.ALREADY_HERE, Phase.FAILED)
_MOST = 16
_RATE_AFTER_S = 0.2
_CELL = "padding:1px 12px 1px 0;text-align:left;background:none;border:none"
_NUMBER = _CELL.replace("left", "right") + ";font-variant-numeric:tabular-nums"
_ACCENT = {
    Phase.DOWNLOADING: "var(--jp-brand-color1,var(--vscode-progressBar-background,#1976d2))",
    Phase.VERIFYING: "var(--jp-brand-color1,var(--vscode-progressBar-background,#1976d2))",
    Phase.UNPACKING: "var(--jp-info-color1,#0097a7)",
    Phase.ALREADY_HERE: "var(--jp-border-color1,#9e9e9e)",
    Phase.DONE: "var(--jp-success-color1,#388e3c)",
    Phase.FAILED: "var(--jp-error-color1,#c5221f)",
}


@dataclass(slots=True)
class LayerState:
    """A layer's latest event, and since when its bytes have been flowing."""

    layer: str
    total_bytes: int
    phase: Phase = Phase.WAITING
    done_bytes: int = 0
    resumed_from: int = 0
    note: str = ""
    since: float = 0.0
    from_bytes: int = 0

    def rate(self, now: float) -> str:
        """Bytes a second, once that can be told."""
        if self.phase != Phase.DOWNLOADING or now - self.since < _RATE_AFTER_S:
            return ""
        return f"{html.size((self.done_bytes - self.from_bytes) / (now - self.since))}/s"

    @property
    def share(self) -> float:
        """How much of it is here, from 0 to 1."""
        if self.phase in (Phase.DONE, Phase.ALREADY_HERE):
            return 1.0
        return min(1.0, self.done_bytes / self.total_bytes) if self.total_bytes else 0.0

    @property
    def fetched_bytes(self) -> int:
        """What came over the network for it, so far as its events tell."""
        if self.phase in (Phase.WAITING, Phase.ALREADY_HERE):
            return 0
        done = self.total_bytes if self.phase == Phase.DONE else self.done_bytes
        return max(0, done - self.resumed_from)


@dataclass(slots=True)
class PullState:
    """All that is known of a pull."""

    reference: str
    began: float
    digest: str = ""
    platform: str = ""
    served_by: str = ""
    note: str = ""
    interrupted: bool = False
    layers: list[LayerState] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Are all layers here?"""
        return bool(self.layers) and all(layer.phase in (Phase.DONE, Phase.ALREADY_HERE) for layer in self.layers)


def live(state: PullState, now: float) -> str:
    """The board while it moves: a bar, a phase, bytes and rate for each layer."""
    shown = most_telling(state.layers, _MOST)
    rows = "".join(_row(layer, now) for layer in shown)
    hidden = [layer for layer in state.layers if layer not in shown]
    if hidden:
        rows += _tr(_td(f"… {len(hidden)} more: {html.escape(_count(hidden))}", _CELL + ";" + html.MUTED, colspan=5))
    name = html.element("b", html.escape(state.reference))
    title = html.element("div", f"Pulling {name}{_quiet(_whence(state))}", role="status")
    note = html.element("div", html.escape(state.note), html.MUTED) if state.note else ""
    table = html.element("table", rows, "border-collapse:collapse;margin:4px 0")
    return html.element("div", title + table + note, html.SMALL)


def final(state: PullState, now: float) -> str:
    """What stays: the digest, and what each layer took, folded away."""
    head = html.element("b", html.escape(state.reference)) + " " + html.escape(_outcome(state, now))
    digest = html.element("div", html.escape(state.digest), f"{html.MONOSPACE};{html.MUTED}") if state.digest else ""
    rows = "".join(
        _tr(
            _td(html.escape(layer.layer), _CELL + ";" + html.MONOSPACE)
            + _td(html.escape(layer.phase.value))
            + _td(html.escape(html.size(layer.total_bytes)), _NUMBER)
            + _td(html.escape(_remark(layer)), _CELL + ";" + html.MUTED)
        )
        for layer in state.layers
    )
    count = f"{len(state.layers)} layer{'s' * (len(state.layers) != 1)}"
    summary = html.element("summary", count, html.MUTED + ";cursor:pointer")
    table = html.element("table", rows, "border-collapse:collapse;margin:4px 0")
    return html.element("div", html.element("div", head) + digest + html.element("details", summary + table), html.SMALL)


def final_text(state: PullState, now: float) -> str:
    """The same as plain text."""
    lines = [f"{state.reference} {_outcome(state, now)}", *([state.digest] if state.digest else [])]
    lines += [
        f"  {layer.layer}  {layer.phase.value:<12}  {html.size(layer.total_bytes):>8}  {_remark(layer)}".rstrip()
        for layer in state.layers
    ]
    return "".join(f"{_printable(line)}\n" for line in lines).rstrip("\n")


def most_telling(layers: list[LayerState], room: int) -> list[LayerState]:
    """Those that move first, then those that failed or wait, then those that are done; in the image's order."""
    ranked = sorted(layers, key=lambda layer: (layer.phase in _OVER, layer.phase == Phase.WAITING, layer.phase != Phase.FAILED))
    chosen = {id(layer) for layer in ranked[:room]}
    return [layer for layer in layers if id(layer) in chosen]


def _row(layer: LayerState, now: float) -> str:
    done = layer.total_bytes if layer.phase in (Phase.DONE, Phase.ALREADY_HERE) else layer.done_bytes
    counts = f"{html.size(done)} / {html.size(layer.total_bytes)}"
    return _tr(
        _td(html.escape(layer.layer), _CELL + ";" + html.MONOSPACE)
        + _td(_bar(layer))
        + _td(html.escape(layer.phase.value), _CELL + ";min-width:7em")
        + _td(html.escape(counts), _NUMBER)
        + _td(html.escape(layer.rate(now) or layer.note), _NUMBER + ";" + html.MUTED)
    )


def _bar(layer: LayerState) -> str:
    percent = round(layer.share * 100)
    colour = _ACCENT.get(layer.phase, "transparent")
    inner = html.element("div", "", f"width:{percent}%;height:100%;background:{colour};border-radius:3px")
    style = "width:160px;height:8px;border-radius:3px;background:var(--jp-layout-color3,rgba(128,128,128,.3));overflow:hidden"
    return html.element(
        "div", inner, style, role="progressbar", aria_label=f"layer {layer.layer}: {layer.phase.value}", aria_valuemin=0,
        aria_valuemax=100, aria_valuenow=percent,
    )  # fmt: skip


def _outcome(state: PullState, now: float) -> str:
    took = html.duration(now - state.began)
    here = [layer for layer in state.layers if layer.phase == Phase.ALREADY_HERE]
    if state.interrupted:
        kept = sum(layer.done_bytes for layer in state.layers if layer.phase not in _OVER)
        return f"was not pulled: stopped after {took}" + (f"; {html.size(kept)} are kept for the next attempt" if kept else "")
    if len(here) == len(state.layers):
        return f"is up to date ({took})"
    fetched = html.size(sum(layer.fetched_bytes for layer in state.layers))
    reused = f", {len(here)} of {len(state.layers)} layers were already here" if here else ""
    resumed = sum(layer.resumed_from for layer in state.layers if layer.phase != Phase.ALREADY_HERE)
    continued = f", {html.size(resumed)} from an earlier attempt" if resumed else ""
    return f"pulled in {took}: {fetched} fetched{reused}{continued}{_whence(state)}"


def _whence(state: PullState) -> str:
    served = f" from {state.served_by}" if state.served_by and not state.reference.startswith(state.served_by) else ""
    return f" ({state.platform}{served})" if state.platform else served



def _remark(layer: LayerState) -> str:
    resumed = f"{html.size(layer.resumed_from)} from an earlier attempt" if layer.resumed_from else ""
    return ", ".join(part for part in (resumed, layer.note) if part)


def _count(layers: list[LayerState]) -> str:
    counts = {phase.value: sum(layer.phase == phase for layer in layers) for phase in Phase}
    return ", ".join(f"{count} {phase}" for phase, count in counts.items() if count)


def _quiet(text: str) -> str:
    return html.element("span", html.escape(text), html.MUTED) if text else ""


def _printable(text: str) -> str:
    """Names and notes come from registries: nothing in them may speak to the terminal."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _tr(inside: str) -> str:
    return html.element("tr", inside, "background:none")


def _td(inside: str, style: str = _CELL, **attributes: object) -> str:
    return html.element("td", inside, style, **attributes)
