"""How an image's caption changes from step to step, by the options of a run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hakubooru.caption import CaptionChange
    from hakubooru.caption.change import Sides
    from hakubooru_trainer.config.data import CaptionOptions
    from hakubooru_trainer.data.samples import Sample


class StepCaptions:
    """Makes the caption of an image at a step.

    Args:
        options: the section `[captions]`.
    """

    def __init__(self, options: CaptionOptions) -> None:
        self.change = options
        self._whole = replace(options, drop_parts={}, text_only=0.0, tags_only=0.0)
        self._by_parts = options.tags == "general"

    def __call__(self, sample: Sample, seed: int) -> str:
        """The caption of an image at the step whose seed this is."""
        change, parts = self._rule(sample)
        return change(sample.caption, seed, parts)

    def sides(self, sample: Sample) -> Sides:
        """The tags of an image's caption: those that stay in place, and those that are shuffled and dropped."""
        change, parts = self._rule(sample)
        return change.sides(sample.caption, parts)

    def _rule(self, sample: Sample) -> tuple[CaptionChange, str | None]:
        # Your own images, and captions corrected by hand, have no parts.
        if not self._by_parts or sample.parts is None:
            return self._whole, None
        return self.change, sample.parts
