"""The command line as its users meet it: with exit codes, and errors in one sentence."""

import sys

from click.testing import CliRunner

from hakubooru_cli.main import cli
from hakubooru_cli.shell import run


def call(*arguments):
    """Exit code, standard output and standard error of a command line."""
    result = CliRunner().invoke(_whole_command, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


class _WholeCommand:
    """The command as `main` runs it, with what `run` makes of errors."""

    name = "hakubooru"

    def main(self, args, prog_name, **_):
        previous, sys.argv = sys.argv, [prog_name, *args]
        try:
            sys.exit(run(cli, "hakubooru"))
        finally:
            sys.argv = previous


_whole_command = _WholeCommand()
