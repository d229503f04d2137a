"""Sizes, ages and columns look as Docker prints them.

Runs in:    pytest.
"""

from datetime import UTC, datetime, timedelta

import pytest

from pyck_magic.commands import Table, draw
from pyck_magic.commands.layouts import table_lines

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"), (1, "1B"), (999, "999B"), (1000, "1kB"), (1234, "1.23kB"), (4_261_550, "4.26MB"), (72_900_000, "72.9MB"),
        (396_000_000, "396MB"), (999_600, "1MB"), (1_400_000_000, "1.4GB"), (10**15, "1PB"),
    ],
)  # fmt: skip
def test_sizes_are_decimal_with_three_digits(size: int, text: str) -> None:
    """As in `docker images`."""
    assert draw.human_size(size) == text


def test_memory_is_binary() -> None:
    """As in `docker info`."""
    assert draw.human_memory(16_768_303_104) == "15.62GiB"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (119, "About a minute"),
        (120, "2 minutes"), (3599, "59 minutes"), (3600, "About an hour"), (5399, "About an hour"), (5400, "2 hours"),
        (47 * 3600, "47 hours"), (48 * 3600, "2 days"), (13 * 86400, "13 days"), (14 * 86400, "2 weeks"),
        (59 * 86400, "8 weeks"), (60 * 86400, "2 months"), (729 * 86400, "24 months"), (730 * 86400, "2 years"),
        (-5, "Less than a second"),
    ],
)  # fmt: skip
def test_durations_are_in_dockers_words(seconds: float, text: str) -> None:
    """The limits at which Docker changes the unit."""
    assert draw.human_duration(seconds) == text


def test_states_read_as_in_docker_ps() -> None:
    """Running, ended, and never started."""
    then = NOW - timedelta(minutes=2)
    assert draw.status("running", None, NOW - timedelta(seconds=5), None, NOW) == "Up 5 seconds"
    assert draw.status("exited", 137, then, then, NOW) == "Exited (137) 2 minutes ago"
    assert draw.status("created", None, None, None, NOW) == "Created"


def test_images_are_laid_out_as_docker_does() -> None:
    """The same columns, widths and words, blank for blank."""
    rows = (
        ("alpine", "3.20", "a606584aa9aa", NOW - timedelta(days=15), 7_800_000),
        ("localhost:5000/blast", "latest", "0123456789ab", None, 396_000_000),
    )
    columns = ("repository", "tag", "image_id", "created", "size")
    table = Table(kind="images", columns=columns, rows=rows, key="image_id")
    assert table_lines(table, NOW) == [
        "REPOSITORY             TAG       IMAGE ID       CREATED       SIZE",
        "alpine                 3.20      a606584aa9aa   2 weeks ago   7.8MB",
        "localhost:5000/blast   latest    0123456789ab   N/A           396MB",
    ]


def test_an_empty_list_is_its_heading() -> None:
    """docker images with no image at all."""
    table = Table(kind="images", columns=("repository", "tag", "image_id", "created", "size"), rows=(), key="image_id")
    assert table_lines(table, NOW) == ["REPOSITORY   TAG       IMAGE ID   CREATED   SIZE"]


def test_long_commands_are_cut_unless_all_is_wanted() -> None:
    """Twenty characters in `ps`, forty-five in `history`."""
    columns = ("container_id", "image", "command", "created", "status", "exit_code", "started", "finished", "names")
    row = ("0123456789ab", "alpine", "sh -c 'sleep 100000'", NOW, "running", None, NOW, None, "calm_crick")
    longer = (row[0], row[1], "sh -c 'sleep 1000000'", *row[3:])

    def shown(full: bool) -> list[str]:
        return table_lines(Table(kind="containers", columns=columns, rows=(row, longer), key="container_id", full=full), NOW)

    assert "\"sh -c 'sleep 100000'\"" in shown(False)[1]
    assert "\"sh -c 'sleep 100000…\"" in shown(False)[2]
    assert "\"sh -c 'sleep 1000000'\"" in shown(True)[2]
    assert shown(False)[0].split() == ["CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]


def test_strangers_cannot_command_the_terminal() -> None:
    """A tag or a history with escape sequences is shown, not obeyed."""
    row = ("evil\x1b]0;title\x07", NOW, None, "linux/amd64", "sha256:00\x9b2J")
    table = Table(kind="tags", columns=("tag", "created", "size", "platforms", "digest"), rows=(row,), key="tag")
    text = "\n".join(table_lines(table, NOW))
    assert "\x1b" not in text and "\x07" not in text and "\x9b" not in text
    assert "evil\\x1b]0;title\\x07" in text
