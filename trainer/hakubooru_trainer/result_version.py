"""The version of the result of a run: of all in our own code that decides the weights it ends with.

A run resumes only from a state of this version, because it would end with other weights otherwise. The number is raised by hand:
a changed comment or a faster loop refuses no state. `tests/trainer/test_result_version.py` holds golden values of what the number
stands for. When one of them changes, the number is raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hakubooru.image.decode import DECODE_CHANGES
from hakubooru_trainer.text import TOKENS_CHANGES

if TYPE_CHECKING:
    from collections.abc import Mapping

RESULT_VERSION: Final = 2
"""Raised with every change after which the same run ends with other weights, beyond rounding; `RESULT_CHANGES` says what changed."""

RESULT_CHANGES: Final = {
    2: f"{DECODE_CHANGES}; {TOKENS_CHANGES}; tags are told apart as in sd-scripts, also by a separator without blanks beside it; "
    "captions are read from an export's files, where they were corrected; folders called 10_name repeat their images",
}
"""What changed in each version, for messages."""

VERSION: Final = "version.result"
"""The key of the version in a state."""

_CODE: Final = "version.code"
_CODE_OF_1: Final = "sha256:5f99021651ac4035611bebb185dde7cbb48e01563ac98a269b96305c114a6cd1"
"""The hash of the code that wrote states of version 1, which have no number."""
_RETIRED: Final = (_CODE, "version.decoding", "version.hakubooru")
"""Keys of earlier states that `VERSION` replaces."""
_LATER: Final = ("data.repeats", "model.tokens", "model.schedule")
"""Keys that states of this version may lack."""


def brought_up(
    then: Mapping[str, Any],
    now: Mapping[str, Any],
    defaults: Mapping[str, Any],
    earlier: Mapping[str, Any],
) -> dict[str, Any]:
    """Translate what a state says of its run into the keys of today.

    Args:
        then: the table of the state.
        now: the table of a new state of this run.
        defaults: the defaults of all options. An option that the state lacks was added later; its default does what was done before.
        earlier: what earlier versions wrote for values of `now`.
    """
    about = {**defaults, **{key: value for key, value in then.items() if key not in _RETIRED}}
    about |= {key: now[key] for key, value in earlier.items() if about.get(key) == value}
    for key in _LATER:  # earlier states do not say them
        about.setdefault(key, now.get(key))
    if VERSION not in then:
        about[VERSION] = 1 if then.get(_CODE) == _CODE_OF_1 else None
        once = [key for key in about if key.endswith("].repeats") and (about[key], now.get(key)) == (1, 0)]
        about |= dict.fromkeys(once, 0)  # the default was 1, and means the same
    return about


def difference(then: int | None) -> str:
    """The message for a state of another version, with what to do; `then` is None where the version is not known."""
    if then is None:
        return (
            f"{VERSION}: a hakubooru between two versions wrote it, and the results of this one, {RESULT_VERSION}, "
            "are others; go on with the hakubooru that began the run"
        )
    if then > RESULT_VERSION:
        return f"{VERSION}: a newer hakubooru wrote it (version {then}, this one is {RESULT_VERSION}); go on with that one"
    changes = "; ".join(RESULT_CHANGES[version] for version in range(then + 1, RESULT_VERSION + 1))
    return f"{VERSION} was {then} and is {RESULT_VERSION}: {changes}. The hakubooru that began the run can finish it"
