"""The steps of a data set in words, as the page lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hakubooru.curating import RecipeStep
    from hakubooru.recipe import Recipe


def words_of(step: RecipeStep) -> str:
    """A step in a few words."""
    match step.kind:
        case "search":
            return f"search {step.value}"
        case "sample" if isinstance(step.value, float):
            return f"a sample of {step.value:.4g} of them"
        case "sample":
            return f"a sample of {step.value:,}"
        case "sample_per":
            return f"at most {step.number:,} per {step.value}{', strictly' if step.strict else ''}"
        case "sample_weighted":
            return f"a sample of {step.number:,}, weighted by {step.value}"
        case "best_of_family":
            return f"the best of each family by {step.value}"
        case "order":
            return f"in order of {', '.join(step.value)}"
        case "limit":
            return f"the first {step.value:,}"
        case "keep" | "drop":
            return f"{step.kind} {len(step.value):,} post{'' if len(step.value) == 1 else 's'} by id"
        case _:
            return str(step.value).replace("_", " ")


def words_of_strata(recipe: Recipe) -> str:
    """The ranges of ids that a data set begins with, in a few words."""
    if not recipe.strata:
        return "all posts"
    parts = []
    for stratum in recipe.strata:
        low, high = stratum.ids
        size = "all" if stratum.sample is None else f"{stratum.sample:,}"
        parts.append(f"{size} of ids {low:,} to {'the end' if high is None else f'{high:,}'}")
    return "; ".join(parts)
