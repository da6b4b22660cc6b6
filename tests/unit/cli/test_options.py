"""Long lines are wrapped between words on a terminal, and only there."""

import sys

import pytest

import hpo
from hpo.cli import options

SENTENCE = "Expect accuracy 0.977 (90 % interval 0.960 to 0.995): 0.981 in the search → 0.977 on new splits."
ADDRESS = "http://hpo.localhost:5000/#/experiments/1/runs?viewStateShareKey=3bf4a5dd270c4277928b6c8ad36912e7"


@pytest.mark.parametrize("width", [20, 40, 80])
def test_no_word_is_cut(width):
    lines = options.wrapped(SENTENCE, width)
    assert " ".join(lines) == SENTENCE
    assert all(len(line) <= width for line in lines)
    assert len(lines) > 1


def test_the_indent_is_kept():
    assert {line[:2] for line in options.wrapped("  " + SENTENCE, 40)} == {"  "}


def test_an_address_stays_whole():
    assert options.wrapped(f"         {ADDRESS}", 40) == [f"         {ADDRESS}"]


@pytest.mark.parametrize("line", ["", "short", "  a   table   row"])
def test_a_line_that_fits_is_left_as_it_is(line):
    assert options.wrapped(line, 40) == [line]


@pytest.mark.parametrize("terminal", [False, True])
def test_lines_are_wrapped_on_a_terminal_only(capsys, monkeypatch, terminal):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    options.print_lines([SENTENCE])
    assert (len(capsys.readouterr().out.splitlines()) > 1) == terminal


def test_completion_of_the_package_offers_the_public_function():
    assert dir(hpo) == ["search"]
