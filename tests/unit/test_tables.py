"""Lists as DataFrames: for the eye as Docker shows them, for the program as what they are."""

from datetime import UTC, datetime, timedelta

import pandas as pd

from pyck_magic.commands import Table
from pyck_magic.magic.face import TextLines, value_of

THEN = datetime.now(UTC) - timedelta(days=21)
IMAGES = Table(
    kind="images",
    columns=("repository", "tag", "image_id", "created", "size"),
    rows=(("app", "1", "0123456789ab", THEN, 163_000_000), ("<b>x</b>", "2", "ba9876543210", None, 5)),
    key="image_id",
)


def test_values_are_real() -> None:
    """Sizes are integers, times aware timestamps, ids the index; a part of it is a plain DataFrame."""
    frame = value_of(IMAGES)

    assert isinstance(frame, pd.DataFrame)
    assert frame.index.name == "image_id"
    assert frame["size"].sum() == 163_000_005
    assert frame.created.iloc[0] == pd.Timestamp(THEN)
    assert frame.created.isna().tolist() == [False, True]
    assert type(frame[frame["size"] > 10]) is pd.DataFrame
    assert type(frame.sort_values("size")) is pd.DataFrame


def test_the_look_is_dockers() -> None:
    """Human sizes and ages, escaped."""
    frame = value_of(IMAGES)
    html = frame._repr_html_()  # type: ignore[attr-defined]

    for shown in (repr(frame), html):
        assert "163MB" in shown and "3 weeks ago" in shown
    assert "<b>x" not in html and "&lt;b&gt;x" in html


def test_columns_that_are_added_are_shown() -> None:
    """The look follows the frame."""
    frame = value_of(IMAGES)
    frame["mine"] = [1, 2]  # type: ignore[index]

    assert "mine" in repr(frame)


def test_an_empty_list_has_its_columns_and_types() -> None:
    """No images yet: the same columns, sums are zero."""
    frame = value_of(Table(kind="images", columns=IMAGES.columns, rows=(), key="image_id"))

    assert isinstance(frame, pd.DataFrame)
    assert frame["size"].sum() == 0
    assert str(frame.created.dtype).startswith("datetime64")


def test_lines_are_text_and_a_list() -> None:
    """`%container images -q` shows ids one a line and returns a list."""
    assert repr(TextLines(["a", "b"])) == "a\nb"
    assert TextLines(["a", "b"])[1] == "b"
