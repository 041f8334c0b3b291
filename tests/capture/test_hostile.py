"""Objects whose own code raises, lies or hangs: they are named in a bounded time, and nothing of them is run in vain."""

# ruff: noqa: E501  (cells are read by the line)

from __future__ import annotations

import signal
import threading
import time

import pytest

from jupyter_mlops.capture import capture, save, survey
from jupyter_mlops.capture.limits import TookTooLong, Watch, guarded
from jupyter_mlops.errors import CaptureError

TRAPS = """
import time

class Trap:
    '''Pickles well, and whatever else is asked of it ends the test.'''
    touched = []
    def _touch(self, *_):
        Trap.touched.append(1)
        raise RuntimeError('touched')
    __repr__ = __str__ = __eq__ = __len__ = __sizeof__ = __bool__ = __iter__ = __format__ = __dir__ = _touch
    __lt__ = __contains__ = __getitem__ = __array__ = __call__ = _touch
    __hash__ = object.__hash__
    shape = property(_touch)
    __wrapped__ = property(_touch)

class Liar:
    '''Says that it is a function, and that it is huge.'''
    @property
    def __class__(self): return type(lambda: None)
    def __sizeof__(self): return 2 ** 60
    def __len__(self): return 2 ** 40
    def __reduce__(self): return (int, (7,))

class Closed:
    '''Answers nothing at all.'''
    def __getattribute__(self, name): raise RuntimeError('closed')

class Names:
    def __getattr__(self, name): return Names()
    def __reduce__(self): return (dict, ())

trap, liar, closed, names = Trap(), Liar(), Closed(), Names()
"""

HANGS = {
    "a loop in __reduce__": "class Hang:\n    def __reduce__(self):\n        while True: pass",
    "a sleep in __reduce__": "class Hang:\n    def __reduce__(self): time.sleep(3600)",
    "a sleep in __getstate__": "class Hang:\n    def __getstate__(self): time.sleep(3600)",
    "a lock that is never free": "import threading\nlock = threading.Lock(); lock.acquire()\nclass Hang:\n    def __reduce__(self): lock.acquire()",
    "a loop that swallows exceptions": "class Hang:\n    def __reduce__(self):\n        while True:\n            try: time.sleep(1)\n            except Exception: pass",
    "attributes that hang": "class Hang:\n    def __getattribute__(self, name): time.sleep(3600)",
    "a class that hangs": "class Meta(type):\n    def __getattribute__(cls, name): time.sleep(3600)\nclass Hang(metaclass=Meta): pass",
    "an iterator that hangs": "def forever():\n    time.sleep(3600); yield\nclass Hang:\n    def __reduce__(self): return (list, (), None, forever())",
}  # fmt: skip


def test_a_survey_asks_nothing_of_the_objects(notebook):
    namespace = notebook(TRAPS)
    found = survey(namespace)
    assert namespace["Trap"].touched == []
    assert found["trap"].capturable
    assert found["liar"].size < 1000
    assert found["closed"].problem.startswith("closed: Closed objects cannot be pickled")
    assert found["names"].capturable
    assert "trap" in str(found)
    assert namespace["Trap"].touched == []


def test_a_capture_asks_nothing_but_what_pickling_asks(notebook):
    namespace = notebook(TRAPS + "\ndef f(): return trap, liar, names")
    captured = capture(namespace, ["f"])
    assert namespace["Trap"].touched == []
    assert {one.name for one in captured.manifest.names} == {"f", "trap", "Trap", "liar", "names"}


@pytest.mark.parametrize("case", HANGS)
def test_what_hangs_is_named_in_time(case, notebook):
    namespace = notebook(f"import time\n{HANGS[case]}\nhang = {{'part': [object.__new__(Hang)]}}\ndef f(): return hang")
    before = signal.getsignal(signal.SIGALRM)
    started = time.monotonic()
    with pytest.raises(CaptureError, match=r"hang\['part'\]\[0\].*too long.*--drop hang"):
        capture(namespace, ["f"], seconds=0.2)
    assert time.monotonic() - started < 20
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL)[1] == 0  # pytest's own may run, ours does not


def test_a_survey_goes_on_after_what_hangs(notebook):
    source = "import time\nclass Hang:\n    def __reduce__(self): time.sleep(3600)\nhang = Hang()\nafter = [1, 2]\ninside = [hang]"
    found = survey(notebook(source), seconds=0.2)
    assert "too long" in found["hang"].problem
    assert found["after"].capturable
    assert found["inside"].problem.startswith("inside holds hang, which cannot go along")
    assert found.selected == ("Hang", "after")


def test_what_has_very_many_objects_is_no_hang(notebook):
    found = survey(notebook("many = [[n] for n in range(400_000)]"), seconds=0.02)
    assert found["many"].capturable
    assert found["many"].size is None
    assert "not all measured" in str(found)


def test_a_slow_object_that_goes_on_is_captured(notebook, again):
    source = "import time\nclass Slow:\n    def __reduce__(self):\n        time.sleep(0.1)\n        return (int, (1,))\nslow = [Slow() for _ in range(8)]"
    assert again(notebook(source), ["slow"], seconds=0.4) == {"slow": [1] * 8}


def test_a_loop_in_another_thread_is_stopped_too():
    caught = []

    def work():
        def forever():
            while True:
                pass

        try:
            Watch(0.2).run(forever)
        except TookTooLong as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert len(caught) == 1


def test_a_timer_of_the_users_own_goes_on():
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        assert guarded(lambda: 5, 1.0, 0) == 5
        deadline = time.monotonic() + 10
        while not rung and time.monotonic() < deadline:
            time.sleep(0.02)
        assert rung == [1]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_metaclass_whose_hash_hangs(notebook):
    source = "import time\nclass Meta(type):\n    def __hash__(cls): time.sleep(3600)\nclass A(metaclass=Meta): pass\na = A()\nafter = 1"
    found = survey(notebook(source), seconds=0.2)
    assert not found["a"].capturable
    assert found["after"].capturable


def test_a_look_that_raises_or_hangs_gives_the_default():
    assert guarded(lambda: 1 / 0, 1.0, "default") == "default"
    assert guarded(lambda: time.sleep(60), 0.1, "default") == "default"


def test_control_c_ends_a_capture_and_leaves_nothing(notebook, tmp_path):
    source = "import signal\nclass Stop:\n    def __reduce__(self):\n        signal.raise_signal(signal.SIGINT)\n        return (int, ())\nstop = Stop()\ndef f(): return stop"
    namespace = notebook(source)
    before = dict(namespace)
    with pytest.raises(KeyboardInterrupt):
        capture(namespace, ["f"])
    namespace["big"] = before["big"] = __import__("numpy").ones(2**20)  # hashed ahead, in a thread
    with pytest.raises(KeyboardInterrupt):
        capture(namespace, ["big", "f"])
    assert not [one for one in threading.enumerate() if one.name.startswith("hashing")]
    assert namespace.keys() == before.keys()
    assert signal.getitimer(signal.ITIMER_REAL)[1] == 0  # pytest's own may run, ours does not
    with pytest.raises(KeyboardInterrupt):
        survey(namespace)


def test_control_c_while_writing_leaves_no_file(notebook, tmp_path):
    captured = capture(notebook("import numpy as np\na = np.zeros(50_000); b = np.ones(50_000)"), ["a", "b"])

    def interrupt(what, done, total):
        if done > 400_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save(captured, tmp_path / "blobs", progress=interrupt)
    assert list((tmp_path / "blobs").iterdir()) == []


def test_errors_of_the_objects_are_told_without_asking_them(notebook):
    source = "class Odd(Exception):\n    def __str__(self): raise RuntimeError('no')\nclass A:\n    def __reduce__(self): raise Odd('the reason')\na = A()"
    with pytest.raises(CaptureError, match=r"a: A objects cannot be pickled \(Odd: the reason\)"):
        capture(notebook(source), ["a"])
