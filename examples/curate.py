"""A curator's session, to be read or run cell by cell: python examples/curate.py [FOLDER OF THE DEMO]."""

# %% A database is opened read-only. A selection is a value: nothing runs before you read a result.
import sys
from pathlib import Path

import hakubooru as hb
from hakubooru import Post

demo = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
db = hb.open(demo / "danbooru.db")
print(db.info())

# %% Steps run in the order in which they are written. Your own filters are peewee expressions.
girls = (
    db.posts.search("1girl solo -glasses rating:g,s")
    .with_image()
    .where(Post.image_height >= Post.image_width)
)
print(girls.funnel())
print(girls.to_pandas(["id", "rating", "fav_count", "created_at"]).head())

# %% Predicates are values too.
calm = hb.rating("general") & ~hb.tagged("open_mouth") | hb.fav_count(min=50)
print(girls.where(calm).count())

# %% The selection behind Kohaku-XL Epsilon, at a ten thousandth of its size.
epsilon = hb.Recipe.load("epsilon").select(db, scale=0.0001)
print(epsilon.funnel())

# %% At most twenty posts of each character; the same posts on every machine.
balanced = epsilon.sample_per("character", at_most=20, seed=1)
print(balanced.tag_counts().query("type == 'character'"))

# %% Captions are written while you read them.
for post_id, caption in balanced.order_by("-fav_count").limit(3).captions("kohaku-epsilon"):
    print(post_id, caption)

# %% An export writes pairs of image and caption, and a manifest with a row for every post.
print(balanced.export(demo / "balanced", images=demo / "images", caption="kohaku-epsilon"))
db.close()
