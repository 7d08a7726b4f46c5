"""Every command says what it does and what its options mean, and stays a shell: parse, call, print."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from hakubooru_cli.main import cli
from hakubooru_cli.options import SelectionOption
from hakubooru_cli.train import cli as trainer


def commands(group, path=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands(cli))


@pytest.mark.parametrize("name", COMMANDS)
def test_has_help(name):
    command = COMMANDS[name]
    assert command.help
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name


@pytest.mark.parametrize("name", COMMANDS)
def test_has_no_more_options_than_can_be_learned(name):
    options = [each for each in COMMANDS[name].params if isinstance(each, click.Option)]
    selecting = [each for each in options if isinstance(each, SelectionOption)]
    assert len(options) - len(selecting) <= 13
    assert len(selecting) <= 11  # the same ones of every command that selects posts


def test_options_that_select_posts_are_shown_together():
    help_text = CliRunner().invoke(cli, ["select", "--help"]).stdout
    own, selecting = help_text.split("Options that select posts:")
    assert "--funnel" in own
    assert "--sample-per BY:N" in selecting
    assert "--sample-per" not in own


@pytest.mark.parametrize(
    ("program", "words"),
    [(cli, []), (cli, ["db"]), (trainer, [])],
    ids=["hakubooru", "db", "hakubooru-train"],
)
def test_the_list_of_commands_has_whole_sentences(program, words):
    help_text = CliRunner().invoke(program, [*words, "--help"], terminal_width=80).stdout
    assert "..." not in help_text.partition("Commands:")[2]
