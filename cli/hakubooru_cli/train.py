"""The command `hakubooru-train`, with its subcommands."""

from __future__ import annotations

import sys
from typing import Final

import click

import hakubooru
from hakubooru_cli.shell import run as run_command
from hakubooru_cli.training.common import need
from hakubooru_cli.training.evaluation import evaluate
from hakubooru_cli.training.model import combine, convert, merge, sample, tiny_model
from hakubooru_cli.training.run import init, plan, run

NEEDED: Final = ("torch", "diffusers", "transformers", "lycoris", "bitsandbytes", "safetensors")
"""The import names of the packages that the extra `train` installs."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(hakubooru.__version__, prog_name="hakubooru-train")
def cli() -> None:
    """Fine-tune SDXL with LoKr on the data sets that `hakubooru export` writes.

    New here? docs/tutorial.md trains a tiny model in a minute, without a GPU. `init` writes a first configuration for
    your images, `plan` says what it will do, and `run` does it.

    Exit codes: 0 done, 1 failed, 2 wrong input, 130 interrupted.
    """
    need(NEEDED, "hakubooru-train", "train")


for command in (init, run, plan, tiny_model, merge, combine, convert, sample, evaluate):
    cli.add_command(command)


def main() -> None:
    """Run `hakubooru-train` with the arguments of this process, and exit with its code."""
    sys.exit(run_command(cli, "hakubooru-train"))


if __name__ == "__main__":  # `run --gpus` starts its ranks this way
    main()
