"""Every metatag, state and order that Danbooru knows is answered, or refused with what the file lacks.

The lists are Danbooru's own (`app/logical/post_query_builder.rb` and `app/models/post.rb` of 06587d1f).
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hakubooru as hb
from booru import write_random
from hakubooru.errors import SearchError
from hakubooru.select.danbooru import caveats, parse
from hakubooru.select.danbooru.metatags import METATAGS
from hakubooru.select.danbooru.ranges import INTEGERS

# What is answered, with a value that is; and what is refused, by what the file lacks.
ANSWERED = """
    id:1 rating:g source:x status:active filetype:png parent:1 child:any embedded:true md5:00000000000000000000000000000000
    width:1 height:1 mpixels:1 ratio:1 score:1 upvotes:1 downvotes:1 favcount:1 filesize:1 date:2024-01-01 age:1 limit:1
    tagcount:1 pixiv_id:1 pixiv:1 unaliased:solo random:1 child_count:1 deleted_child_count:1 active_child_count:1
    children:1 deleted_children:1 active_children:1 gentags:1 arttags:1 copytags:1 chartags:1 metatags:1
    is:parent is:child is:active is:deleted is:banned is:jpg is:png is:gif is:webp is:avif is:mp4 is:webm is:swf is:zip
    is:general is:sensitive is:questionable is:explicit is:safe is:nsfw is:sfw
    has:parent has:child has:children has:source
    status:deleted status:banned status:any status:all parent:any parent:none parent:deleted child:none child:banned
"""
ORDERS = """
    id id_desc md5 md5_asc score score_asc upvotes upvotes_asc downvotes downvotes_asc favcount favcount_asc created_at
    created_at_asc change change_asc mpixels mpixels_asc portrait landscape filesize filesize_asc tagcount tagcount_asc
    random custom none child_count child_count_asc deleted_child_count active_child_count_desc children children_asc
    deleted_children active_children_asc gentags gentags_asc arttags copytags_asc chartags_desc metatags
"""
REFUSED = {
    "notes": """note:x noter:x noteupdater:x note_count:1 notes:1 deleted_note_count:1 deleted_notes:1 active_note_count:1
        active_notes:1 has:notes order:note order:note_asc order:notes order:note_count_desc order:active_notes_asc""",
    "comments": """comment:x commenter:x comm:x comment_count:1 comments:1 deleted_comment_count:1 deleted_comments:1
        active_comment_count:>1 active_comments:1 has:comments order:comment order:comment_asc order:comm order:comm_asc
        order:comments order:comment_count order:deleted_comments_desc order:comment_bumped order:comment_bumped_asc""",
    "artist commentaries": """commentary:true commentaryupdater:x artcomm:x has:commentary order:artcomm
        order:artcomm_asc""",
    "pools": """pool:x ordpool:x pool_count:1 pools:1 deleted_pool_count:1 deleted_pools:1 active_pool_count:1
        active_pools:1 series_pool_count:1 series_pools:1 collection_pool_count:1 collection_pools:1 has:pools order:pools
        order:pool_count_asc order:series_pools""",
    "votes": "upvote:x downvote:x",
    "favourites of users": "fav:x ordfav:x favgroup:x ordfavgroup:x reacted:x",
    "moderation queue": """approver:x flagger:x appealer:x disapproved:x flag_count:1 flags:1 appeal_count:1 appeals:1
        approval_count:1 approvals:1 disapproval_count:1 disapprovals:1 is:pending is:flagged is:appealed is:modqueue
        is:unmoderated status:pending status:unmoderated parent:flagged child:appealed has:flags has:appeals order:flags
        order:appeals_asc order:approval_count order:disapprovals order:disapproved order:modqueue order:modqueue_asc""",
    "replaced files": "replacement_count:1 replacements:1 has:replacements order:replacements",
    "user names": "user:x",
    "saved searches": "search:x",
    "EXIF data": "exif:x",
    "machine-made tags": "ai:x",
    "lengths of videos": "duration:1 order:duration order:duration_asc",
    "hashes of pixels": "pixelhash:x",
    "wiki pages": "is:wiki_image",
    "ranking of the day": "order:rank",
}


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    path = tmp_path_factory.mktemp("known") / "posts.db"
    write_random(path, 60)
    with hb.open(path) as database:
        yield database


@pytest.mark.parametrize("text", ANSWERED.split())
def test_what_the_file_knows_is_answered(db, text):
    ids = db.posts.search(text).to_ids().tolist()
    assert set(ids) <= set(range(1, 61))
    if not text.startswith(("limit:", "random:")):
        assert sorted(ids + db.posts.search(f"-{text}").to_ids().tolist()) == list(range(1, 61))


@pytest.mark.parametrize("order", ORDERS.split())
def test_what_the_file_knows_gives_an_order(db, order):
    assert sorted(db.posts.search(f"order:{order} id:7,3,5").to_ids().tolist()) == [3, 5, 7]


@pytest.mark.parametrize(
    ("text", "lack"), [(text, lack) for lack, texts in REFUSED.items() for text in texts.split()]
)
def test_what_the_file_lacks_is_refused_by_its_name(db, text, lack):
    with pytest.raises(SearchError, match=f"a metadata file has no {lack}"):
        db.posts.search(text)


@pytest.mark.parametrize(
    "text", ["is:active", "status:Active", "-parent:active solo", "child:active or solo"]
)
def test_what_the_file_cannot_tell_apart_is_said(db, text):
    (caveat,) = caveats(parse(text))
    assert caveat.endswith("ctive: pending and flagged posts are not known, and count as active")
    steps = db.posts.search(text).funnel()["step"]
    assert "pending and flagged posts are not known" in " ".join(steps)


@pytest.mark.parametrize("text", ["", "solo", "is:deleted", "status:any", 'source:"active"'])
def test_nothing_is_said_where_nothing_is_lost(text):
    assert caveats(parse(text)) == []


def test_a_metatag_over_a_column_is_one_row(db, monkeypatch):
    monkeypatch.setitem(METATAGS, "lead", (hb.Post.up_score + hb.Post.down_score - hb.Post.score, INTEGERS))
    leads = {post.id: post.up_score + post.down_score - post.score for post in db.posts.posts()}
    low = sorted(leads.values())[30]
    expected = [post for post, lead in leads.items() if lead > low]
    assert 0 < len(expected) < len(leads)
    assert db.posts.search(f"lead:>{low}").to_ids().tolist() == expected
    assert db.posts.search(f"-lead:>{low}").count() == len(leads) - len(expected)


SIGNS = {
    "{}": lambda value, a, b: value == a,
    ">{}": lambda value, a, b: value > a,
    ">={}": lambda value, a, b: value >= a,
    "<{}": lambda value, a, b: value < a,
    "<={}": lambda value, a, b: value <= a,
    "..{}": lambda value, a, b: value <= a,
    "{}..": lambda value, a, b: value >= a,
    "{}..{}": lambda value, a, b: min(a, b) <= value <= max(a, b),
}
part = st.tuples(st.sampled_from(list(SIGNS)), st.integers(-3, 20), st.integers(-3, 20))


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["score", "id", "favcount", "children"]), st.lists(part, min_size=1, max_size=5))
def test_a_list_is_any_of_its_parts(db, name, parts):
    posts = list(db.posts.posts())
    parents = [post.parent_id for post in posts]
    value = {
        "score": lambda post: post.score,
        "id": lambda post: post.id,
        "favcount": lambda post: post.fav_count,
        "children": lambda post: parents.count(post.id),
    }[name]
    text = ",".join(form.format(a, b) for form, a, b in parts)
    expected = {post.id for post in posts if any(SIGNS[form](value(post), a, b) for form, a, b in parts)}
    assert db.posts.search(f"{name}:{text}").to_ids().tolist() == sorted(expected)
    assert db.posts.search(f"-{name}:{text}").to_ids().tolist() == sorted(set(range(1, 61)) - expected)
