"""Notes are said once in a command and each time elsewhere, and options by the names of the place."""

import pytest

from rgdm.notes import command_line, option, say


def test_a_command_says_a_note_once_and_the_next_command_says_it_again(capsys):
    for _ in range(2):
        with command_line():
            for _ in range(3):
                say(["a", "b", "a"])
        assert capsys.readouterr().err.splitlines() == ["rgdm: note: a", "rgdm: note: b"]
    say(["a"])
    say(["a"])
    assert capsys.readouterr().err.splitlines() == ["rgdm: note: a"] * 2


def test_a_command_within_a_command_keeps_notes_of_its_own(capsys):
    with command_line():
        say(["a"])
        with command_line():
            say(["a"])
        say(["a"])
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_options_are_typed_in_commands_and_written_in_python():
    with pytest.raises(ZeroDivisionError), command_line():
        assert option("--fill") == "--fill" and option("--areas FILE", "areas=") == "--areas FILE"
        raise ZeroDivisionError
    for typed, written in (
        ("--fill", "fill=True"),
        ("--no-hold-back", "hold_back=False"),
        ("--levels 2", "levels=2"),
        ("--objective velocity", "objective='velocity'"),
    ):
        assert option(typed) == written
    assert option("--areas FILE", "areas=") == "areas="
