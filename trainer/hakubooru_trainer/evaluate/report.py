"""The page of an evaluation: one HTML file that holds all it shows."""

from __future__ import annotations

import base64
import html
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from hakubooru.files import write_text
from hakubooru.quantity import quantity
from hakubooru_trainer.evaluate import charts
from hakubooru_trainer.evaluate.charts import Group, Point
from hakubooru_trainer.evaluate.extraction import picture_of, thumbnail
from hakubooru_trainer.evaluate.references import SHOWN
from hakubooru_trainer.evaluate.scores import Interval, bootstrap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hakubooru_trainer.evaluate.catalogue import Catalogue
    from hakubooru_trainer.evaluate.conditions import Conditions
    from hakubooru_trainer.evaluate.references import References
    from hakubooru_trainer.evaluate.results import Row, Sighting

FILE: Final = "report.html"
EXTREMES: Final = 20
"""How many of the best and of the worst characters are shown."""
_LIMITS: Final = (0, 100, 300, 1000, 3000, 10_000)
"""The fewest posts of each group of popularity."""
_RESAMPLES: Final = 1000

_STYLE: Final = """
:root{color-scheme:light dark;--ink:#2f2a3a;--soft:#655e75;--line:#e4dfec;--paper:#fbfafd;--card:#fff;--accent:#6a4fc4;--light:#d9d0f3;
--bound:#9a6a22;--axis:#b9b2c8}
@media(prefers-color-scheme:dark){:root{--ink:#ece8f4;--soft:#aca4bd;--line:#3a3347;--paper:#17131f;--card:#211c2b;--accent:#b09cf2;
--light:#463a6e;--bound:#e0ac62;--axis:#6c6480}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,"Segoe UI",sans-serif}
main{max-width:1200px;margin:0 auto;padding:32px 24px 64px}h1{font-size:28px;line-height:1.25;margin:0;overflow-wrap:anywhere}
h2{font-size:19px;margin:40px 0 12px}p{margin:6px 0}.soft{color:var(--soft);font-size:14px}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:16px 20px;min-width:0}
.head{display:grid;grid-template-columns:240px minmax(0,640px);gap:24px;align-items:center;margin-top:20px}
.figure{font-size:52px;font-weight:650;line-height:1.1;color:var(--accent)}
.two{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:16px}
.many{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(300px,100%),1fr));gap:16px}
svg{width:100%;height:auto;display:block;overflow:visible}svg text{font-size:12px;fill:var(--soft)}
svg .strong{font-size:15px;font-weight:650;fill:var(--accent)}.bar,.score{fill:var(--accent)}.dot{fill:var(--accent);opacity:.4}
.band{fill:var(--bound);opacity:.22}.mean{stroke:var(--bound);stroke-width:2.5}.axis{fill:none;stroke:var(--axis)}.grid{stroke:var(--line)}
.bound{stroke:var(--bound);stroke-width:1.5;stroke-dasharray:4 3}.range{fill:var(--light)}.spread{stroke:var(--accent);stroke-width:5}
table{border-collapse:collapse;width:100%;font-size:14px}th,td{text-align:left;padding:6px 10px;border-top:1px solid var(--line);
vertical-align:top;overflow-wrap:anywhere}th{border-top:0;color:var(--soft);font-weight:500}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;overflow-wrap:normal}
.who{display:flex;justify-content:space-between;gap:12px;font-weight:600}.who span{overflow-wrap:anywhere}
.who b{color:var(--accent);font-variant-numeric:tabular-nums}.beside{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:14px;margin-top:8px}
figure{margin:0}figcaption{font-size:12px;color:var(--soft);margin-bottom:4px}
.looks{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:4px}.looks img{display:block;width:100%;aspect-ratio:3/4;object-fit:cover;
object-position:50% 25%;border-radius:6px;border:1px solid var(--line)}code{font-size:12px;overflow-wrap:anywhere}
@media(max-width:820px){main{padding:20px 16px 40px}.two,.head{grid-template-columns:minmax(0,1fr)}.card{padding:14px}svg text{font-size:16px}
svg .strong{font-size:19px}th,td{padding:6px 5px}}
"""


class Figures(NamedTuple):
    """What the page says of all characters together."""

    score: Interval
    difference: Interval
    ceiling: Interval
    floor: Interval
    tags: Interval
    """The share of a character's tags that a tagger sees; NaN if none was asked."""
    sightings: Sequence[Sighting]
    """The tags that prompts asked for; empty if no tagger was asked."""
    without: Sequence[str]
    """Characters that no archive holds a reference of."""
    unreadable: int
    """How many references could not be decoded."""


@dataclass(frozen=True)
class Looks:
    """Shows what references look like."""

    references: References
    catalogue: Catalogue

    def of_each(self, names: Sequence[str]) -> dict[str, list[bytes]]:
        """The small pictures of some references of each character, as JPEG."""
        chosen = {name: self.references.by_character[name][:SHOWN] for name in names}
        small = self.catalogue.thumbnails([one.sha256 for some in chosen.values() for one in some])
        return {
            name: [small[one.sha256] for one in some if one.sha256 in small] for name, some in chosen.items()
        }


def write(out: Path, figures: Figures, rows: Sequence[Row], conditions: Conditions, looks: Looks) -> None:
    """Write the page of an evaluation into its folder.

    Args:
        out: the folder.
        figures: what the page says of all characters together.
        rows: the characters with their scores.
        conditions: what the evaluation is of.
        looks: shows what references look like.
    """
    ranked = sorted(rows, key=lambda row: (-row.score.score, row.score.difference, row.character.name))
    best = ranked[:EXTREMES]
    worst = ranked[::-1][: min(EXTREMES, len(ranked) - len(best))]
    small = looks.of_each([row.character.name for row in (*best, *worst)])
    parts = [
        _head(figures, rows, conditions),
        _charts(figures, rows),
        _groups(rows),
        _extremes(f"The best {len(best)}", best, small, out),
        _extremes(f"The worst {len(worst)}", worst, small, out) if worst else "",
        _tags(figures.sightings),
        _settings(conditions),
        _licences(conditions.about["licences"]),
    ]
    title = f"Does {html.escape(_name(conditions))} know its characters?"
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main><h1>{title}</h1>{''.join(parts)}</main></body></html>\n"
    )
    write_text(out / FILE, page)


def groups_of(rows: Sequence[Row]) -> list[Group]:
    """The characters in groups of popularity, with the mean score of each; groups without characters are left out."""
    posts = np.array([row.posts for row in rows])
    scores = np.array([row.score.score for row in rows])
    groups = []
    for low, above in zip(_LIMITS, (*_LIMITS[1:], None), strict=True):
        is_in = (posts >= low) & (posts < above) if above else posts >= low
        if not is_in.any():
            continue
        label = f"{low:,} and more" if above is None else f"{low:,} to {above - 1:,}"
        high = int(posts[is_in].max()) if above is None else above - 1
        groups.append(
            Group(label, low, high, int(is_in.sum()), bootstrap(scores[is_in], _RESAMPLES, seed=low))
        )
    return groups


def _name(conditions: Conditions) -> str:
    names = [conditions.about["model"], conditions.about["lokr"]]
    return " with ".join(name.replace("\\", "/").rpartition("/")[2] for name in names if name)


def _head(figures: Figures, rows: Sequence[Row], conditions: Conditions) -> str:
    pictures = sum(len(row.pictures) for row in rows)
    notes = []
    if figures.sightings:
        notes.append(f"A tagger sees {figures.tags.mean:.1%} of the tags that the prompts ask for.")
    if figures.without:
        notes.append(
            f"{quantity(len(figures.without), 'character has', 'characters have')} no reference in the archives; left out: "
            f"{html.escape(', '.join(figures.without[:10]))}{' …' if len(figures.without) > 10 else ''}."
        )
    if figures.unreadable:
        notes.append(f"{quantity(figures.unreadable, 'reference')} could not be decoded.")
    return (
        f'<p class="soft">{quantity(len(rows), "character")}, {quantity(pictures, "picture")}, '
        f"{quantity(sum(row.references for row in rows), 'reference')}, judged by {html.escape(conditions.about['judge'])}</p>"
        f'<div class="card head"><div><div class="figure">{figures.score.mean:.3f}</div>'
        f'<p class="soft">{_between(figures.score)}</p></div>'
        f"<div>{charts.scale(figures.score, figures.floor, figures.ceiling)}</div></div>"
        '<p class="soft">A picture scores the share of its character\'s references that show the same character, as the judge sees '
        "it; a character the mean of its pictures; the model the mean of its characters. The ceiling is what references score "
        "against the others of their character, the floor what they score against another character's. "
        f"Mean difference of pictures and references: {figures.difference}.</p>"
        + "".join(f'<p class="soft">{note}</p>' for note in notes)
    )


def _between(interval: Interval) -> str:
    """The ends of an interval, as the page shows them."""
    if np.isnan(interval.low):
        return "one character, no interval"
    return f"{interval.low:.3f} to {interval.high:.3f} (95%)"


def _posts(rows: Sequence[Row]) -> str:
    return "solo posts in the database" if rows[0].trained is None else "posts in the training data"


def _charts(figures: Figures, rows: Sequence[Row]) -> str:
    points = [Point(row.character.name, row.posts, row.score.score) for row in rows]
    scores = [row.score.score for row in rows]
    return (
        '<h2>How the scores lie</h2><div class="two"><div class="card">'
        f"{charts.histogram(scores, figures.floor.mean, figures.ceiling.mean)}</div>"
        f'<div class="card">{charts.popularity(points, groups_of(rows), _posts(rows))}</div></div>'
    )


def _groups(rows: Sequence[Row]) -> str:
    lines = [
        f'<tr><td>{group.label}</td><td class="n">{group.characters:,}</td><td class="n">{group.score.mean:.3f}</td>'
        f'<td class="n">{_between(group.score)}</td></tr>'
        for group in groups_of(rows)
    ]
    return (
        f'<h2>By popularity</h2><div class="card"><table><tr><th>{_posts(rows)}</th><th class="n">characters</th>'
        f'<th class="n">score</th><th class="n">interval</th></tr>{"".join(lines)}</table></div>'
    )


def _extremes(title: str, rows: Sequence[Row], looks: Mapping[str, Sequence[bytes]], out: Path) -> str:
    cards = []
    for row in rows:
        name = row.character.name
        drawn = [
            (
                f"picture {one.number + 1} of {name}, score {score:.2f}",
                thumbnail(picture_of((out / one.path).read_bytes())),
            )
            for one, score in zip(row.pictures[:SHOWN], row.score.pictures, strict=False)
        ]
        known = [(f"reference {place} of {name}", jpeg) for place, jpeg in enumerate(looks[name], 1)]
        cards.append(
            f'<div class="card"><div class="who"><span>{html.escape(name)}</span><b>{row.score.score:.2f}</b></div>'
            f'<p class="soft">{quantity(row.posts, "post")}, {quantity(row.references, "reference")}</p>'
            f'<div class="beside">{_figure("drawn", drawn)}{_figure("references", known)}</div></div>'
        )
    return f'<h2>{title}</h2><div class="many">{"".join(cards)}</div>'


def _figure(caption: str, jpegs: Sequence[tuple[str, bytes]]) -> str:
    images = (
        f'<img alt="{html.escape(text)}" title="{html.escape(text)}" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'
        for text, jpeg in jpegs
    )
    return f'<figure><figcaption>{caption}</figcaption><div class="looks">{"".join(images)}</div></figure>'


def _tags(sightings: Sequence[Sighting]) -> str:
    if not sightings:
        return ""
    lines = [
        f'<tr><td>{html.escape(one.tag)}</td><td class="n">{one.asked:,}</td><td class="n">{one.seen / one.asked:.1%}</td></tr>'
        for one in sightings[:EXTREMES]
    ]
    return (
        '<h2>Tags that prompts ask for most</h2><div class="card"><table><tr><th>tag</th><th class="n">pictures</th>'
        f'<th class="n">the tagger sees it in</th></tr>{"".join(lines)}</table></div>'
    )


def _settings(conditions: Conditions) -> str:
    rows = {
        "fingerprint": conditions.fingerprint,
        **conditions.settings,
        **conditions.asked,
        **conditions.drawn,
    }
    lines = [f"<tr><td>{html.escape(name)}</td><td>{_value(value)}</td></tr>" for name, value in rows.items()]
    return (
        '<h2>How it was evaluated</h2><p class="soft">Two evaluations can be compared if their fingerprints are equal. Any '
        "number of GPUs draws the same pictures; another kind of device, or another drawing.batch, may differ in the last "
        f'bits.</p><div class="card"><table>{"".join(lines)}</table></div>'
    )


def _licences(licences: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        f"<tr><td>{html.escape(one['model'])}<br><span class=soft>{html.escape(one['role'])}</span></td>"
        f"<td>{html.escape(one['terms'])}</td><td>{html.escape(one['source'])}</td></tr>"
        for one in licences
    ]
    return (
        '<h2>Licences</h2><div class="card"><table><tr><th>model</th><th>licence and restrictions</th><th>source</th></tr>'
        f"{''.join(lines)}</table></div>"
    )


def _value(value: Any) -> str:
    text = f"<code>{html.escape(value if isinstance(value, str) else json.dumps(value))}</code>"
    return (
        f"<details><summary>{len(value)} values</summary>{text}</details>"
        if isinstance(value, dict)
        else text
    )
