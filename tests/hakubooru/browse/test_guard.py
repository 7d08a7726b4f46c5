"""Who may ask the browser, and what every answer says."""

from __future__ import annotations

import _thread
import asyncio
import http.client
import socket
import stat
import threading
import time
from urllib.parse import urlsplit

import pytest

import hakubooru as hb
from gallery import ask, browsing
from hakubooru.browse import Browser
from hakubooru.browse.site import site
from hakubooru.errors import InputError


@pytest.fixture(scope="module")
def url(browser):
    return browser.url


def test_a_page_is_answered_with_a_policy_that_runs_no_foreign_script(url):
    answer = ask(url, "/")
    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "<script>" not in answer.text
    assert " style=" not in answer.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "192.168.0.1", ""])
def test_a_name_that_leads_here_from_elsewhere_is_refused(url, host):
    assert ask(url, "/", host=host).status == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_a_change_from_another_site_is_refused(url, origin):
    assert ask(url, "/pick", form={"post": "5", "kind": "keep"}, origin=origin).status == 403


def test_nothing_is_changed_by_a_get(url):
    for how in ("add", "save", "export", "stop", "new"):
        assert ask(url, f"/set/{how}").status in {404, 405}
    assert ask(url, "/pick?post=5&kind=keep").status == 405


def test_a_large_form_is_refused(url):
    assert ask(url, "/set/add", form={"kind": "keep", "value": "1 " * 600_000}).status == 413


def test_names_of_files_are_letters_digits_and_lines(url, folder):
    for name in ("../out", "a/b", "a.b", "", "é", "x" * 81):
        assert "cannot be used" in ask(url, "/set/save", form={"name": name}).text
        assert ask(url, "/set/open", form={"name": name}).status == 422
    assert list((folder / "work").iterdir()) == []


def test_files_of_the_server_are_not_served(url):
    for path in ("/static/../server.py", "/static/%2e%2e/server.py", "/static//etc/passwd"):
        assert ask(url, path).status == 404


def test_off_loopback_the_address_has_a_token(folder):
    with browsing(folder, host="0.0.0.0") as browser:
        assert ask(browser.url, "/").status == 401
        assert ask(browser.url, "/?token=guess").status == 401
        address = f"192.0.2.1:{browser.url.split(':')[-1].strip('/')}"
        entered = ask(browser.url, f"/?q=solo&token={browser.token}", host=address)
        assert (entered.status, entered.headers["location"]) == (303, "/?q=solo")
        cookie = entered.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert ask(browser.url, "/?q=solo", cookie=cookie.split(";")[0]).status == 200
        assert browser.token in browser.first


def test_a_port_in_use_and_a_missing_folder_are_told(folder):
    with socket.create_server(("127.0.0.1", 0)) as listener, hb.open(folder / "gallery.db") as db:
        with pytest.raises(InputError, match="name another --port"):
            Browser(db, work=folder, port=listener.getsockname()[1])
        with pytest.raises(InputError, match="does not exist"):
            Browser(db, work=folder / "nowhere")


@pytest.mark.slow
def test_the_database_may_lie_on_a_disk_that_cannot_be_written(folder, tmp_path):
    path = tmp_path / "locked" / "gallery.db"
    path.parent.mkdir()
    path.write_bytes((folder / "gallery.db").read_bytes())
    path.chmod(stat.S_IREAD)
    path.parent.chmod(stat.S_IREAD | stat.S_IEXEC)
    with hb.open(path) as db, Browser(db, work=tmp_path) as browser:
        assert '<strong id="count">50</strong>' in ask(browser.url, "/?q=solo").text
        assert ask(browser.url, "/facets?q=solo").status == 200
    assert [file.name for file in path.parent.iterdir()] == ["gallery.db"]


def test_small_answers_are_sent_at_once_over_a_connection_that_is_kept(url):
    """Without TCP_NODELAY each waits 40 ms for the confirmation of the one before."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port)
    times = []
    for _ in range(60):
        start = time.perf_counter()
        connection.request("GET", "/complete?word=1")
        connection.getresponse().read()
        times.append(time.perf_counter() - start)
    connection.close()
    assert min(times[-20:]) < 0.03


def test_a_form_that_is_not_sent_to_its_end_is_no_error(folder):
    """It is answered, and the terminal shows nothing of it."""
    sent = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"origin", b"http://localhost"), (b"content-length", b"500")]
    scope = {"type": "http", "method": "POST", "path": "/set/add", "query_string": b"", "headers": headers}
    with browsing(folder) as browser:
        asyncio.run(site(browser.session)(scope, receive, send))
    assert sent[0]["status"] == 400


@pytest.mark.slow
def test_interrupted_while_it_waits_the_browser_still_waits_for_its_server(folder):
    """A `join` that is interrupted counts a thread as ended."""
    with browsing(folder) as browser:
        timer = threading.Timer(0.2, _thread.interrupt_main)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            browser.wait()
        timer.join()
        assert browser._thread.is_alive()
        assert ask(browser.url, "/").status == 200
    assert not browser._thread.is_alive()
