import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import count

import pytest

from hakubooru.processes import LostProcessError, Workers, ahead, generated


def test_all_processes_are_there_from_the_first_work_on():
    with Workers(3, os.getpid) as pool:
        assert pool.submit(divmod, 7, 2).result() == (3, 1)
        assert len(pool._processes) == 3


def test_openblas_is_asked_for_one_thread_and_the_caller_keeps_its_environment(monkeypatch):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with Workers(1, os.getpid) as pool:
        assert pool.submit(os.getenv, "OPENBLAS_NUM_THREADS").result() == "1"
    assert "OPENBLAS_NUM_THREADS" not in os.environ

    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    with Workers(1, os.getpid) as pool:
        assert pool.submit(os.getenv, "OPENBLAS_NUM_THREADS").result() == "2"
    assert os.environ["OPENBLAS_NUM_THREADS"] == "2"


def test_processes_that_still_start_can_be_ended_at_once():
    pool = Workers(2, time.sleep, 600)
    pool.submit(os.getpid)
    processes = list(pool._processes.values())
    pool.end()
    assert not any(process.is_alive() for process in processes)


SCRIPT = """
import os
from hakubooru.processes import Workers
print("the script runs", __name__, os.path.basename(__file__))
with Workers(1, os.getpid) as pool:
    print(pool.submit(divmod, 7, 2).result())
print(os.path.basename(__file__))
"""


def test_a_script_needs_no_guard_and_runs_once(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    run = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["the script runs __main__ script.py", "(3, 1)", "script.py"]
    assert run.stderr == ""


def work_until_one_dies(pool):
    pool.submit(signal.raise_signal, signal.SIGKILL)
    while True:
        pool.submit(divmod, 7, 2).result()


@pytest.mark.kill
@pytest.mark.parametrize("attempt", range(4))
def test_a_worker_may_die_while_others_begin(attempt):
    with Workers(4, os.getpid) as pool, pytest.raises(BrokenProcessPool):
        work_until_one_dies(pool)


def test_what_a_generator_yields_and_raises_comes_from_another_process():
    with generated(range, 3) as items:
        assert list(items) == [0, 1, 2]
    with generated(map, divmod, [7, 7], [2, 0]) as items:
        assert next(items) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            next(items)


@pytest.mark.kill
def test_the_process_of_a_generator_ends_with_its_reader():
    with generated(range, 10**9) as items:
        assert next(items) == 0
        assert len(multiprocessing.active_children()) == 1
    assert multiprocessing.active_children() == []
    with generated(range, 10**9) as items:
        multiprocessing.active_children()[0].kill()
        with pytest.raises(LostProcessError):
            list(items)


@pytest.mark.slow
def test_the_process_of_a_generator_says_nothing_if_its_reader_leaves_while_it_ends(tmp_path, capfd):
    ending = tmp_path / "ending"
    with generated(map, atexit.register, [time.sleep, os.mkdir], [0.2, str(ending)]) as items:
        list(items)
        while not ending.exists():
            time.sleep(0.01)
    assert capfd.readouterr().err == ""


ORPHANS = {
    "generated": """
import os, signal
from hakubooru.processes import generated
with generated(range, 10**9) as items:
    next(items)
    os.kill(os.getpid(), signal.SIGKILL)
""",
    "workers": """
import os, signal
from hakubooru.processes import Workers
pool = Workers(2, os.getpid)
pool.submit(os.getpid).result()
os.kill(os.getpid(), signal.SIGKILL)
""",
}


@pytest.mark.kill
@pytest.mark.skipif(sys.platform == "win32", reason="nothing is killed there by signal")
@pytest.mark.parametrize("kind", ORPHANS)
def test_processes_die_with_their_caller(kind):
    # The output ends when no process is left that could write to it; an orphan would be one, and time would run out.
    process = subprocess.run(
        [sys.executable, "-c", ORPHANS[kind]], stdout=subprocess.PIPE, check=False, timeout=60
    )
    assert process.returncode == -signal.SIGKILL


def test_work_ahead_comes_in_order_and_goes_no_further_than_asked():
    numbers = []

    def squared(number):
        numbers.append(number)
        return number**2

    assert list(ahead(ThreadPoolExecutor(2), squared, range(9), 4)) == [number**2 for number in range(9)]
    numbers.clear()
    results = ahead(ThreadPoolExecutor(2), squared, count(), 3)
    assert [next(results), next(results)] == [0, 1]
    results.close()
    assert set(numbers) <= {0, 1, 2, 3, 4}
