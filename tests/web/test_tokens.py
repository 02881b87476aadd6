"""Tokens of servers: new ones, from files and the environment, and how the browser gets them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resight.errors import UsageError
from resight.web import WebSettings, server
from resight.web.scratch import Scratch
from resight.web.tokens import ENVIRONMENT_VARIABLE, find_token
from web_server import V1, checked, running

TOKEN = "0123456789abcdef-secret"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    return path


def test_servers_have_different_tokens_by_default():
    first, second = WebSettings(), WebSettings(host="0.0.0.0")
    assert first.token != second.token
    assert len(str(first.token)) >= 32
    assert str(first.token) not in repr(first)


def test_a_token_comes_from_a_file_then_the_environment(file, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "of-the-environment")
    assert find_token(file) == TOKEN
    assert find_token(None) == "of-the-environment"
    monkeypatch.delenv(ENVIRONMENT_VARIABLE)
    assert find_token(None) != find_token(None)


@pytest.mark.skipif(os.name != "posix", reason="permissions as on POSIX")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_a_file_that_others_can_read_is_refused(file, mode):
    file.chmod(mode)
    with pytest.raises(UsageError, match="other users can read it; protect it with chmod 600"):
        find_token(file)


@pytest.mark.parametrize("text", ["", "short", "with spaces in between", "é" * 20, "x" * 5000])
def test_what_is_no_token_is_refused(file, text, monkeypatch):
    file.write_text(text)
    with pytest.raises(UsageError, match="token_file: a token has"):
        find_token(file)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, text)
    with pytest.raises(UsageError, match="RESIGHT_TOKEN: a token has"):
        find_token(None)


def test_a_missing_file_is_one_line_on_the_command_line(resight, few_collection, tmp_path):
    done = resight("serve", "-c", few_collection, "--token-file", tmp_path / "none")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--token-file: " in done.stderr
    assert "cannot be read: No such file" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--open-to-this-machine", "--host", "0.0.0.0"], "without a token"),
        (["--open-to-this-machine", "--token-file", "x"], "not together"),
        (["--token", TOKEN], "No such option"),
    ],
)
def test_refused_combinations(resight, few_collection, options, message):
    done = resight("serve", "-c", few_collection, *options)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="permissions as on POSIX")
def test_the_command_line_of_the_browser_has_no_token(monkeypatch):
    opened: list[str] = []
    monkeypatch.setattr(server.webbrowser, "open", opened.append)
    scratch = Scratch()
    address = f"http://127.0.0.1:9/?token={TOKEN}"
    server.open_page(address, scratch.path).join()
    page = scratch.path() / "open.html"
    assert opened == [page.as_uri()]
    assert address in page.read_text()
    assert page.parent.stat().st_mode & 0o077 == 0
    scratch.close()
    assert not page.exists()
    server.open_page("http://127.0.0.1:9/", scratch.path).join()
    assert opened[1:] == ["http://127.0.0.1:9/"]


def test_serve_opens_the_page_with_a_new_token(few_collection, tmp_path):
    note = tmp_path / "opened"
    browser = f"{sys.executable} -c \"open('{note}', 'w').write('%s')\""
    command = [sys.executable, "-m", "resight", "serve", "-c", str(few_collection), "--port", "0"]
    environment = {**os.environ, "BROWSER": browser}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        words = (word for line in process.stderr for word in line.split())
        address = next(word for word in words if "://" in word)
        while not note.exists() or not note.read_text():
            assert process.poll() is None
        opened = Path(note.read_text().removeprefix("file://"))
        assert address in opened.read_text()
        process.terminate()
    assert not opened.parent.exists()


@pytest.mark.browser
def test_the_browser_is_led_to_the_page_and_gets_its_cookie(few_collection, chromium, tmp_path):
    with running(few_collection, token=TOKEN) as started:
        page = tmp_path / "open.html"
        page.write_text(server.OPENING_PAGE.format(f"{started.url}/?token={TOKEN}"))
        window = chromium.new_page()
        window.goto(page.as_uri())
        window.wait_for_url(f"{started.url}/")
        window.locator("#picker").wait_for(state="attached")
        cookies = window.context.cookies()
        assert [cookie["value"] for cookie in cookies] == [TOKEN]
        status = "async place => (await fetch(place)).status"
        assert window.evaluate(status, f"{V1}/collection") == 200
        window.context.clear_cookies()
        assert window.evaluate(status, f"{V1}/collection") == 401
        window.close()
        checked(started.client.get(f"{V1}/collection"), 401)
