import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

import hakubooru as hb
import hakubooru_migrations
from hakubooru.errors import BusyError, DatabaseFileError, IncompleteError, OldGenerationError
from hakubooru_migrations import runner
from hakubooru_migrations.tag_lists import LISTS
from old_generations import base36, in_list, write_generation

SCRIPTS = (
    "0001_relations_from_tag_lists",
    "0002_lists_and_counts_gone",
    "0003_updated_at",
    "0004_tag_aliases",
    "0005_numbers_and_dates",
    "0006_unknown_values",
)
TAGS = [(number, f"tag_{number}", number % 5) for number in (*range(1, 40), 470575, 1429147, 2_000_000)]


def random_posts(count=60, seed=1):
    draw = random.Random(seed)
    posts = []
    for number in range(1, count + 1):
        hidden = draw.random() < 0.2
        row = [
            number * 7,
            f"20{draw.randint(10, 24)}-05-23T23:35:31.000-04:00",
            draw.randint(1, 900),
            draw.choice(["", "https://www.pixiv.net/en/artworks/1", "it's \0 'quoted'", "東方"]),
            None if hidden else f"{number:032x}",
            draw.choice([None, 7]),
            *(draw.randint(0, 1) for _ in range(3)),
            draw.choice([None, 58080247]),
            *(draw.randint(0, 1) for _ in range(4)),
            *(draw.randint(100, 9000) for _ in range(3)),
            draw.choice(["jpg", "png", "zip"]),
            draw.randint(0, 3),
            draw.randint(-20, 300),
            draw.randint(0, 400),
            draw.randint(-30, 0),
            draw.randint(0, 900),
            *(None if hidden else f"https://cdn.example.com/{kind}/{number}.jpg" for kind in "abc"),
        ]
        ids = [tag[0] for tag in TAGS]
        draw.shuffle(ids)
        posts.append((row, ids[: draw.randint(0, 12)]))
    return posts


def tables(path):
    """Every column of every published table; relations without their ids, in their order."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {
            "post": connection.execute("SELECT * FROM post ORDER BY id").fetchall(),
            "tag": connection.execute("SELECT * FROM tag ORDER BY id").fetchall(),
            "relation": connection.execute(
                "SELECT post_id, tag_id FROM posttagrelation ORDER BY post_id, id"
            ).fetchall(),
            "localpost": connection.execute("SELECT * FROM localpost").fetchall(),
        }


def definitions(path):
    with closing(sqlite3.connect(path)) as connection:
        return {
            name: sql
            for name, sql in connection.execute("SELECT name, sql FROM sqlite_master")
            if not name.startswith(("schema_migration", "tagalias", "sqlite_autoindex_tagalias"))
        }


@pytest.fixture
def path(tmp_path):
    return tmp_path / "old.db"


@pytest.fixture
def fresh(tmp_path):
    """A file of the present layout, made by the library, with what the old ones hold."""
    path = tmp_path / "fresh.db"
    posts = random_posts()
    with hb.create(path) as db:
        for row, ids in posts:
            db.rows(f"INSERT INTO post VALUES ({', '.join('?' * 27)})", [*row, row[1]])
            for tag_id in ids:
                db.rows("INSERT INTO posttagrelation (post_id, tag_id) VALUES (?, ?)", [row[0], tag_id])
        for tag in TAGS:
            count = sum(tag[0] in ids for _, ids in posts)
            db.rows("INSERT INTO tag VALUES (?, ?, ?, ?)", [*tag, count])
    return path


@pytest.mark.slow
@pytest.mark.parametrize("generation", [1, 2, 3, 4])
def test_every_generation_becomes_the_same_tables(path, fresh, generation):
    write_generation(path, generation, random_posts(), TAGS)
    if generation < 4:
        with pytest.raises(OldGenerationError, match=f"generation {generation}"):
            hb.open(path)
    report = hakubooru_migrations.migrate(path)
    assert (report.generation, report.scripts) == (generation, SCRIPTS[generation - 1 :])
    assert not [note for note in report.notes if "bytes inside the file are free" not in note]
    assert tables(path) == tables(fresh)
    assert definitions(path) == definitions(fresh)
    with hb.open(path) as db:
        assert db.scalar("PRAGMA user_version") == 3
        assert db.scalar("SELECT COUNT(*) FROM schema_migration") == 6
        assert not [name for (name,) in db.rows("SELECT name FROM sqlite_master") if "fts" in name]


def test_decimals_of_the_early_writer(path, fresh):
    write_generation(path, 1, random_posts(), TAGS, write_id=str)
    hakubooru_migrations.migrate(path)
    assert tables(path) == tables(fresh)


def test_lists_that_another_program_stored_as_blobs(path, fresh):
    write_generation(path, 1, random_posts(), TAGS)
    with closing(sqlite3.connect(path)) as connection, connection:
        names = ("tag_list", *LISTS)
        connection.execute(f"UPDATE post SET {', '.join(f'{name} = CAST({name} AS BLOB)' for name in names)}")
    hakubooru_migrations.migrate(path)
    assert tables(path) == tables(fresh)


def relations(path):
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT post_id, tag_id FROM posttagrelation ORDER BY post_id, id")
        tag_ids = {}
        for post_id, tag_id in rows:
            tag_ids.setdefault(post_id, []).append(tag_id)
        return tag_ids


@pytest.mark.parametrize(
    ("name", "ids", "write_id", "tags"),
    [
        ("only one reading exists: base 36", [36, 37], base36, [(36, 0), (37, 0)]),
        ("only one reading exists: decimal", [36, 37], str, [(36, 0), (37, 0)]),
        ("both exist, the types decide: base 36", [36, 37], base36, [(10, 3), (11, 3), (36, 0), (37, 1)]),
        ("both exist, the types decide: decimal", [10, 11], str, [(10, 3), (11, 3), (36, 0), (37, 1)]),
        ("more exist in one of them: base 36", [36, 37], base36, [(10, 0), (36, 0), (37, 0)]),
        ("single digits are the same", [3, 1, 2], base36, [(1, 0), (2, 0), (3, 0)]),
    ],
)
def test_a_list_without_letters_is_what_the_tags_say(path, name, ids, write_id, tags):
    row = random_posts()[0][0]
    write_generation(
        path, 1, [(row, ids)], [(tag_id, f"t{tag_id}", kind) for tag_id, kind in tags], write_id=write_id
    )
    hakubooru_migrations.migrate(path)
    assert relations(path) == {row[0]: ids}


@pytest.mark.parametrize(("neighbour", "ids"), [([1429147], [36, 37]), ([], [10, 11])])
def test_where_nothing_decides_the_rest_of_the_file_does(path, neighbour, ids):
    tags = [(tag_id, f"t{tag_id}", 0) for tag_id in (10, 11, 36, 37, 1429147)]
    first, second = (row for row, _ in random_posts(2))
    posts = [(first, ids), (second, neighbour)]
    write_generation(path, 1, posts, tags, write_id=base36 if neighbour else str)
    hakubooru_migrations.migrate(path)
    assert relations(path)[first[0]] == ids


def test_ids_of_no_tag_are_left_out_and_told(path):
    row = random_posts()[0][0]
    write_generation(path, 1, [(row, [1429147, 777, 5, 5])], TAGS)
    report = hakubooru_migrations.migrate(path)
    assert relations(path) == {row[0]: [1429147, 5]}
    assert (
        report.notes[0]
        == "tag ids left out of the lists: 1, because the file has no tags with these ids; the first is LL of post 7"
    )


def test_a_file_that_is_up_to_date_is_left_alone(path):
    write_generation(path, 1, random_posts(), TAGS)
    hakubooru_migrations.migrate(path)
    data = path.read_bytes()
    assert hakubooru_migrations.migrate(path).scripts == ()
    assert path.read_bytes() == data


@pytest.mark.parametrize("generation", [1, 2, 3, 4])
def test_a_plan_only_reports(path, generation):
    write_generation(path, generation, random_posts(), TAGS)
    data = path.read_bytes()
    plan = hakubooru_migrations.plan(path)
    assert (plan.generation, plan.scripts) == (generation, SCRIPTS[generation - 1 :])
    assert 0 < plan.bytes_needed < plan.bytes_free
    assert path.read_bytes() == data
    assert [entry.name for entry in path.parent.iterdir()] == ["old.db"]


def test_free_pages_are_told(path):
    write_generation(path, 1, random_posts(900), TAGS)
    [note] = hakubooru_migrations.migrate(path).notes
    with hb.open(path) as db:
        free = db.scalar("PRAGMA freelist_count") * db.scalar("PRAGMA page_size")
    assert free > 0
    assert note.startswith(f"{free:,} bytes inside the file are free now")


def test_popularity_is_counted_where_it_is_zero_throughout(path, fresh):
    write_generation(path, 4, random_posts(), TAGS)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE tag SET popularity = 0")
        connection.commit()
    hakubooru_migrations.migrate(path)
    assert tables(path) == tables(fresh)


def test_what_people_keep_in_localpost_stays(path):
    write_generation(path, 3, random_posts(), TAGS)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            'CREATE TABLE "localpost" ("id" INTEGER NOT NULL PRIMARY KEY, "filepath" VARCHAR(255), '
            '"latentpath" VARCHAR(255), "post_id" INTEGER NOT NULL)'
        )
        connection.execute("INSERT INTO localpost VALUES (1, '/data/7.webp', NULL, 7)")
        connection.commit()
    hakubooru_migrations.migrate(path)
    assert tables(path)["localpost"] == [(1, "/data/7.webp", None, 7)]


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_that_fails_leaves_the_file_as_before_it(path, fresh, monkeypatch, script):
    write_generation(path, 1, random_posts(), TAGS)
    run = runner.Runner._run

    def failing(self, name, module, direction, fake=False):
        if name == script:
            up = module.up

            def fail(migrator, db):
                up(migrator, db)
                raise KeyboardInterrupt

            module.up = fail
        run(self, name, module, direction, fake=fake)

    with monkeypatch.context() as patch:
        patch.setattr(runner.Runner, "_run", failing)
        with pytest.raises(KeyboardInterrupt):
            hakubooru_migrations.migrate(path)
    plan = hakubooru_migrations.plan(path)
    assert plan.scripts == SCRIPTS[SCRIPTS.index(script) :]
    assert plan.generation == min(SCRIPTS.index(script) + 1, 4)
    assert hakubooru_migrations.migrate(path).scripts == plan.scripts
    assert tables(path) == tables(fresh)


def test_no_log_is_left_beside_a_file_that_had_one(path):
    write_generation(path, 2, random_posts(), TAGS)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    hakubooru_migrations.migrate(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["old.db"]
    assert path.read_bytes()[18:20] == b"\1\1", "a version of 2 asks for a log"


def test_no_room_is_told_before_anything_is_written(path, monkeypatch):
    write_generation(path, 1, random_posts(), TAGS)
    data = path.read_bytes()
    monkeypatch.setattr(runner.shutil, "disk_usage", lambda _: type("", (), {"free": 1000}))
    with pytest.raises(IncompleteError, match=r"needs [\d,]+ free bytes .* there are 1,000"):
        hakubooru_migrations.migrate(path)
    assert path.read_bytes() == data


def test_what_is_no_metadata_file_is_told(path, tmp_path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE notes (text)")
    for call in (hakubooru_migrations.plan, hakubooru_migrations.migrate):
        with pytest.raises(
            DatabaseFileError, match="is not a Danbooru metadata database of generation 1 to 4"
        ):
            call(path)
        with pytest.raises(DatabaseFileError, match="does not exist"):
            call(tmp_path / "no.db")


def test_a_file_that_is_held_is_told(path):
    write_generation(path, 1, random_posts(), TAGS)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        start = time.monotonic()
        with pytest.raises(BusyError, match="is locked by"):
            hb.migrate(path, busy_timeout=0.1)
        assert time.monotonic() - start < 4, "by default it is five seconds"


def test_lists_are_written_as_published():
    assert in_list([int("6KMR", 36), 1]) == "$6KMR#$1#"


@pytest.mark.slow
def test_the_commands_as_processes(path):
    write_generation(path, 1, random_posts(), TAGS)
    command = [sys.executable, "-c", "from hakubooru_cli.main import main; main()", "db", "migrate", path]
    checked = subprocess.run([*command, "--check"], capture_output=True, text=True, check=True)
    assert "generation 1, to be done: 0001_relations_from_tag_lists" in checked.stdout
    assert "free bytes; there are" in checked.stdout
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "generation 1, done: 0001" in process.stdout
    assert process.stderr == ""
    repeat = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "generation 4, up to date" in repeat.stdout
