"""Random pictures: a scene and its people, chosen from real, harmless tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

T = TypeVar("T")

HAIR: Final = {
    "blonde_hair": "#f2d478",
    "black_hair": "#3a3644",
    "brown_hair": "#8a5a3c",
    "aqua_hair": "#63cfd0",
    "pink_hair": "#f3a6c0",
    "purple_hair": "#9a7fc9",
    "white_hair": "#eceaf2",
    "red_hair": "#c9483f",
    "green_hair": "#7fb98a",
    "blue_hair": "#6f93d6",
}
EYES: Final = {
    "blue_eyes": "#4b8fe0",
    "red_eyes": "#d04a55",
    "green_eyes": "#4fa97a",
    "brown_eyes": "#8f5f3f",
    "purple_eyes": "#8f66c4",
    "yellow_eyes": "#d9a93c",
    "aqua_eyes": "#3fb8bd",
}
CLOTHES: Final = {
    "serafuku": "#f4f5fb",
    "white_dress": "#fbf7f0",
    "kimono": "#c4576b",
    "hoodie": "#7d8fb3",
    "sweater": "#d8b48c",
    "dress": "#7b5ea7",
}
LENGTHS: Final = ("long_hair", "short_hair", "very_long_hair", "twintails", "ponytail")
FACES: Final = ("smile", "open_mouth", "closed_mouth", ":d", "^_^", ":3", "o_o")
EXTRAS: Final = ("hair_ribbon", "witch_hat", "cat_ears", "glasses")
SCENES: Final = {
    "day": ("outdoors", "sky", "cloud", "blue_sky", "mountain"),
    "sunset": ("outdoors", "sky", "sunset", "cloud", "horizon"),
    "night": ("outdoors", "night", "night_sky", "star_(sky)", "full_moon"),
    "sea": ("outdoors", "ocean", "beach", "blue_sky", "horizon"),
    "snow": ("outdoors", "snow", "snowing", "tree"),
    "spring": ("outdoors", "cherry_blossoms", "petals", "tree"),
    "plain": ("simple_background", "white_background"),
    "pastel": ("simple_background", "pink_background", "gradient_background"),
}
COLOURS: Final = HAIR | EYES | CLOTHES


@dataclass(frozen=True)
class Character:
    """A real character."""

    series: tuple[str, ...]
    """The copyright tags of the character's series."""
    looks: tuple[str, ...]
    """The general tags for the character's looks."""


CHARACTERS: Final = {
    "hatsune_miku": Character(("vocaloid",), ("aqua_hair", "aqua_eyes", "twintails", "dress")),
    "kagamine_rin": Character(("vocaloid",), ("blonde_hair", "blue_eyes", "short_hair", "serafuku")),
    "hakurei_reimu": Character(("touhou",), ("black_hair", "red_eyes", "long_hair", "kimono", "hair_ribbon")),
    "kirisame_marisa": Character(
        ("touhou",), ("blonde_hair", "yellow_eyes", "long_hair", "dress", "witch_hat")
    ),
    "cirno": Character(("touhou",), ("blue_hair", "blue_eyes", "short_hair", "dress", "hair_ribbon")),
    "artoria_pendragon_(fate)": Character(
        ("fate_(series)", "fate/stay_night"), ("blonde_hair", "green_eyes", "ponytail", "white_dress")
    ),
    "rem_(re:zero)": Character(
        ("re:zero_kara_hajimeru_isekai_seikatsu",), ("blue_hair", "blue_eyes", "short_hair", "dress")
    ),
    "frieren": Character(("sousou_no_frieren",), ("white_hair", "green_eyes", "twintails", "white_dress")),
}


@dataclass(frozen=True)
class Person:
    """A person in a picture, described by tags."""

    hair: str
    length: str
    eyes: str
    clothes: str
    face: str
    extra: str | None = None
    blush: bool = False
    name: str | None = None
    boy: bool = False

    @property
    def tags(self) -> list[str]:
        """The general tags for the person's looks."""
        tags = [self.hair, self.length, self.eyes, self.clothes, self.face]
        if self.extra:
            tags.append(self.extra)
        if self.face in {":d", "^_^"}:
            tags.append("smile")
        return [*tags, "blush"] if self.blush else tags


@dataclass(frozen=True)
class Picture:
    """A scene and the people in it."""

    scene: str
    people: tuple[Person, ...]

    @property
    def general_tags(self) -> list[str]:
        """The general tags of the picture, each once, sorted as Danbooru sorts them."""
        girls = sum(not person.boy for person in self.people)
        boys = len(self.people) - girls
        tags = [*SCENES[self.scene]]
        if not self.people:
            tags += ["no_humans", "scenery"]
        tags += [
            f"{count}{noun}{'s' * (count > 1)}" for count, noun in ((girls, "girl"), (boys, "boy")) if count
        ]
        tags += ["multiple_girls"] * (girls > 1) + ["male_focus"] * (boys > 0 and not girls)
        tags += ["solo", "looking_at_viewer", "upper_body"] if len(self.people) == 1 else []
        for person in self.people:
            tags += person.tags
        return sorted(set(tags))

    @property
    def characters(self) -> list[str]:
        """The character tags of the picture."""
        return sorted({person.name for person in self.people if person.name})

    @property
    def series(self) -> list[str]:
        """The copyright tags of the picture; `original` if it has no real character."""
        series = {tag for name in self.characters for tag in CHARACTERS[name].series}
        return sorted(series) or ["original"]


def pick(draw: random.Random, choices: Sequence[T]) -> T:
    """Return a random choice; it uses `random()` alone, whose results are the same in every version of Python."""
    return choices[int(draw.random() * len(choices))]


def compose(draw: random.Random) -> Picture:
    """Return a random picture."""
    scene = pick(draw, list(SCENES))
    lot = draw.random()
    count = 0 if lot < 0.08 and scene not in {"plain", "pastel"} else 1 if lot < 0.85 else 2
    return Picture(scene, tuple(_person(draw) for _ in range(count)))


def _person(draw: random.Random) -> Person:
    looks = {
        "hair": pick(draw, list(HAIR)),
        "length": pick(draw, LENGTHS),
        "eyes": pick(draw, list(EYES)),
        "clothes": pick(draw, list(CLOTHES)),
        "face": pick(draw, FACES),
        "extra": pick(draw, EXTRAS) if draw.random() < 0.4 else None,
    }
    blush = draw.random() < 0.4
    if draw.random() < 0.45:
        name = pick(draw, list(CHARACTERS))
        kinds = {"hair": HAIR, "length": LENGTHS, "eyes": EYES, "clothes": CLOTHES, "extra": EXTRAS}
        for look in CHARACTERS[name].looks:
            looks |= {kind: look for kind, tags in kinds.items() if look in tags}
        return Person(**looks, blush=blush, name=name)  # type: ignore[arg-type] # each look is of its kind
    boy = draw.random() < 0.2
    if boy:
        looks |= {"length": "short_hair", "extra": None, "clothes": pick(draw, ("hoodie", "sweater"))}
    return Person(**looks, blush=blush, boy=boy)  # type: ignore[arg-type]
