from hakubooru.quantity import quantity


def test_numbers_stand_with_nouns_that_agree():
    assert [quantity(n, "post") for n in (0, 1, 2, 1000)] == ["0 posts", "1 post", "2 posts", "1,000 posts"]
    assert quantity(1, "entry is", "entries are") == "1 entry is"
    assert quantity(0, "entry is", "entries are") == "0 entries are"


def test_one_post_is_one_post_in_every_view(db):
    one = db.posts.limit(1)
    views = [str(one.stats()), one.explain(), one._repr_html_(), one.captions()._repr_html_()]
    assert one.count() == 1
    views += [one.explain(), one._repr_html_(), repr(one.among([1]))]
    assert [view for view in views if "1 posts" in view or "1 ids" in view or "1 captions" in view] == []
