"""Forms are read the same however their bytes are cut, and every fault is told."""

import asyncio
import contextlib
import itertools
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from urllib3.filepost import encode_multipart_formdata

from jupyter_mlops.errors import Conflict, InvalidRequest, UnsupportedMediaType
from jupyter_mlops.server.handlers.multipart import FIELD_LIMIT, HEADER_LIMIT, PART_LIMIT, Form
from jupyter_mlops.server.handlers.spool import Spool

KIND = "multipart/form-data; boundary=line"


class Kept:
    """A sink that shows what it was given."""

    def __init__(self):
        self.data = bytearray()
        self.removed = False

    async def write(self, data):
        self.data += data

    def remove(self):
        self.removed = True


def read(body, kind=KIND, cuts=(), files=frozenset({"file", "model"})):
    """Read a body in pieces; the form, and what each file's sink got."""
    kept = []

    def open_file(part):
        kept.append((part, Kept()))
        return kept[-1][1]

    form = Form(kind, open_file, files)

    async def feed():
        edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
        for start, end in itertools.pairwise(edges):
            await form.write(body[start:end])

    asyncio.run(feed())
    form.finish()
    return form, kept


def part(headers, value=b"x"):
    return b"--line\r\n" + headers + b"\r\n\r\n" + value + b"\r\n"


def named(name, value=b"x", extra=b""):
    return part(b'Content-Disposition: form-data; name="' + name + b'"' + extra, value)


END = b"--line--\r\n"


@given(
    st.binary(max_size=300),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
    st.lists(st.integers(0, 10_000), max_size=30),
)
@example(b"\r\n--line\r\n--line--\r\r\n-", "", list(range(400)))
@settings(deadline=None, max_examples=300)
def test_what_one_sends_the_other_reads_however_it_is_cut(data, text, cuts):
    body, kind = encode_multipart_formdata(
        {"description": text, "file": ("naïve café.csv", data, "text/csv"), "operationId": "add"}
    )
    form, kept = read(body, kind, cuts)
    assert form.fields == {"description": text, "operationId": "add"}
    assert bytes(kept[0][1].data) == data
    assert kept[0][0] == form.parts["file"]
    assert kept[0][0].filename == "naïve café.csv"
    assert kept[0][0].content_type == "text/csv"


def test_names_without_quotes_and_both_kinds_of_file_name_are_read():
    # .NET's HttpClient writes them so.
    body = part(b"Content-Disposition: form-data; name=file; filename=a.txt; filename*=utf-8''b.txt") + END
    form, _ = read(body)
    assert form.parts["file"].filename == "a.txt"


def test_quotes_and_backslashes_in_a_file_name_stay():
    body = named(b"file", extra=rb'; filename="a \"b\" c.txt"') + END
    assert read(body)[0].parts["file"].filename == 'a "b" c.txt'


def test_a_file_part_needs_no_file_name_and_may_be_empty():
    form, kept = read(named(b"model", b"") + END)
    assert form.parts["model"].filename is None
    assert kept[0][1].data == b""


def test_what_stands_after_the_last_boundary_is_nothing():
    assert read(named(b"a") + END + b"more")[0].fields == {"a": "x"}


@pytest.mark.parametrize(
    "kind",
    ["", "application/json", "multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=line",
     "multipart/form-data; boundary=" + "b" * 201, 'multipart/form-data; boundary=""', "x; boundary*=utf-8''line"],
)  # fmt: skip
def test_another_kind_of_body_is_not_read(kind):
    with pytest.raises(UnsupportedMediaType, match="multipart/form-data; boundary"):
        read(b"", kind)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "ends before"),
        (b"nothing of the kind", "not well-formed"),
        (named(b"a"), "ends before"),
        (named(b"a") + b"--line-", "ends before"),
        (b"--line\r\nno colon\r\n\r\nx\r\n" + END, "not well-formed"),
        (part(b"Content-Type: text/plain") + END, "form-data; name="),
        (part(b'Content-Disposition: attachment; name="a"') + END, "form-data; name="),
        (named(b"") + END, "form-data; name="),
        (named(b"n" * 201) + END, "the name of a part"),
        (named(b"a") + named(b"a") + END, "two parts of the name 'a'"),
        (named(b"file") + named(b"file") + END, "two parts of the name 'file'"),
        (named(b"other", extra=b'; filename="x"') + END, "it takes: file, model"),
        (named(b"a", b"\xff") + END, "not UTF-8"),
        (named(b"\xff") + END, "not UTF-8"),
        (named(b"file", extra=b'; filename="\xff"') + END, "not UTF-8"),
        (named(b"file", extra=b"\r\nContent-Transfer-Encoding: base64") + END, "Content-Transfer-Encoding"),
        (named(b"a", b"x" * (FIELD_LIMIT + 1)) + END, "bytes of a field"),
        (named(b"a", extra=b"\r\nX: " + b"x" * HEADER_LIMIT) + END, "headers of a part|header size"),
        (b"".join(named(b"a%d" % n) for n in range(PART_LIMIT + 1)) + END, "more than 20 parts"),
    ],
)
@pytest.mark.parametrize("cuts", [(), range(2000)])
def test_a_fault_is_told_at_the_end(body, message, cuts):
    with pytest.raises(InvalidRequest, match=message):
        read(body, cuts=cuts)


@given(st.binary(max_size=200), st.lists(st.integers(0, 500), max_size=8))
@settings(deadline=None, max_examples=500)
def test_rubbish_is_refused_never_a_defect(rubbish, cuts):
    for body in (rubbish, named(b"a") + rubbish + END, b"--line\r\n" + rubbish + b"\r\n\r\nx\r\n" + END):
        with contextlib.suppress(InvalidRequest):  # and nothing else is raised
            read(body, cuts=cuts)


def test_the_routes_own_refusal_of_a_file_comes_through():
    def refuse(part):
        raise Conflict(f"{part.filename} is taken")

    form = Form(KIND, refuse, frozenset({"file"}))
    asyncio.run(form.write(named(b"file", extra=b'; filename="a"') + END))
    with pytest.raises(Conflict, match="a is taken"):
        form.finish()


def test_a_large_file_goes_to_disk_and_is_not_held(tmp_path):
    piece, count = bytes(range(256)) * 256, 640  # 40 MiB
    spool = Spool(tmp_path / "spooled")
    form = Form(KIND, lambda _: spool, frozenset({"file"}))

    async def feed():
        await form.write(b"--line\r\n" + b'Content-Disposition: form-data; name="file"; filename="f"\r\n\r\n')
        for _ in range(count):
            await form.write(piece)
        await form.write(b"\r\n" + END)
        form.finish()
        await spool.finish()

    tracemalloc.start()
    try:
        asyncio.run(feed())
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
    assert (tmp_path / "spooled").read_bytes() == piece * count
    form.remove()
    assert list(tmp_path.iterdir()) == []


def test_removing_reaches_every_sink():
    body = named(b"file") + named(b"model") + END
    form, kept = read(body)
    form.remove()
    assert [sink.removed for _, sink in kept] == [True, True]
