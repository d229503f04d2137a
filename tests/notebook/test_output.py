"""The output of a cell, in a real kernel: live, apart, in order, bounded, complete."""

from pathlib import Path

from tests.notebook.kernels import Kernel


def test_output_comes_while_the_cell_runs(kernel: Kernel) -> None:
    """The first line is there before the second is written; the program waits for a file to be sure."""
    go = kernel.folder / "go"

    def let_it_go_on(kind: str, content: dict[str, object]) -> bool:
        if kind == "stream" and "first" in str(content["text"]):
            go.touch()
            return True
        return False

    cell = "%%container {tiny}\necho first; while [ ! -e go ]; do sleep 0.01; done; echo second"
    outputs = kernel.run(cell, when=let_it_go_on)

    assert [content["text"] for content in outputs.of("stream")] == ["first\n", "second\n"]
    go.unlink()


def test_stdout_and_stderr_stay_apart_and_in_order(kernel: Kernel) -> None:
    """Two streams, as the program wrote them in turn."""
    outputs = kernel.run("%%container {tiny}\necho a; sleep 0.1; echo b >&2; sleep 0.1; echo c")

    assert [(content["name"], content["text"]) for content in outputs.of("stream")] == [
        ("stdout", "a\n"), ("stderr", "b\n"), ("stdout", "c\n"),
    ]  # fmt: skip


def test_a_torn_character_is_whole(kernel: Kernel) -> None:
    """Half a character, a pause, the other half, and more: IPython's %%script loses all from here on."""
    outputs = kernel.run(r"""%%container {tiny}
printf 'before \342'; sleep 0.3; printf '\202\254 after\n'; echo more""")

    assert outputs.text() == "before € after\nmore\n"


def test_colours_and_noise(kernel: Kernel) -> None:
    """ANSI colours reach the front end; random bytes do no harm and are whole in the variable."""
    assert kernel.run(r"""%%container {tiny}
printf '\033[31mred\033[0m\n'""").text() == "\x1b[31mred\x1b[0m\n"
    outputs = kernel.run("%%container {tiny} --out noise:bytes --tee\nhead -c 100000 /dev/urandom | tee noise.bin")

    assert outputs.text()
    assert kernel.value("noise == open('noise.bin', 'rb').read()") == "True"


def test_progress_bars_are_not_repeated(kernel: Kernel) -> None:
    """Two thousand rewrites of one line: few are sent, the last is right."""
    outputs = kernel.run(r"""%%container {tiny}
i=0; while [ $i -lt 2000 ]; do i=$((i+1)); printf "\r$i of 2000"; done; echo""")

    assert len(outputs.text()) < 2000
    assert outputs.text().endswith("2000 of 2000\n")


def test_a_flood_of_100_mb(kernel: Kernel) -> None:
    """The cell stays small and says where the rest is; --out has every byte; messages are few."""
    flood = "yes 0123456789abcdef | head -c 100000000"
    shown = kernel.run(f"%%container {{tiny}}\n{flood}")
    kept = kernel.run(f"%%container {{tiny}} --out flood:bytes\n{flood}")

    assert len(shown.text()) < 600_000
    assert "99.4 MB more, all of it in " in shown.text()
    assert len(shown.of("stream")) <= 10 * shown.seconds + 5
    log = Path(shown.text().partition("all of it in ")[2].partition(" …")[0])
    assert log.stat().st_size == 100_000_000
    log.unlink()
    assert kept.text() == ""
    assert kernel.value("len(flood), flood[:17], flood == flood[:17] * (len(flood) // 17 + 1)") == (
        "(100000000, b'0123456789abcdef\\n', False)"
    )
    assert kernel.value("flood == (flood[:17] * (len(flood) // 17 + 1))[:len(flood)]") == "True"
    kernel.run("del flood")


def test_capture_magics_see_the_output(kernel: Kernel) -> None:
    """%%capture and redirect_stdout work as with print."""
    kernel.run("""import contextlib, io
with contextlib.redirect_stdout(io.StringIO()) as caught:
    get_ipython().run_cell_magic("container", tiny + " -q", "echo caught")""")

    assert kernel.value("caught.getvalue()") == "'caught\\n'"


def test_the_body_and_the_line(kernel: Kernel) -> None:
    """In the body `$` and `{}` belong to the shell and to awk; on the line `{name}` is Python's and `$` is not."""
    kernel.run("name = 'with blank'")
    outputs = kernel.run("""%%container {tiny} -e A={name} -e 'B=$HOME'
echo "$A|$B|{name}|$((1 + 1))"; echo x y | awk '{print $2}'""")

    assert outputs.text() == "with blank|$HOME|{name}|2\ny\n"


def test_the_notebooks_directory_is_there(kernel: Kernel) -> None:
    """The cell works where the notebook is; what it leaves is in the notebook's folder."""
    outputs = kernel.run("%%container {tiny}\npwd; echo left > left.txt")

    assert outputs.text() == f"{kernel.folder}\n"
    assert (kernel.folder / "left.txt").read_text() == "left\n"


def test_a_receipt_follows_and_is_static(kernel: Kernel) -> None:
    """Exit, times, memory, image and digest, as HTML and as text; with -q nothing."""
    outputs = kernel.run("%%container {tiny}\ntrue")
    bundle = outputs.of("display_data")[-1]

    assert set(bundle["data"]) == {"text/html", "text/plain"}
    for fact in ("exit 0", "CPU", "peak", "tiny:latest", "sha256:"):
        assert fact in bundle["data"]["text/plain"]
    assert "<script" not in bundle["data"]["text/html"]
    assert bundle["metadata"]["pyck"]["exit_code"] == 0
    assert kernel.run("%%container {tiny} -q\ntrue").of("display_data") == []
