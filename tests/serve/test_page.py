"""The page in a headless Chromium: keyboard, token, labels, spans, errors, light and dark."""

import contextlib
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from serve_process import TOKEN, Running
from small_export import write_export

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]
RESULT = "document.querySelector('#result').innerText"
DONE = "document.querySelector('#result details') || document.querySelector('#problem').textContent"


@pytest.mark.parametrize("dark", [False, True])
def test_predict_with_the_keyboard_alone(dark: bool, first: Path, tmp_path: Path) -> None:
    entities = write_export(tmp_path / "entities", 1, "ner")
    with Running(f"demo={first}", f"entities={entities}", token=TOKEN) as server, contextlib.ExitStack() as at_end:
        browser = Browser(tmp_path)
        at_end.callback(browser.close)
        browser.open(server.address, is_dark=dark)
        browser.wait("document.activeElement?.id === 'token'")
        browser.type("not the right token")
        browser.press("Enter")
        browser.wait("document.querySelector('#problem').textContent.includes('wrong')")
        browser.run("document.activeElement.select()")
        browser.type(TOKEN)
        browser.press("Enter")
        browser.wait("!document.querySelector('#request').hidden")
        browser.run("document.querySelector('#model').focus()")
        browser.press("Tab")
        assert browser.run("document.activeElement.name") == "text"
        browser.type("<b>good</b> lamp")
        browser.press("Enter", ctrl=True)
        browser.wait(DONE)
        assert browser.run(RESULT).count("%") == 2
        assert browser.run("document.querySelectorAll('#result meter').length") == 2
        browser.run(
            "{ const m = document.querySelector('#model'); m.selectedIndex = 1; m.dispatchEvent(new Event('change')) }"
        )
        browser.run("document.querySelector('textarea').focus()")
        browser.type("\U0001f600 <i>Ada</i> met Bob")
        browser.press("Enter", ctrl=True)
        browser.wait(DONE)
        # the text is shown as it is: no markup of it became an element
        assert browser.run("document.querySelector('#result p.text').textContent").startswith("\U0001f600 <i>")
        assert browser.run("document.querySelectorAll('#result i, #result b').length") == 0
        assert browser.run("document.querySelectorAll('#result mark').length") > 0
        background = browser.run("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(19, 21, 23)" if dark else "rgb(251, 251, 249)")
        assert not [message for message in browser.messages if "401" not in message]
        inline = "Object.assign(document.createElement('script'), {textContent: 'window.hacked = 1'})"
        browser.run(f"document.head.append({inline})")
        assert browser.run("typeof window.hacked") == "undefined"
        server.process.kill()
        server.process.wait()
        browser.press("Enter", ctrl=True)
        browser.wait("document.querySelector('#problem').textContent.length > 3")
