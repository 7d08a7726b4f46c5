"""Drawing pictures: a sky, the things in front of it, and people from the shoulders up."""

from __future__ import annotations

from colorsys import hls_to_rgb, rgb_to_hls
from math import cos, pi, sin
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageColor, ImageDraw, ImageFilter

from hakubooru_cli.miniature.cast import COLOURS, Person, Picture

if TYPE_CHECKING:
    import random

SKIN: Final = "#fde3d0"
LINE: Final = "#4b3b48"
_SMOOTHING: Final = 2  # drawn at twice the size and reduced, for soft edges

_SKIES: Final = {
    "day": ("#8cc8f2", "#e8f5fc"),
    "sunset": ("#5d5a9c", "#ffb184"),
    "night": ("#141a3a", "#454f8c"),
    "sea": ("#6fc0ea", "#eaf8fb"),
    "snow": ("#b9cadd", "#f3f7fb"),
    "spring": ("#a9d8f0", "#fdeff3"),
    "plain": ("#ffffff", "#f6f4f2"),
    "pastel": ("#fbd3df", "#fff3ea"),
}


def draw_picture(picture: Picture, size: tuple[int, int], lot: random.Random) -> Image.Image:
    """Draw a picture of `size` (width, height) pixels, RGB."""
    width, height = size[0] * _SMOOTHING, size[1] * _SMOOTHING
    image = _gradient(width, height, *_SKIES[picture.scene])
    if picture.scene in _SCENERY:
        _SCENERY[picture.scene](image, lot)
    people = picture.people
    # The more people, the smaller each; a landscape leaves room beside one.
    scale = min(height * 0.92, width * (1.15 if len(people) < 2 else 0.72))
    for place, person in enumerate(people):
        centre = width * (place + 1) / (len(people) + 1) + (lot.random() - 0.5) * width * 0.06
        _Figure(image, person, centre, height, scale).draw()
    if picture.scene in {"snow", "spring"}:
        _falling(image, "#ffffff" if picture.scene == "snow" else "#f7b7c9", lot)
    return image.reduce(_SMOOTHING)


def shade(colour: str, factor: float) -> str:
    """Return a colour made darker (factor below 1) or lighter (above 1)."""
    red, green, blue = (part / 255 for part in ImageColor.getrgb(colour)[:3])
    hue, light, saturation = rgb_to_hls(red, green, blue)
    parts = hls_to_rgb(hue, min(1.0, light * factor), saturation)
    return "#" + "".join(f"{round(part * 255):02x}" for part in parts)


def _gradient(width: int, height: int, top: str, bottom: str) -> Image.Image:
    mask = Image.linear_gradient("L").crop((0, 0, 1, 256)).resize((1, height))
    column = Image.composite(Image.new("RGB", (1, height), bottom), Image.new("RGB", (1, height), top), mask)
    return column.resize((width, height), Image.Resampling.NEAREST)


def _night(image: Image.Image, lot: random.Random) -> None:
    pen, (width, height) = ImageDraw.Draw(image), image.size
    for _ in range(90):
        _disc(
            pen, lot.random() * width, lot.random() * height * 0.8, 1 + lot.random() * width / 300, "#fdf6d8"
        )
    _disc(pen, width * (0.2 + 0.6 * lot.random()), height * 0.2, width * 0.09, "#fff3c4")
    _hills(image, ("#232a55", "#1a2046"), lot)


def _sunset(image: Image.Image, lot: random.Random) -> None:
    pen, (width, height) = ImageDraw.Draw(image), image.size
    _disc(pen, width * (0.25 + 0.5 * lot.random()), height * 0.62, width * 0.13, "#fff0c0")
    _clouds(image, "#ffd3b8", lot)
    _hills(image, ("#7a5a86", "#54406e"), lot)


def _day(image: Image.Image, lot: random.Random) -> None:
    _clouds(image, "#ffffff", lot)
    _hills(image, ("#8fb3c9", "#86b98a"), lot)


def _sea(image: Image.Image, lot: random.Random) -> None:
    pen, (width, height) = ImageDraw.Draw(image), image.size
    _clouds(image, "#ffffff", lot)
    pen.rectangle((0, height * 0.6, width, height), fill="#4fa6cf")
    for _ in range(40):
        x, y = lot.random() * width, height * (0.62 + 0.24 * lot.random())
        pen.line((x, y, x + width * 0.05, y), fill="#a9dcec", width=3)
    pen.polygon([(0, height * 0.9), (width, height * 0.84), (width, height), (0, height)], fill="#f3e2bd")


def _snow(image: Image.Image, lot: random.Random) -> None:
    _hills(image, ("#e3ebf4", "#f7fafd"), lot)
    _trees(image, "#e9f0f7", lot)


def _spring(image: Image.Image, lot: random.Random) -> None:
    _hills(image, ("#b9d8a8", "#a3cc95"), lot)
    _trees(image, "#f6bccb", lot)


def _pastel(image: Image.Image, lot: random.Random) -> None:
    pen, (width, height) = ImageDraw.Draw(image), image.size
    for _ in range(14):
        _disc(
            pen, lot.random() * width, lot.random() * height, width * (0.02 + 0.06 * lot.random()), "#fde4ea"
        )


_SCENERY: Final = {
    "night": _night,
    "sunset": _sunset,
    "day": _day,
    "sea": _sea,
    "snow": _snow,
    "spring": _spring,
    "pastel": _pastel,
}


def _disc(pen: ImageDraw.ImageDraw, x: float, y: float, r: float, colour: str) -> None:
    pen.ellipse((x - r, y - r, x + r, y + r), fill=colour)


def _clouds(image: Image.Image, colour: str, lot: random.Random) -> None:
    width, height = image.size
    layer = Image.new("L", image.size, 0)
    pen = ImageDraw.Draw(layer)
    for _ in range(4):
        x, y = lot.random() * width, height * (0.08 + 0.34 * lot.random())
        for _ in range(7):
            dx, dy = (lot.random() - 0.5) * width * 0.28, (lot.random() - 0.5) * height * 0.05
            r = width * (0.03 + 0.05 * lot.random())
            pen.ellipse((x + dx - r * 1.5, y + dy - r, x + dx + r * 1.5, y + dy + r), fill=215)
    soft = width // 90
    left, top, right, bottom = layer.getbbox() or (0, 0, width, height)
    box = max(0, left - soft), max(0, top - soft), min(width, right + soft), min(height, bottom + soft)
    mask = layer.crop(box).filter(ImageFilter.BoxBlur(soft))
    image.paste(Image.new("RGB", mask.size, colour), box, mask)


def _hills(image: Image.Image, colours: tuple[str, str], lot: random.Random) -> None:
    pen, (width, height) = ImageDraw.Draw(image), image.size
    for place, colour in enumerate(colours):
        base, swell, phase = height * (0.68 + 0.12 * place), height * 0.07, lot.random() * 2 * pi
        ridge = [
            (x, base + swell * sin(phase + x / width * (4 + 3 * place))) for x in range(0, width + 20, 20)
        ]
        pen.polygon([(0, height), *ridge, (width, height)], fill=colour)


def _trees(image: Image.Image, leaves: str, lot: random.Random) -> None:
    pen, (width, height) = ImageDraw.Draw(image), image.size
    for x in (width * 0.08, width * 0.93):
        pen.rectangle((x - height * 0.02, height * 0.35, x + height * 0.02, height * 0.85), fill="#7a5c50")
        for _ in range(26):
            dx, dy = (lot.random() - 0.5) * height * 0.34, (lot.random() - 0.5) * height * 0.34
            r = height * (0.03 + 0.04 * lot.random())
            _disc(pen, x + dx, height * 0.26 + dy, r, shade(leaves, 0.94 + 0.1 * lot.random()))


def _falling(image: Image.Image, colour: str, lot: random.Random) -> None:
    pen, (width, height) = ImageDraw.Draw(image), image.size
    for _ in range(60):
        x, y, r = lot.random() * width, lot.random() * height, width * (0.004 + 0.007 * lot.random())
        pen.ellipse((x - r * 1.5, y - r, x + r * 1.5, y + r), fill=colour)


class _Figure:
    """Draws one person; lengths are in units of the figure's height, from the middle of the face."""

    def __init__(self, image: Image.Image, person: Person, centre: float, floor: float, scale: float) -> None:
        self.pen = ImageDraw.Draw(image)
        self.person = person
        self.x, self.y, self.unit = centre, floor - scale * 0.56, scale
        self.hair, self.eyes, self.clothes = (
            COLOURS[part] for part in (person.hair, person.eyes, person.clothes)
        )
        self.line = max(2, round(scale / 260))

    def draw(self) -> None:
        self._back_hair()
        self._body()
        self._ears()
        self._oval(0, 0, 0.17, 0.185, SKIN)
        self._face()
        self._front_hair()
        self._extra()

    def _oval(self, x: float, y: float, rx: float, ry: float, fill: str, *, outlined: bool = True) -> None:
        box = [self._at(x - rx, y - ry), self._at(x + rx, y + ry)]
        self.pen.ellipse(box, fill=fill, outline=LINE if outlined else None, width=self.line)

    def _shape(self, points: list[tuple[float, float]], fill: str) -> None:
        self.pen.polygon([self._at(x, y) for x, y in points], fill=fill, outline=LINE, width=self.line)

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return self.x + x * self.unit, self.y + y * self.unit

    def _back_hair(self) -> None:
        dark = shade(self.hair, 0.86)
        fall = {"short_hair": 0.16, "long_hair": 0.42, "very_long_hair": 0.62}.get(self.person.length, 0.14)
        self._oval(0, -0.03, 0.225, 0.225, dark)
        self._shape(
            [
                (-0.222, -0.04),
                (0.222, -0.04),
                (0.2, fall),
                (0.08, fall + 0.03),
                (-0.08, fall + 0.03),
                (-0.2, fall),
            ],
            dark,
        )
        if self.person.length == "twintails":
            for side in (-1, 1):
                curve = [
                    (side * (0.2 + 0.11 * sin(t * pi)), -0.12 + 0.68 * t) for t in (0, 0.2, 0.4, 0.6, 0.8, 1)
                ]
                inner = [(side * (0.17 + 0.02 * sin(t * pi)), -0.06 + 0.6 * t) for t in (1, 0.6, 0.3, 0)]
                self._shape(curve + inner, self.hair)
        if self.person.length == "ponytail":
            self._shape(
                [(0.1, -0.2), (0.3, -0.12), (0.34, 0.16), (0.27, 0.34), (0.22, 0.1), (0.12, -0.06)], self.hair
            )

    def _body(self) -> None:
        self._shape([(-0.05, 0.13), (0.05, 0.13), (0.06, 0.26), (-0.06, 0.26)], shade(SKIN, 0.95))
        wide = 0.27 if self.person.boy else 0.235
        self._shape(
            [
                (-0.07, 0.23),
                (0.07, 0.23),
                (wide, 0.31),
                (wide + 0.06, 0.6),
                (-wide - 0.06, 0.6),
                (-wide, 0.31),
            ],
            self.clothes,
        )
        if self.person.clothes == "serafuku":
            self._shape(
                [(-0.1, 0.225), (0, 0.36), (0.1, 0.225), (0.17, 0.3), (0, 0.44), (-0.17, 0.3)], "#46598c"
            )
            self._shape([(0, 0.37), (0.07, 0.46), (0, 0.43), (-0.07, 0.46)], "#c9483f")
        elif self.person.clothes == "kimono":
            self._shape(
                [(-0.09, 0.225), (0.1, 0.5), (0.16, 0.5), (0.02, 0.3), (0.09, 0.225), (0, 0.29)], "#fbf3e4"
            )
        elif self.person.clothes in {"hoodie", "sweater"}:
            self._shape(
                [(-0.1, 0.215), (0.1, 0.215), (0.12, 0.275), (0, 0.3), (-0.12, 0.275)],
                shade(self.clothes, 0.88),
            )
        else:
            self._shape(
                [(-0.1, 0.235), (0, 0.31), (0.1, 0.235), (0.07, 0.22), (0, 0.26), (-0.07, 0.22)],
                shade(self.clothes, 1.15),
            )

    def _ears(self) -> None:
        if self.person.extra == "cat_ears":
            for side in (-1, 1):
                self._shape([(side * 0.06, -0.2), (side * 0.17, -0.36), (side * 0.21, -0.12)], self.hair)
                self._shape([(side * 0.1, -0.21), (side * 0.16, -0.31), (side * 0.18, -0.17)], "#f6b9c0")

    def _face(self) -> None:
        face = self.person.face
        for side in (-1, 1):
            if face == "^_^":
                self._arc(side * 0.075, 0.04, 0.032, 200, 340)
            elif face == "o_o":
                self._oval(side * 0.075, 0.03, 0.036, 0.036, "#ffffff")
                self._oval(side * 0.075, 0.03, 0.01, 0.01, LINE)
            else:
                self._oval(side * 0.075, 0.03, 0.031, 0.045, "#ffffff")
                self._oval(side * 0.073, 0.035, 0.024, 0.038, self.eyes, outlined=False)
                self._oval(side * 0.073, 0.04, 0.012, 0.02, shade(self.eyes, 0.45), outlined=False)
                self._oval(side * 0.073 - 0.009, 0.018, 0.008, 0.011, "#ffffff", outlined=False)
                self._arc(side * 0.075, 0.025, 0.036, 205, 335)
            self._arc(side * 0.075, -0.035, 0.035, 225, 315)
            if self.person.blush:
                self._oval(side * 0.115, 0.088, 0.026, 0.013, "#f9b8b4", outlined=False)
        if face in {"open_mouth", ":d"}:
            box = [self._at(-0.03, 0.085), self._at(0.03, 0.145)]
            self.pen.chord(box, 0, 180, fill="#c9605f", outline=LINE, width=self.line)
        elif face == ":3":
            self._arc(-0.014, 0.115, 0.014, 0, 180)
            self._arc(0.014, 0.115, 0.014, 0, 180)
        elif face == "closed_mouth":
            self.pen.line([self._at(-0.016, 0.12), self._at(0.016, 0.12)], fill=LINE, width=self.line)
        else:
            self._arc(0, 0.1, 0.026, 25, 155)

    def _arc(self, x: float, y: float, r: float, start: float, end: float) -> None:
        self.pen.arc(
            [self._at(x - r, y - r), self._at(x + r, y + r)], start, end, fill=LINE, width=self.line + 1
        )

    def _front_hair(self) -> None:
        crown = [(0.2 * cos(t * pi / 12), -0.035 - 0.19 * sin(t * pi / 12)) for t in range(13)]
        fringe = [
            (-0.19, 0.07),
            (-0.15, -0.03),
            (-0.11, 0.01),
            (-0.06, -0.06),
            (-0.01, 0.0),
            (0.05, -0.065),
            (0.1, 0.005),
            (0.15, -0.04),
            (0.19, 0.07),
        ]
        self._shape(crown + fringe, self.hair)
        self._arc_light()

    def _arc_light(self) -> None:
        box = [self._at(-0.13, -0.185), self._at(0.13, 0.02)]
        self.pen.arc(box, 225, 310, fill=shade(self.hair, 1.18), width=self.line * 4)

    def _extra(self) -> None:
        if self.person.extra == "hair_ribbon":
            for side in (-1, 1):
                self._shape(
                    [(0.13, -0.2), (0.13 + side * 0.09, -0.27), (0.13 + side * 0.08, -0.15)], "#d6455a"
                )
            self._oval(0.13, -0.205, 0.018, 0.02, "#b93349")
        elif self.person.extra == "witch_hat":
            self._shape(
                [(-0.15, -0.16), (-0.06, -0.36), (0.1, -0.46), (0.06, -0.34), (0.15, -0.16)], "#3b3346"
            )
            self._oval(0, -0.155, 0.3, 0.045, "#3b3346")
            self._shape([(-0.15, -0.19), (0.15, -0.19), (0.14, -0.22), (-0.14, -0.22)], "#f4f1ea")
        elif self.person.extra == "glasses":
            for side in (-1, 1):
                box = [self._at(side * 0.075 - 0.048, -0.015), self._at(side * 0.075 + 0.048, 0.085)]
                self.pen.rounded_rectangle(
                    box, radius=self.unit * 0.02, outline="#b0433f", width=self.line + 1
                )
            self.pen.line(
                [self._at(-0.027, 0.025), self._at(0.027, 0.025)], fill="#b0433f", width=self.line + 1
            )
