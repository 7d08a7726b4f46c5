import errno
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest

from hakubooru.processes import submit


@pytest.fixture
def pool():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_hands_over_work(pool):
    assert submit(pool, divmod, 7, 2).result() == (3, 1)


def test_a_pool_that_broke_while_a_worker_was_started_is_broken(pool):
    pool._call_queue._reader.close()  # what the death of another worker does, at a moment that no test can choose

    with pytest.raises(BrokenProcessPool, match="while another was being started"):
        submit(pool, divmod, 7, 2)


def test_other_troubles_keep_their_names(pool, monkeypatch):
    def no_more_processes():
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(pool, "_adjust_process_count", no_more_processes)

    with pytest.raises(OSError, match="temporarily unavailable"):
        submit(pool, divmod, 7, 2)
