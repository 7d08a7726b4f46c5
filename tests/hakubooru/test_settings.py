"""Settings: what annotations accept and refuse, and that what is written reads back."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping  # noqa: TC003 - read at run time, as the kind of a key
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakubooru.errors import InputError, RecipeError
from hakubooru.settings import (
    Bounds,
    Parse,
    Problems,
    check,
    dump,
    help_text,
    plain,
    read,
    read_section,
    read_toml,
    toml,
)  # fmt: skip


def even(value: Any, place: str) -> int:
    if value % 2:
        raise InputError(f"{place} = {value} is odd")
    return int(value)


class Names(NamedTuple):
    cat: tuple[str, ...] = ("tom",)
    mouse: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A wheel."""

    size: int
    """Its width."""


@dataclass(frozen=True, kw_only=True)
class Car:
    """A car."""

    name: str
    """What it is called."""
    seats: Annotated[int, Bounds(1, 9)] = 4
    """How many sit in it."""
    speed: float = 1.0
    """How fast it goes."""
    weight: Annotated[int | float | None, Bounds(0)] = None
    """How heavy it is."""
    fuel: Literal["gas", "sun"] = "sun"
    """What it burns."""
    open: bool = False
    """Whether it has no roof."""
    colours: tuple[str, ...] = ()
    """What it is painted with."""
    place: tuple[float, float] = (0.0, 0.0)
    """Where it stands."""
    doors: Annotated[int, Parse(even)] = 4
    """How many doors it has."""
    names: Names = Names()  # noqa: RUF009 - a tuple
    """The names of animals."""
    extra: Mapping[str, int] = field(default_factory=dict)
    """Anything else."""
    wheels: tuple[Wheel, ...] = ()
    """Its wheels."""

    def __post_init__(self) -> None:
        check(self, "car")
        if self.open and self.fuel == "gas":
            raise InputError("car.open smells")


@dataclass(frozen=True, kw_only=True)
class Garage:
    """A garage."""

    cars: tuple[Car, ...]
    best: Car = field(default_factory=lambda: Car(name="best"))


def test_each_kind_is_read_as_its_annotation_says():
    table = {
        "name": "a", "seats": 2, "speed": 3, "weight": 5, "fuel": "gas", "colours": "red", "place": [1, 2.5], "doors": 2,
        "names": {"mouse": ["jerry"]}, "extra": {"x": 1}, "wheels": [{"size": 3}],
    }  # fmt: skip
    car = read(Car, table, "car")
    assert car == Car(
        name="a", seats=2, speed=3.0, weight=5, fuel="gas", colours=("red",), place=(1.0, 2.5), doors=2,
        names=Names(mouse=("jerry",)), extra={"x": 1}, wheels=(Wheel(size=3),),
    )  # fmt: skip
    assert (type(car.speed), type(car.weight)) == (float, int)
    assert read(Car, {"seats": 3}, "car", name="known") == Car(name="known", seats=3)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seat", 1, "[car] has no key 'seat'; did you mean 'seats'?"),
        ("seats", 0, "car.seats = 0; write a whole number from 1 to 9"),
        ("seats", True, "car.seats = true; write a whole number from 1 to 9"),
        ("speed", "fast", 'car.speed = "fast"; write a number'),
        ("speed", float("nan"), "car.speed = nan; write a number"),
        ("speed", 10**400, f"car.speed = {10**400}; write a number"),  # larger than any float
        ("weight", -0.5, "car.weight = -0.5; write a number of at least 0"),
        ("fuel", "gass", "car.fuel = \"gass\"; did you mean 'gas'?"),
        ("open", 1, "car.open = 1; write true or false"),
        ("colours", 5, "car.colours = 5 is not a list; write [ , ]"),
        ("colours", [5], "car.colours = 5; write a text in quotes"),
        ("place", [1], "car.place = [1]; write a list of 2"),
        ("doors", 3, "car.doors = 3 is odd"),
        ("names", 3, "car.names = 3 is not a table; its keys are cat, mouse"),
        ("names", {"cats": []}, "car.names has no key 'cats'; did you mean 'cat'?"),
        ("names", {"cat": 5}, "car.names.cat = 5 is not a list; write [ , ]"),
        ("extra", [1], "car.extra = [1] is not a table; write car.extra = {name = value}"),
        ("wheels", {"size": 3}, 'car.wheels = {"size" = 3} is not a list of tables; write [[car.wheels]]'),
        ("wheels", [{}], "car.wheels.size is missing; write it, since it has no default"),
    ],
)
def test_what_is_wrong_is_named(key, value, message):
    with pytest.raises(InputError) as caught:
        read(Car, {"name": "a", key: value}, "car")
    assert str(caught.value) == message


def test_everything_wrong_is_named_at_once():
    with pytest.raises(RecipeError) as caught:
        read(Car, {"seats": 0, "open": 1}, "car", RecipeError)
    assert str(caught.value) == (
        "3 things are wrong: (1) car.seats = 0; write a whole number from 1 to 9; (2) car.open = 1; write true or false; "
        "(3) car.name is missing; write it, since it has no default"
    )
    with pytest.raises(
        InputError, match=r"^2 things are wrong: .*car.seats = 10.*car.name = 3; write a text|name = 3"
    ):
        Car(name=3, seats=10)


def test_keys_that_are_near_none_are_named_together():
    with pytest.raises(InputError) as caught:
        read(Garage, {"bicycle": 1, "car": [], "sheds": 2}, "")
    assert str(caught.value) == (
        "3 things are wrong: (1) the file has no key 'car'; did you mean 'cars'?; "
        "(2) the file has no key 'bicycle' or 'sheds'; there are: cars, best; "
        "(3) cars is missing; write it, since it has no default"
    )


def test_one_wrong_car_of_a_garage_is_named_once():
    with pytest.raises(InputError, match=r"^car.open smells$"):
        read(Garage, {"cars": [{"name": "a", "open": True, "fuel": "gas"}]}, "")
    with pytest.raises(
        InputError, match=r"^the file has no key 'car'; did you mean 'cars'\?|cars is missing"
    ):
        read(Garage, {"car": []}, "")


def test_a_section_is_a_value_a_table_or_nothing():
    wheel = Wheel(size=1)
    assert read_section(Wheel, wheel, "wheel") is wheel
    assert read_section(Wheel, {"size": 1}, "wheel") == wheel
    with pytest.raises(InputError, match=r"wheel = 5 is not a table; write \[wheel\] and its keys below"):
        read_section(Wheel, 5, "wheel")
    with pytest.raises(InputError, match="size is missing"):
        read_section(Wheel, None, "wheel")


@dataclass(frozen=True, kw_only=True)
class Parked:
    """A car that can be written."""

    wheel: Wheel
    wheels: tuple[Wheel, ...] = ()


@given(st.integers(-9, 9), st.lists(st.integers(-9, 9)))
def test_what_is_written_reads_back(size, sizes):
    parked = Parked(wheel=Wheel(size=size), wheels=tuple(Wheel(size=one) for one in sizes))
    assert read(Parked, tomllib.loads(dump(parked)), "") == parked
    assert read(Parked, plain(parked), "") == parked


scalars = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()


@pytest.mark.slow
@given(
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    )
)
def test_toml_writes_what_toml_reads(value):
    assert tomllib.loads(f"value = {toml(value)}")["value"] == value


def test_help_names_every_key_with_its_text():
    assert help_text(Parked) == (
        "# A wheel.\n[wheel]\n# Its width.\nsize =  # must be given\n\n"
        "# A wheel.\n[[wheels]]\n# Its width.\nsize =  # must be given\n"
    )
    text = help_text(Garage)
    assert '# What it burns.\n# One of: "gas", "sun".\nfuel = "sun"\n' in text
    assert "# How many sit in it.\nseats = 4\n" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "a.toml cannot be read: No such file or directory; name a recipe"),
        (b"\x80", "a.toml is not text; write a TOML file in UTF-8"),
        (b"[", "a.toml is not TOML: "),
    ],
)
def test_a_wrong_file_is_named(tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        read_toml(tmp_path / "a.toml", RecipeError, "a recipe")
    assert message in str(caught.value)


def test_problems_are_numbered_and_noted_once():
    problems = Problems()
    problems.raise_as(InputError)
    for text in ("b", "a", "b"):
        with problems.collecting():
            raise InputError(text)
    with pytest.raises(RecipeError, match=r"^x.toml: 2 things are wrong: \(1\) b; \(2\) a$"):
        problems.raise_as(RecipeError, "x.toml")
