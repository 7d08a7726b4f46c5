"""An export that goes on with a database that has changed says so."""

import shutil

import hakubooru as hb
from exports import run
from pictures import picture, write_tar


def test_a_post_that_changed_meanwhile_is_told(small):
    write_tar(small / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 6)})
    run(small, small / "out")
    with hb.open(small / "posts.db", writable=True) as database:
        database.connection().execute("UPDATE post SET fav_count = 1000 WHERE id = 1")
        database.connection().commit()
    report = run(small, small / "out")
    assert report.added == 0
    assert "The database has changed since this export was begun" in str(report)
    shutil.copy(small / "posts.db", small / "copy.db")
    shutil.move(small / "copy.db", small / "posts.db")
    assert run(small, small / "out").other_database == report.other_database
