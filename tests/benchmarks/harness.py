"""Run contestants in turn, in random order, and make a table of what they needed.

Runs in:    the benchmark's process.

    table = Table("Start of `true`", ours="pyck", goals={"docker": 25})
    race(table, {"pyck": start_ours, "docker": start_docker}, rounds=25)
    print(table)

A contestant is a function that does the thing once; its wall time counts. One that times itself returns seconds. One
that fails, or raises Absent, is left out and the table says why.
"""

import datetime
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Contestant = Callable[[], float | None]


class Absent(Exception):
    """This contestant cannot take part here; the text says why."""


@dataclass
class Table:
    """Times by contestant, printed as Markdown. `ours` is what the ratios are against; `factor` turns seconds into `unit`.

    `goals` says for a contestant how many times slower than us it has to be: the goal of the row "docker" being 25
    means that we must need at most 1/25 of docker's time.
    """

    title: str
    ours: str
    unit: str = "ms"
    factor: float = 1000.0
    goals: Mapping[str, float] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def median(self, name: str) -> float:
        """The contestant's median in the table's unit."""
        return statistics.median(self.seconds[name]) * self.factor

    def ratio(self, name: str) -> float:
        """How many times our time this contestant needs."""
        return self.median(name) / self.median(self.ours)

    def __str__(self) -> str:
        lines = [f"### {self.title}", "", f"| who | median {self.unit} | p90 | × ours | goal |"]
        lines.append("| --- | ---: | ---: | ---: | --- |")
        for name in sorted(self.seconds, key=self.median):
            ranked = sorted(self.seconds[name])
            p90 = ranked[min(len(ranked) - 1, int(len(ranked) * 0.9))] * self.factor
            shown = f"**{name}**" if name == self.ours else name
            times, goal = "", ""
            if name != self.ours and self.seconds.get(self.ours):
                times = f"{self.ratio(name):.1f}"
                if name in self.goals:
                    met = "met" if self.ratio(name) >= self.goals[name] else "**missed**"
                    goal = f"≥ {self.goals[name]:.3g}: {met}"
            lines.append(f"| {shown} | {self.median(name):.1f} | {p90:.1f} | {times} | {goal} |")
        lines += [f"| {name} | – | | | not run: {why} |" for name, why in self.absent.items()]
        return "\n".join([*lines, ""])


def race(
    table: Table,
    contestants: Mapping[str, Contestant],
    *,
    rounds: int,
    warm_up: int = 1,
    between: Callable[[], None] | None = None,
) -> None:
    """Let everybody run `rounds` times, in a new random order each round, after `warm_up` runs that do not count."""
    able = dict(contestants)
    for turn in range(-warm_up, rounds):
        progress(f"{table.title}: round {turn + 1} of {rounds}")
        for name in random.sample(list(able), len(able)):
            if between and turn >= 0:
                between()
            try:
                seconds = once(able[name])
            except Exception as error:  # a rival that cannot run here must not end the table
                del able[name]
                table.seconds.pop(name, None)
                table.absent[name] = (str(error).strip() or type(error).__name__).splitlines()[-1][-150:]
            else:
                if turn >= 0:
                    table.seconds.setdefault(name, []).append(seconds)
    progress("")


def once(run: Contestant) -> float:
    """The seconds of one run."""
    began = time.perf_counter()
    own = run()
    return time.perf_counter() - began if own is None else own


def machine() -> str:
    """Where and when: absolute times mean little without it."""
    cpu = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in cpu if line.startswith("model name")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{datetime.date.today():%Y-%m-%d}, {os.cpu_count()} cores {model}, {memory:.0f} GB, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}, uid {os.geteuid()}"
    )


def progress(text: str) -> None:
    """One line on a terminal that is written over, nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
