from hakubooru.quantity import quantity


def test_numbers_stand_with_nouns_that_agree():
    assert [quantity(n, "post") for n in (0, 1, 2, 1000)] == ["0 posts", "1 post", "2 posts", "1,000 posts"]
    assert quantity(1, "entry is", "entries are") == "1 entry is"
    assert quantity(0, "entry is", "entries are") == "0 entries are"


def test_one_post_is_one_post_in_every_view(db):
    posts = db.posts.limit(1)
    views = [str(posts.stats()), posts.explain(), posts._repr_html_(), posts.captions()._repr_html_()]
    assert posts.count() == 1
    views += [posts.explain(), posts._repr_html_(), repr(posts.among([1]))]
    assert [view for view in views if "1 posts" in view or "1 ids" in view or "1 captions" in view] == []
