"""Docker's rules for options, and what is said about mistakes.

Runs in:    pytest.
"""

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pyck_magic.commands import complete, help_text, parse
from pyck_magic.commands.options import OPTIONS, VERBS, options_of
from pyck_magic.commands.run_options import run_options
from pyck_magic.model.errors import BadOption, BadRequest, PyckError
from pyck_magic.model.options import RunOptions, Volume


def options(*words: str) -> RunOptions:
    """The options of `run … alpine`."""
    return run_options(parse(["run", *words, "alpine"]), remove=False)


@pytest.mark.parametrize(
    "words",
    [["-e", "A=1"], ["-eA=1"], ["-e=A=1"], ["--env", "A=1"], ["--env=A=1"], ["-ie", "A=1"], ["-iqeA=1"]],
)
def test_every_spelling_of_an_option_means_the_same(words: list[str]) -> None:
    """pflag's spellings: apart, together, behind an equals sign, in a cluster of short flags."""
    assert options(*words).env == (("A", "1"),)


def test_options_of_run_end_at_the_image() -> None:
    """What follows the image belongs to the program, options and -- included."""
    parsed = parse(["run", "--rm", "alpine", "ls", "--rm", "-v", "--", "x"])
    assert parsed.operands == ("alpine", "ls", "--rm", "-v", "--", "x")
    assert dict(parsed.given) == {"rm": True}


def test_two_dashes_end_the_options() -> None:
    """An operand may look like an option after --."""
    assert parse(["rm", "--", "-f"]).operands == ("-f",)


def test_other_verbs_take_options_anywhere() -> None:
    """`rm name -f` is `rm -f name`."""
    assert parse(["rm", "one", "-f", "two"]).operands == ("one", "two")
    assert parse(["rm", "one", "-f"]).flag("force")


def test_a_flag_can_be_switched_off() -> None:
    """`--rm=false` is not `--rm`, and the last word counts."""
    assert options("--rm").remove is True
    assert options("--rm", "--rm=false").remove is False
    with pytest.raises(BadOption, match="must be true or false"):
        options("--rm=maybe")


def test_run_keeps_its_container_unless_told() -> None:
    """As docker run does."""
    assert options().remove is False


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["run", "--netwrok", "none", "alpine"], "unknown flag: --netwrok", "did you mean --network?"),
        (["run", "--zzz", "alpine"], "unknown flag: --zzz", "`run --help` lists them"),
        (["run", "-z", "alpine"], "unknown shorthand flag: 'z' in -z", "`run --help` lists them"),
        (["run", "-p", "80:80", "alpine"], "unknown shorthand flag: 'p' in -p", "port of this machine"),
        (["run", "-it", "alpine"], "unknown shorthand flag: 't' in -it", "-i alone"),
        (["run", "-e"], "flag needs an argument: 'e' in -e", "-e list"),
        (["images", "--format"], "flag needs an argument: --format", "--format string"),
        (["images", "--format", "xml"], 'invalid argument "xml" for "--format" flag: no such choice', "it is one of table, json"),
        (["run", "--pull", "maybe", "alpine"], "no such choice", "it is one of missing, always, never"),
        (["run", "--network", "bridge", "alpine"], "no such choice", "no network at all"),
        (["run", "--name", "-x", "alpine"], "a name is two or more", ""),
        (["run", "--hostname", "a b", "alpine"], "not a host name", ""),
        (["run", "--timeout", "soon", "alpine"], "not a length of time", "1h30m"),
        (["run", "--timeout", "0", "alpine"], "not a length of time", ""),
        (["run", "-w", "", "alpine"], "must not be empty", ""),
        (["run", "--platform", "toaster/none/at/all", "alpine"], "toaster", ""),
    ],
)  # fmt: skip
def test_a_wrong_option_is_one_clear_error(words: list[str], message: str, hint: str) -> None:
    """It says what is wrong in Docker's words, and what to do."""
    with pytest.raises(BadOption) as caught:
        parse(words)
    assert message in str(caught.value)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["ru"], "unknown command: ru", "did you mean run?"),
        (["pll", "x"], "unknown command: pll", "did you mean pull?"),
        (["qqqq"], "unknown command: qqqq", "`pyck help` lists the commands"),
        (["cell", "x"], "unknown command: cell", ""),
        (["run"], "'run' requires at least 1 argument", "run [OPTIONS] IMAGE"),
        (["pull"], "'pull' requires 1 argument", "pull [OPTIONS] NAME"),
        (["pull", "a", "b"], "'pull' requires 1 argument", ""),
        (["images", "a", "b"], "'images' requires at most 1 argument", ""),
        (["ps", "extra"], "'ps' accepts no arguments", "'extra'"),
    ],
)
def test_a_wrong_command_is_one_clear_error(words: list[str], message: str, hint: str) -> None:
    """Unknown verbs name the nearest one, and operands are counted."""
    with pytest.raises(BadRequest) as caught:
        parse(words)
    assert str(caught.value) == message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "volume"),
    [
        ("/a:/b", Volume(source="/a", target="/b")),
        ("/a:/b:ro", Volume(source="/a", target="/b", read_only=True)),
        ("/a:/b:rw,z", Volume(source="/a", target="/b")),
        ("data:/b", Volume(source="data", target="/b")),
        ("/b", Volume(source=None, target="/b")),
    ],
)
def test_volumes_are_read_as_docker_reads_them(text: str, volume: Volume) -> None:
    """A path, a name, or nothing for an anonymous one."""
    assert options("-v", text).volumes == (volume,)


def test_relative_sources_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`./data` is below the directory we are in, `~/data` below home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    found = options("-v", "./data:/a", "--volume=.:/b", "-v", "~/x:/c").volumes
    assert [volume.source for volume in found] == [f"{tmp_path}/data", str(tmp_path), "/home/somebody/x"]


@pytest.mark.parametrize(
    "text", ["", ":", "a:", ":/b", "/a:b", "/a:/b:xx", "/a:/b:ro:ro", "/a:/", "/a:/b:ro,rw", "da ta:/b", "a/b:/c"]
)
def test_bad_volumes_are_refused(text: str) -> None:
    """Before anything is started."""
    with pytest.raises(BadOption, match='for "-v, --volume" flag'):
        options("-v", text)


def test_variables_come_from_files_and_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--env wins over --env-file wherever it stands; a bare name takes the value it has here, or is left out."""
    monkeypatch.setenv("HERE", "yes")
    monkeypatch.delenv("NOWHERE", raising=False)
    file = tmp_path / "list"
    file.write_text("\ufeff# a comment\n\n  A=from file\nB=x=y # kept\nHERE\nNOWHERE\n", "utf-8")
    env = options("-e", "A=1", "--env-file", str(file), "-e", "NOWHERE", "-e", "EMPTY=").env
    assert dict(env) == {"A": "1", "B": "x=y # kept", "HERE": "yes", "EMPTY": ""}


@pytest.mark.parametrize("content", [b"a b=1\n", b"=1\n", b"A=\xff\n"])
def test_a_broken_env_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """With the name of the option in the message."""
    file = tmp_path / "list"
    file.write_bytes(content)
    with pytest.raises(BadOption, match="--env-file"):
        options("--env-file", str(file))


def test_a_missing_env_file_is_refused() -> None:
    """As any other bad value."""
    with pytest.raises(BadOption, match="No such file"):
        options("--env-file", "/nowhere/at/all")


@pytest.mark.parametrize(
    ("text", "seconds"), [("10", 10), ("1.5", 1.5), ("10s", 10), ("5m", 300), ("1h30m", 5400), ("250ms", 0.25)]
)
def test_timeouts_have_units(text: str, seconds: float) -> None:
    """Seconds when there is none."""
    assert options("--timeout", text).timeout_s == seconds


@pytest.mark.parametrize("text", ["", "-1", "1x", "s", "1..2", "nan", "inf", "5m3"])
def test_bad_timeouts_are_refused(text: str) -> None:
    """Nothing but a positive length of time will do."""
    with pytest.raises(BadOption):
        options(f"--timeout={text}")


def test_an_empty_entrypoint_takes_the_images_away() -> None:
    """Not giving one and giving an empty one are different things."""
    assert options().entrypoint is None
    assert options("--entrypoint", "").entrypoint == ()
    assert options("--entrypoint=sh").entrypoint == ("sh",)


words = some.lists(some.text(alphabet=string.ascii_letters + "-=:/.{} \0é", max_size=8), max_size=6)


@given(some.sampled_from([verb.name for verb in VERBS]), words)
def test_no_line_makes_the_parser_fail(verb: str, rest: list[str]) -> None:
    """Whatever is typed is understood or refused in words."""
    try:
        parse([verb, *rest])
    except PyckError as error:
        assert str(error)


def test_help_lists_every_option_of_every_verb() -> None:
    """The help is made from the table, in Docker's layout."""
    for verb in VERBS:
        text = help_text(verb.name)
        assert text.startswith(f"Usage:  pyck {verb.name}")
        for option in options_of(verb.name):
            assert f"--{option.name}" in text
        assert all(len(line) <= 100 for line in text.splitlines())
    assert "  -v, --volume list" in help_text("run")
    assert "      --rm  " in help_text("run")
    assert help_text("cell").startswith("Usage:  %%container [OPTIONS] IMAGE [OPTIONS]")
    assert all(f"\n  {verb.name} " in help_text() for verb in VERBS)


def test_no_verb_has_two_options_of_one_name() -> None:
    """Nor two of one letter."""
    for verb in {verb for option in OPTIONS for verb in option.verbs}:
        names = [option.name for option in options_of(verb)]
        shorts = [option.short for option in options_of(verb) if option.short]
        assert len(set(names)) == len(names)
        assert len(set(shorts)) == len(shorts)


def test_completion_knows_verbs_options_and_values() -> None:
    """What the last word could become."""
    assert complete(["i"]) == ["images", "inspect", "info"]
    assert complete(["run", "--ne"]) == ["--network"]
    assert complete(["run", "--network", ""]) == ["host", "none"]
    assert complete(["run", "--pull=a"]) == ["--pull=always"]
    assert complete(["--out"], "cell") == ["--out", "--output"]
    assert complete(["images", "alp"]) == []


@pytest.mark.parametrize("verb", ["stop", "exec", "logs", "build"])
def test_dockers_other_commands_say_what_to_do_instead(verb: str) -> None:
    """What people type because Docker has it is answered with what there is here."""
    with pytest.raises(BadRequest, match=f"unknown command: {verb}") as caught:
        parse([verb, "x"])
    assert len(caught.value.hint) > 30
