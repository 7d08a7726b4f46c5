"""The pictures of the site that show data: `make docs` draws them, so that none is older than the program.

A page shows a picture of the folder `images/generated` in one of three ways. A name of `DRAWN` is drawn here, mostly for
explanations, and one of `COPIED` comes from the demo. Any other name is a file that the page's own code writes: the page is run, and the file is kept.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.figure import Figure

import hakubooru as hb
from code_blocks import PAGES, run_page
from hakubooru.caption.presets import PRESETS
from hakubooru.caption.scale import PUBLISHED
from hakubooru.image.bucket import Buckets
from hakubooru.store.sites import RATINGS
from hakubooru_trainer.config.learning import LossOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

FOLDER: Final = Path(__file__).parent / "images" / "generated"
_SHOWN: Final = re.compile(r"\]\((?:\.\./)*images/generated/([\w.-]+)\)")
_BLUE, _ORANGE, _GREEN, _GREY = "#2f6fde", "#e08a2c", "#3a9d5d", "#8a8a8a"
_TIMESTEPS: Final = 1000


def shown(page: Path) -> set[str]:
    """The names of the generated pictures that a page shows."""
    return set(_SHOWN.findall(page.read_text(encoding="utf-8")))


def written(page: Path) -> set[str]:
    """The names of the generated pictures of a page that its own code writes."""
    return shown(page) - DRAWN.keys() - COPIED.keys()


def write(demo: Path) -> None:
    """Write every generated picture that a page shows.

    Args:
        demo: the folder of `hakubooru demo`.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    with hb.open(demo / "danbooru.db") as database:
        for name, draw in DRAWN.items():
            draw(database).savefig(FOLDER / name)
    for name, source in COPIED.items():
        shutil.copy(demo / source, FOLDER / name)
    for page in PAGES:
        if names := written(page):
            with TemporaryDirectory() as folder:
                run_page(page, Path(folder), demo)
                for name in names:
                    shutil.copy(Path(folder, name), FOLDER)


def _figure(columns: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(4.6 * columns if columns > 1 else 6.4, 3.2), layout="constrained")
    axes = [figure.add_subplot(1, columns, place + 1) for place in range(columns)]
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def characters(database: hb.Database) -> Figure:
    """Draw how many posts each character has in all posts, in a balanced sample and in a plain one of the same size."""
    posts = database.posts.search("-animated").with_image()
    balanced = posts.sample_per("character", at_most=10, seed=1)
    plain = posts.sample(balanced.count(), seed=1)
    figure, (axes,) = _figure()
    for some, label, colour in (
        (posts, f"all {posts.count()} posts", _GREY),
        (plain, f"sample({plain.count()})", _ORANGE),
        (balanced, 'sample_per("character", at_most=10)', _BLUE),
    ):
        counts = some.value_counts("character").to_numpy()
        axes.plot(range(1, len(counts) + 1), counts, marker="o", markersize=3, color=colour, label=label)
    axes.set(xlabel="characters, the most common first", ylabel="posts", ylim=(0, None))
    axes.legend(frameon=False)
    return figure


def weights(database: hb.Database) -> Figure:
    """Draw how the favourites of posts lie in a plain sample and in a weighted one."""
    posts = database.posts.search("-animated").with_image()
    figure, (axes,) = _figure()
    for some, label, colour in (
        (posts.sample(100, seed=1), "sample(100)", _ORANGE),
        (posts.sample_weighted("fav_count", 100, seed=1), 'sample_weighted("fav_count", 100)', _BLUE),
    ):
        counts = np.sort(some.to_pandas(["fav_count"])["fav_count"].to_numpy())
        axes.plot(counts, np.arange(1, len(counts) + 1) / len(counts), color=colour, label=label)
    axes.set(xlabel="favourites", ylabel="share of posts with at most so many", xscale="symlog", ylim=(0, 1))
    axes.legend(frameon=False)
    return figure


def quality(_: hb.Database) -> Figure:
    """Draw the favourites from which each word of quality of `kohaku-epsilon` begins, by rating."""
    scale = PUBLISHED["fav_count"]
    labels = [(word, percentile) for word, percentile in PRESETS["kohaku-epsilon"].quality if percentile]
    figure, (axes,) = _figure()
    for rating, values, colour in zip(
        RATINGS, scale.values, (_GREEN, _BLUE, _ORANGE, "#b5403a"), strict=True
    ):
        counts = [values[scale.percentiles.index(percentile)] for _, percentile in reversed(labels)]
        axes.plot([word for word, _ in reversed(labels)], counts, marker="o", color=colour, label=rating)
    axes.set(ylabel="more favourites than", yscale="log")
    axes.tick_params(axis="x", labelrotation=20, labelsize=8)
    axes.legend(frameon=False)
    return figure


def buckets(database: hb.Database) -> Figure:
    """Draw the buckets of SDXL, and the shapes of the demo's posts."""
    sizes = Buckets().sizes()
    posts = database.posts.with_image().to_pandas(["image_width", "image_height"])
    shape = np.sqrt(2.0**20 / (posts["image_width"] * posts["image_height"]))
    figure, (axes,) = _figure()
    axes.scatter(*sizes.T, s=14, color=_BLUE, marker="s", label=f"{len(sizes)} buckets")
    axes.scatter(
        posts["image_width"] * shape,
        posts["image_height"] * shape,
        s=40,
        facecolors="none",
        edgecolors=_ORANGE,
        label="shapes of posts",
    )
    axes.set(xlabel="width", ylabel="height", xscale="log", yscale="log")
    ticks = [256, 512, 1024, 2048, 4096]
    axes.set_xticks(ticks, list(map(str, ticks)))
    axes.set_yticks(ticks, list(map(str, ticks)))
    axes.minorticks_off()
    axes.legend(frameon=False)
    return figure


def min_snr(_: hb.Database) -> Figure:
    """Draw the weights of min-SNR by timestep, for models that predict noise and models that predict v."""
    import torch  # noqa: PLC0415 - takes seconds

    from hakubooru_trainer import noise  # noqa: PLC0415

    steps = torch.arange(_TIMESTEPS)
    ratio = noise.snr(noise.alphas_cumprod(), steps)
    figure, (left, right) = _figure(2)
    for gamma, colour in ((1.0, _GREEN), (5.0, _BLUE), (20.0, _ORANGE)):
        left.plot(
            steps, noise.min_snr_weight(ratio, gamma, "epsilon"), color=colour, label=rf"$\gamma$ = {gamma:g}"
        )
        right.plot(
            steps, noise.min_snr_weight(ratio, gamma, "v"), color=colour, label=rf"$\gamma$ = {gamma:g}"
        )
    left.axhline(1, color=_GREY, linestyle=":")
    left.set(title="a model that predicts noise", xlabel="timestep", ylabel="weight")
    right.set(title="a model that predicts v", xlabel="timestep")
    left.legend(frameon=False)
    return figure


def timesteps(_: hb.Database) -> Figure:
    """Draw how often each timestep is drawn, by distribution."""
    from hakubooru_trainer.timesteps import timestep  # noqa: PLC0415

    figure, (axes,) = _figure()
    quantiles = [((2 * place + 1) << 111) for place in range(1 << 16)]
    for options, label, colour in (
        (LossOptions(timesteps="uniform"), "uniform", _GREY),
        (LossOptions(timesteps="logit_normal"), "logit_normal", _BLUE),
        (
            LossOptions(timesteps="logit_normal", timestep_mean=0.5),
            "logit_normal, timestep_mean = 0.5",
            _GREEN,
        ),
        (LossOptions(timesteps="shifted"), "shifted, timestep_shift = 3", _ORANGE),
    ):
        steps = (
            np.arange(_TIMESTEPS)
            if options.timesteps == "uniform"
            else [timestep(options, u) for u in quantiles]
        )
        counts, edges = np.histogram(steps, bins=50, range=(0, _TIMESTEPS), density=True)
        axes.stairs(counts * _TIMESTEPS, edges, color=colour, label=label)
    axes.set(
        xlabel="timestep (0: nearly the image, 999: nearly noise)",
        ylabel="times as often as uniform",
        ylim=(0, None),
    )
    axes.legend(frameon=False, fontsize=8)
    return figure


def lokr(_: hb.Database) -> Figure:
    """Draw a Kronecker product of two small matrices beside its factors."""
    numbers = np.random.default_rng(1)
    w1, w2 = numbers.normal(size=(4, 4)), numbers.normal(size=(8, 8))
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    panels = figure.subplots(1, 3, width_ratios=(4, 8, 32))
    for axes, matrix, title in zip(
        panels,
        (w1, w2, np.kron(w1, w2)),
        (r"$w_1$: $4 \times 4$", r"$w_2$: $8 \times 8$", r"$w_1 \otimes w_2$: $32 \times 32$"),
        strict=True,
    ):
        axes.imshow(matrix, cmap="RdBu", vmin=-3, vmax=3)
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    return figure


COPIED: Final = {"contact-sheet.png": "contact_sheet.png"}
"""The pictures that the demo makes, with their names in its folder."""
DRAWN: Final[dict[str, Callable[[hb.Database], Figure]]] = {
    "characters-sampled.svg": characters,
    "weighted.svg": weights,
    "quality.svg": quality,
    "buckets.svg": buckets,
    "min-snr.svg": min_snr,
    "timesteps.svg": timesteps,
    "lokr.svg": lokr,
}
"""The pictures that are drawn here, by name."""
