"""Prompts, sizes, seeds and batches of pictures."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hakubooru.errors import CaptionFormatError
from hakubooru_trainer.evaluate.characters import Character
from hakubooru_trainer.evaluate.options import DrawingOptions, PromptOptions
from hakubooru_trainer.evaluate.pictures import Wording, pictures_of

MIKU = Character("hatsune_miku", 9, 9, ("1girl",), ("vocaloid",))
SABER = Character("artoria_pendragon_(fate)", 9, 9, ("1girl",), ("fate_(series)", "fate/stay_night"))


@pytest.mark.parametrize(
    ("caption", "tags", "prompt"),
    [
        ("kohaku-epsilon", (), "1girl, artoria pendragon (fate), fate (series), fate/stay night, masterpiece"),
        ("kohaku-delta", ("solo",), "1girl, artoria pendragon (fate), fate (series), fate/stay night, masterpiece, solo"),
        ("webui", (), r"1girl, artoria pendragon \(fate\), fate \(series\), fate/stay night, masterpiece"),
        ("danbooru", ("solo",), "1girl artoria_pendragon_(fate) fate_(series) fate/stay_night solo"),
    ],
)  # fmt: skip
def test_prompts_are_worded_as_the_models_captions_were(caption, tags, prompt):
    wording = Wording(PromptOptions(caption=caption, tags=tags))
    assert wording.prompt(SABER) == prompt
    assert wording.tags(SABER) == ("1girl", SABER.name, *SABER.series, *tags)


def test_a_format_of_ones_own_has_its_words(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[caption]\norder = ["quality", "character", "keep", "general"]\nbefore = "anime"\n')
    assert Wording(PromptOptions(caption=str(path))).prompt(MIKU) == "anime, masterpiece, hatsune miku, 1girl"
    with pytest.raises(CaptionFormatError, match="did you mean 'kohaku-epsilon'"):
        Wording(PromptOptions(caption="kohaku-epsilom"))


def test_sizes_are_those_of_the_nearest_buckets():
    assert DrawingOptions().sizes() == [(832, 1216), (896, 1152), (1024, 1024), (896, 1152)]
    assert DrawingOptions(area=512 * 512, shapes=("2:3", "16:9")).sizes() == [(384, 640), (640, 384)]


@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 6))
def test_batches_hold_every_picture_once_and_one_size_each(count, images, size):
    cast = [Character(f"hero_{number}", 9, 9, (), ()) for number in range(count)]
    batches = pictures_of(cast, Wording(PromptOptions()), DrawingOptions(images=images, batch=size))
    every = [picture for batch in batches for picture in batch]
    assert (
        len(every)
        == len({picture.path for picture in every})
        == len({picture.seed for picture in every})
        == count * images
    )
    for batch in batches:
        assert 1 <= len(batch) <= size
        assert len({(picture.width, picture.height, picture.number) for picture in batch}) == 1
    assert {(picture.place, picture.number) for picture in every} == {
        (p, n) for p in range(count) for n in range(images)
    }


def test_seeds_depend_on_character_and_number_alone():
    wording = Wording(PromptOptions())

    def seeds(cast, **options):
        batches = pictures_of(cast, wording, DrawingOptions(**options))
        return {
            (cast[picture.place].name, picture.number): picture.seed for batch in batches for picture in batch
        }

    alone, together = seeds([SABER], images=2), seeds([MIKU, SABER], images=3, batch=1, area=512 * 512)
    assert all(together[key] == seed for key, seed in alone.items())
    # The numbers that people's pictures began with must not change.
    assert seeds([MIKU], images=2) == {
        ("hatsune_miku", 0): 6362227399027109523,
        ("hatsune_miku", 1): 1993694700454428868,
    }
