"""How an image's caption changes from step to step, by the options of a run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hakubooru.caption.change import chance

if TYPE_CHECKING:
    from hakubooru.caption import CaptionChange
    from hakubooru.caption.change import Sides
    from hakubooru_trainer.config.data import CaptionOptions
    from hakubooru_trainer.data.samples import Sample


class StepCaptions:
    """Makes the caption of an image at a step.

    Tags and sentences are mixed by chance, as Betker et al. mix captions ("Improving Image Generation with Better Captions", 2023);
    a line of several is taken as by sd-scripts' `enable_wildcard`.

    Args:
        options: the section `[captions]`.
    """

    def __init__(self, options: CaptionOptions) -> None:
        self.change = options
        self._whole = replace(options, drop_parts={}, text_only=0.0, tags_only=0.0)
        self._unchanged = options.unchanged()
        self._by_parts = options.tags == "general"

    def __call__(self, sample: Sample, seed: int) -> str:
        """The caption of an image at the step whose seed this is; "" if it is dropped."""
        name, texts = self._taken(sample, seed)
        if name == "caption":
            change, parts = self._rule(sample)
            text = change(texts[0], seed, parts)
        elif chance(seed, "caption") < self.change.drop_caption:
            text = ""
        else:
            text = texts[int(chance(seed, "line") * len(texts))]
        return sample.prefix + text if text else ""

    def unchanged(self, sample: Sample) -> str:
        """The usual caption of an image, with its prefix; nothing is shuffled or dropped."""
        _, parts = self._rule(sample)
        text = self._unchanged(self.tags(sample.caption), 0, parts)
        return sample.prefix + text if text else ""

    def sides(self, sample: Sample) -> Sides:
        """The tags of an image's caption: those that stay in place, and those that are shuffled and dropped."""
        change, parts = self._rule(sample)
        return change.sides(self.tags(sample.caption), parts)

    def tags(self, caption: str) -> str:
        """The part of a caption that is tags: its first line if the lines below are captions of their own, else all of it."""
        return caption.partition("\n")[0] if "lines" in self.change.mix else caption

    def _taken(self, sample: Sample, seed: int) -> tuple[str, list[str]]:
        """The name of the caption that a step takes, with its text; `lines` has several, of which one is taken."""
        mix = self.change.mix
        if not mix:
            return "caption", [sample.caption]
        texts = {name: [text] for name, text in sample.others.items() if text}
        texts["lines"] = [line.strip() for line in sample.caption.split("\n")[1:] if line.strip()]
        if tags := self.tags(sample.caption).strip():
            texts["caption"] = [tags]
        shares = {name: share for name, share in mix.items() if share and texts.get(name)}
        rest = chance(seed, "mix") * sum(shares.values())
        for name, share in shares.items():
            if rest < share:
                return name, texts[name]
            rest -= share
        return "caption", texts.get("caption", [""])

    def _rule(self, sample: Sample) -> tuple[CaptionChange, str | None]:
        # Your own images, and captions corrected by hand, have no parts.
        if not self._by_parts or sample.parts is None:
            return self._whole, None
        return self.change, sample.parts
