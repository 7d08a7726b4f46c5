"""The configuration of a training run: a TOML file, read into frozen dataclasses."""

from hakubooru.settings import Problems
from hakubooru_trainer.config.options import Options
from hakubooru_trainer.config.read import dump, help_text, load

__all__ = ["Options", "Problems", "dump", "help_text", "load"]
