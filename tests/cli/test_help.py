"""Every command says what it does and what its options mean, and stays a shell: parse, call, print."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from hakubooru_cli.main import SUBCOMMANDS, cli
from hakubooru_cli.options import SelectionOption
from hakubooru_cli.train import cli as trainer


def test_the_list_of_subcommands_says_what_their_help_says():
    for name, subcommand in SUBCOMMANDS.items():
        assert cli.commands[name].name == name
        assert cli.commands[name].get_short_help_str(limit=100) == subcommand.summary


def test_a_subcommand_with_a_typing_error_is_named():
    result = CliRunner().invoke(cli, ["selct"])
    assert (result.exit_code, "Did you mean 'select'?" in result.stderr) == (2, True)


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
