"""What is wrong with an input, collected so that all of it is told at once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from hakubooru.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Problems:
    """Errors of independent checks."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Note an input error of the block in place of raising it."""
        try:
            yield
        except InputError as error:
            self.add(str(error))

    def add(self, text: str) -> None:
        """Note a problem, once."""
        if text not in self.texts:
            self.texts.append(text)

    def raise_as(self, kind: type[InputError], where: str = "") -> None:
        """Raise all that was noted as one error, in one line; do nothing if there is none.

        Raises:
            InputError: of that kind.
        """
        if not self.texts:
            return
        text = self.texts[0]
        if len(self.texts) > 1:
            numbered = "; ".join(f"({number}) {text}" for number, text in enumerate(self.texts, 1))
            text = f"{len(self.texts)} things are wrong: {numbered}"
        raise kind(f"{where}: {text}" if where else text)
