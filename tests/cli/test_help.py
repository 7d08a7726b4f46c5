"""Every command says what it does and what its options mean, and stays a shell: parse, call, print."""

from __future__ import annotations

import click
import pytest

from hakubooru_cli.main import cli


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
    assert sum(isinstance(option, click.Option) for option in COMMANDS[name].params) <= 13
