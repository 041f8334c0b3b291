"""What a batch's monitor shows and does, from the kernel's side; `tests/ui/test_batch_monitor.py` uses a browser."""

from __future__ import annotations

import struct
import threading
import uuid
import zipfile
import zlib

import pytest
from support import eventually

from jupyter_mlops.notebook.batch_html import head, short, time_text
from jupyter_mlops.notebook.batch_monitor import Monitor
from jupyter_mlops.notebook.thumbnails import LARGE, SMALL, opened, thumbnail
from jupyter_mlops.schema.batches import BatchArtifact, BatchProgress, BatchState

HOSTILE = "<img src=x onerror=alert(1)>"
PUBLISH = f"""%%publish shop 1 --artifacts chart.png,table.csv,note.txt,picture.svg,raw.bin,fake.png --as service
import os
def sell(day: int, country: str) -> str:
    if day == 3:
        open('chart.png', 'wb').write(PNG)
        open('table.csv', 'w').write('item,price\\n<b>lamp</b>,3\\n')
    if day == 4:
        open('note.txt', 'w').write('{HOSTILE}')
        open('picture.svg', 'w').write('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
        open('raw.bin', 'wb').write(bytes(range(256)))
        open('fake.png', 'w').write('<script>alert(2)</script>')
    if day % 5 == 2 and not os.path.exists(RATES):
        print('looking for', country)
        raise LookupError('no rate for {HOSTILE}')
    return country * 2"""


def png() -> bytes:
    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(bytes(4))) + part(b"IEND", b"")


@pytest.fixture
def shop(notebook, tmp_path, monkeypatch):
    """A notebook whose service fails on some days until there is a file."""
    monkeypatch.chdir(tmp_path)  # whoever calls the function here finds its files here
    notebook.shell.push({"PNG": png(), "RATES": str(tmp_path / "rates.txt")})
    notebook.ok("%mlops status")
    notebook.ok(PUBLISH.replace("shop 1", f"shop-{uuid.uuid4().hex[:8]} 1"))
    return notebook


@pytest.fixture
def monitor(shop):
    """The monitor of a batch of 20 rows, 4 of which have failed."""
    job = shop.ok("service.batch([{'day': n, 'country': f'<i>{n}</i>'} for n in range(20)]).start()").value
    monitor = Monitor(job, shop.shell)
    assert monitor.panel
    monitor.go_on()
    ended(monitor)
    yield monitor
    monitor._rows._transport.close()


def ended(monitor):
    eventually(lambda: not monitor.watching and not monitor.panel._busy.locked(), 30)


def press(monitor, button):
    """Press a button, and wait until it is done."""
    assert not button.disabled
    button.click()
    eventually(lambda: not monitor.panel._busy.locked(), 30)
    eventually(lambda: "..." not in monitor.panel._message.value)


def buttons(monitor):
    return [button for button, _ in monitor.panel._buttons]


def test_it_shows_how_far_it_is_and_what_failed(monitor):
    panel = monitor.panel
    assert "20 of 20 rows" in panel._head.value
    assert "4 failed" in panel._head.value
    assert "aria-valuenow='20'" in panel._head.value
    assert panel._newest.value.count("<tr") == 6
    assert "&lt;i&gt;19&lt;/i&gt;" in panel._newest.value
    assert "LookupError: no rate for &lt;img" in panel._kinds[0]._text.value
    assert panel._kinds[1].widget.layout.display == "none"
    assert "Complete, 20 of 20 rows, 4 failed, 6 artifacts" in monitor.text()
    cancel, retry, archive, frame = buttons(monitor)
    assert (cancel.disabled, retry.disabled, archive.disabled, frame.disabled) == (True, False, False, False)


def test_nothing_that_a_user_wrote_is_markup(monitor):
    press(monitor, monitor.panel._kinds[0]._button)
    for tile in monitor.panel.gallery._tiles:
        press(monitor, tile.button)
        shown = monitor.panel.gallery._viewer.value
        assert "<script" not in shown
        assert "<svg" not in shown
        assert "onerror" not in shown or "&lt;img src=x" in shown
    html = monitor.html() + monitor.panel._detail.value
    for markup in (HOSTILE, "<i>", "<b>", "<script", "<svg"):
        assert markup not in html
    assert html.count("<img") == 1, "the one real picture"
    assert "data:image/png;base64," in html


@pytest.mark.slow
def test_a_row_that_failed_is_opened(monitor):
    panel = monitor.panel
    assert panel._kinds[0]._button.description == "Row 2"
    press(monitor, panel._kinds[0]._button)
    assert "looking for &lt;i&gt;2&lt;/i&gt;" in panel._detail.value
    assert "Traceback" in panel._detail.value
    assert panel._row.layout.display is None
    panel._close_row()
    assert panel._detail.value == ""


def test_failed_rows_are_tried_again_and_the_monitor_goes_on(monitor, tmp_path):
    (tmp_path / "rates.txt").write_text("1")
    press(monitor, buttons(monitor)[1])
    ended(monitor)
    assert "failed" not in monitor.panel._head.value
    assert monitor.panel._errors.layout.display == "none"
    assert buttons(monitor)[1].disabled


@pytest.mark.slow
def test_it_hears_of_a_retry_in_code(monitor, tmp_path):
    (tmp_path / "rates.txt").write_text("1")
    monitor.panel._job.retry_failed()
    eventually(lambda: "failed" not in monitor.text())


def test_the_results_get_a_name_that_was_free(monitor, shop):
    shop.ok("results = 'mine'")
    press(monitor, buttons(monitor)[3])
    assert "results_2 is a DataFrame of 20 rows and 7 columns" in monitor.panel._message.value
    assert shop.ok("results, len(results_2), results_2['answer'][0]").value == ("mine", 20, "<i>0</i><i>0</i>")
    press(monitor, buttons(monitor)[3])
    assert "results_2 is" in monitor.panel._message.value, "the same again"


def test_artifacts_are_downloaded_saved_and_found_by_row(monitor, tmp_path):
    press(monitor, buttons(monitor)[2])
    (archive,) = tmp_path.glob("batch-*.zip")
    assert str(archive) in monitor.panel._message.value
    assert {"3/chart.png", "4/raw.bin"} < set(zipfile.ZipFile(archive).namelist())
    gallery = monitor.panel.gallery
    assert [tile.button.description for tile in gallery._tiles][:2] == ["chart.png", "table.csv"]
    assert "1 to 5 of 6" in gallery._title.value
    press(monitor, gallery._later)
    assert "6 to 6 of 6" in gallery._title.value
    assert gallery._later.disabled
    gallery._row.value = 4
    eventually(lambda: "3 to 6 of 6" in gallery._title.value)
    press(monitor, gallery._tiles[0].button)
    press(monitor, gallery._save)
    assert str(tmp_path / "row-4-fake.png") in monitor.panel._message.value
    assert (tmp_path / "row-4-fake.png").read_text() == "<script>alert(2)</script>"


@pytest.mark.slow
def test_a_refusal_is_a_message(monitor, shop):
    monitor.panel._job.delete()
    press(monitor, buttons(monitor)[3])
    assert "no such batch" in monitor.panel._message.value
    monitor.go_on()
    ended(monitor)
    assert "Not watched any more" in monitor.text()


@pytest.mark.slow
def test_a_server_that_starts_again_is_found_and_none_is_started(start_server, monkeypatch, tmp_path):
    from jupyter_mlops import DeployClient
    from jupyter_mlops.discovery import read_server_file

    server = start_server()
    monkeypatch.setenv("JUPYTER_MLOPS_DATA_DIR", str(server.data_dir))
    monkeypatch.delenv("JUPYTER_MLOPS_URL", raising=False)

    class Shell:
        user_ns: dict = {}

    def nap(x: int) -> int:
        import time

        time.sleep(0.01)
        return x

    client = DeployClient()
    job = client.deploy_service("nap", version="1", code_fn=nap).batch([{"x": n} for n in range(300)]).start()
    monitor = Monitor(job, Shell())
    monitor.go_on()
    eventually(lambda: monitor._seen and monitor._seen.completed)
    server.stop(kill=True)
    eventually(lambda: "Connection lost" in monitor.text())
    assert read_server_file(server.data_dir).pid == server.process.pid, "watching starts no server"
    server.start()
    ended(monitor)
    assert "Complete, 300 of 300 rows" in monitor.text()
    assert "Connected again" in monitor.text()
    asked = threading.Thread(target=monitor._rows.news, args=(10**9, 25))
    asked.start()
    asked.join(15)
    assert not asked.is_alive(), "what a server before this one counted is no reason to wait"
    for transport in (client.transport, monitor._rows._transport):
        transport.close()


def test_small_pictures_of_files():
    def file(name, data):
        return BatchArtifact(7, name, len(data)), data

    assert "data:image/png;base64," in thumbnail(*file("a.dat", png()))
    assert "data:image/gif" in opened(*file("a", b"GIF89a..."))
    assert "<th" in thumbnail(*file("a.tsv", b"x\ty\n1\t2\n"))
    assert "ü" in thumbnail(*file("a.log", ("ü" * 1000).encode()))
    assert ">BIN<" in thumbnail(*file("a.bin", b"\0\1\2"))
    assert ">PNG<" in thumbnail(BatchArtifact(7, "big.png", SMALL + 1), None)
    large = opened(BatchArtifact(7, "big.png", LARGE + 1), None)
    assert "too large" in large
    assert "4.0 MiB" in large
    assert len(opened(*file("a.txt", b"x" * 100_000))) < 25_000
    assert len(opened(*file("a.csv", b"a,b\n" + b"1,2\n" * 100_000))) < 10_000
    assert '"' not in thumbnail(*file("\"'.bin", b"\0")).replace("&quot;", "")


def test_words_for_values_times_and_states():
    assert (short(None), short(1 / 3), short("a\n b"), short(True)) == ("-", "0.333333", "a b", "True")
    assert len(short("x" * 1000)) == 60
    assert (time_text(0.42), time_text(59), time_text(125), time_text(3720)) == (
        "0.4 s",
        "59 s",
        "2 min 5 s",
        "1 h 2 min",
    )
    seen = BatchProgress(
        "1", "a", "1", 1, "me", BatchState.IN_PROGRESS, reason="waiting for disk space", total=1000, completed=500,
        failed=10, running=3, rate=123.4, seconds_left=4.2,
    )  # fmt: skip
    html = head(seen, "note")
    for text in ("500 of 1,000 rows", "10 failed", "3 running", "123 rows/s", "4.2 s left", "disk space", "note"):
        assert text in html
