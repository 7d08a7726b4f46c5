import errno
import os
import signal
from concurrent.futures.process import BrokenProcessPool

import pytest

from hakubooru.processes import Workers


@pytest.fixture
def pool():
    with Workers(2, os.getpid) as pool:
        yield pool


def test_work_is_done(pool):
    assert pool.submit(divmod, 7, 2).result() == (3, 1)


def test_a_death_while_another_worker_is_started_is_told(pool):
    pool._call_queue._reader.close()  # what the pool does after a death, at a moment that no test can choose

    with pytest.raises(BrokenProcessPool, match="while another was being started"):
        pool.submit(divmod, 7, 2)


def test_other_troubles_keep_their_names(pool, monkeypatch):
    def no_more_processes():
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(pool, "_adjust_process_count", no_more_processes)

    with pytest.raises(OSError, match="temporarily unavailable"):
        pool.submit(divmod, 7, 2)


def work_until_one_dies(pool):
    pool.submit(signal.raise_signal, signal.SIGKILL)
    while True:
        pool.submit(divmod, 7, 2).result()


@pytest.mark.parametrize("time", range(6))
def test_a_worker_may_die_while_others_are_started(time):
    with Workers(4, os.getpid) as pool, pytest.raises(BrokenProcessPool):
        work_until_one_dies(pool)
    assert not any(process.is_alive() for process in pool._context.started)
