"""Danbooru's search syntax: `1girl solo -comic rating:g,s score:>=20 order:favcount limit:1000`.

Tags next to each other must all be present. `or` separates alternatives and binds most loosely: `a b or c d` means
`(a b) or (c d)`. `and` may be written between lists. `-` and `~` belong to the one tag, metatag or group after them.
Terms with `~` in the same list are alternatives: `~a ~b c` means `(a or b) c`. In a tag, `*` stands for any
characters. `order:`, `limit:` and `random:` belong to the whole search. They may stand anywhere in it, but not beside an
`or`, and not after `-` or `~`. With `limit:` and without `order:`, the newest posts come first.

Values may be lists and ranges: `id:1,5..9`, `score:<0,>10`. A size in kb or mb, or a number of megapixels, means all
posts within 5% of it. In a list of such values, each means exactly itself.

A date means its whole day, month or year, in comparisons and lists too: `date:..2023` includes all of 2023. An age
counts back from the moment at which the search is applied. A month is 365.25 / 12 days. An age without a sign means its
day in New York.

A search finds deleted posts too. A metadata file does not have pending and flagged posts as such; they count as active.
The columns of joined files (`Database.join`) are metatags and orders too: `silva:>0.6 order:silva`, `captions.long:*cat*`.
A post without a value matches none of their ranges; `silva:none` finds it. It stands last in their orders.

An alias means its tag, even if posts of the file still have the old name; `unaliased:` finds those. `/hr` means the most
common tag with these initials. Danbooru does not have `is:gold` and `has:image`; they mean `hakubooru.gold()` and
`hakubooru.with_image()`.
"""

from hakubooru.select.danbooru.grammar import Query, parse
from hakubooru.select.danbooru.resolve import apply, caveats

__all__ = ["Query", "apply", "caveats", "parse"]
