"""Danbooru's search syntax: `1girl solo -comic rating:g,s score:>=20 order:favcount limit:1000`.

Tags side by side must all be there. `or` joins alternatives and binds most loosely, so that `a b or c d` means
`(a b) or (c d)`; `and` may be written between lists; `-` and `~` belong to the one tag, metatag or group after
them. Those with `~` that stand side by side are alternatives: `~a ~b c` means `(a or b) c`. In a tag `*` stands
for any characters. `order:`, `limit:` and `random:` speak of the whole search, wherever in it they stand, and so
not beside an `or`, nor after `-` or `~`. With `limit:` and no `order:` the newest posts come first.

Values may be listed, and ranges among them: `id:1,5..9`, `score:<0,>10`. A size in kb or mb and a number of
megapixels mean what is within 5% of them, and in a list of such values exactly these.

A date means its whole day (or month, or year), in comparisons and lists too: `date:..2023` takes in all of 2023. An
age counts back from the moment at which the search is applied; a month is 365.25 / 12 days, and an age alone means
its day in New York. Deleted posts are found like any others. Pending and flagged posts are not known to a metadata
file, and count as active. An alias means its tag, also where the file has posts that bear the old name, which
`unaliased:` finds; `/hr` means the commonest tag with these initials. Two words are ours: `is:gold` and `has:image`
mean what `hakubooru.gold()` and `hakubooru.with_image()` mean.
"""

from hakubooru.select.search.apply import apply, caveats
from hakubooru.select.search.parser import parse
from hakubooru.select.search.syntax import Query

__all__ = ["Query", "apply", "caveats", "parse"]
