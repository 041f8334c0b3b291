"""Classes are made again without running what ran when they were made."""

from __future__ import annotations


def test_loading_where_the_classes_live_registers_nothing_again(notebook, again):
    namespace = notebook("""
    made = []
    class Meta(type):
        def __init__(cls, name, bases, body, **more):
            super().__init__(name, bases, body)
            made.append("meta " + name)
    class Base(metaclass=Meta):
        def __init_subclass__(cls, *, kind, **more):
            made.append(kind)
    class A(Base, kind="a"):
        pass
    a = A()
    """)
    before = list(namespace["made"])
    assert before == ["meta Base", "a", "meta A"]
    restored = again(namespace)
    assert restored["A"] is namespace["A"]
    assert restored["made"] == namespace["made"] == before


def test_hooks_of_a_base_work_again_after_loading(notebook, in_fresh_python):
    from jupyter_mlops.capture import capture

    captured = capture(
        notebook("""
        class Base:
            known = {}
            def __init_subclass__(cls, kind, **more):
                super().__init_subclass__(**more)
                Base.known[kind] = cls.__name__
        class A(Base, kind="a"):
            pass
        def f():
            class B(A, kind="b"):
                pass
            return Base.known, A.__mro__[1] is Base
        """),
        ["f"],
    )
    assert in_fresh_python(captured, "f()") == [{"a": "A", "b": "B"}, True]
