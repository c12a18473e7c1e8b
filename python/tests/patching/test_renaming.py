"""Functions that read another global, as the attention of one model does."""

import functools
import inspect

import pytest

from liger_kernel.transformers.renaming import renamed
from liger_kernel.transformers.renaming import uses

pytestmark = pytest.mark.smoke


def turn(x):
    return x + 1


def turn_by_kernel(x):
    return x + 100


class Holder:
    turn = 7


def plain(x, *, more=1):
    return turn(x) + more


def inside_a_comprehension(x):
    return [turn(y) for y in (x,)][0] + (lambda: turn(x))()


def with_an_attribute_of_that_name(x):
    return turn(x) + Holder.turn


def without(x):
    return x


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return 2 * function(*args, **kwargs)

    return wrapper


NAMES = {"turn": "turn_by_kernel"}


@pytest.mark.parametrize(
    ("function", "before", "after"),
    [
        (plain, 2, 101),
        (inside_a_comprehension, 2, 200),
        (decorated(plain), 4, 202),
        (decorated(decorated(plain)), 8, 404),
    ],
)
def test_a_copy_reads_the_other_global(function, before, after):
    assert uses(function, __name__, NAMES)
    copy = renamed(function, NAMES)
    assert copy(0) == after and function(0) == before
    assert inspect.getsource(copy) == inspect.getsource(function)
    assert inspect.signature(copy) == inspect.signature(function) and copy.__qualname__ == function.__qualname__


def test_a_method_keeps_its_super():
    class Base:
        def forward(self, x):
            return x

    class Derived(Base):
        def forward(self, x):
            return super().forward(turn(x))

    Derived.forward = renamed(Derived.forward, NAMES)
    assert Derived().forward(1) == 101


@pytest.mark.parametrize("function", [without, with_an_attribute_of_that_name, len])
def test_what_cannot_be_renamed(function):
    assert not uses(function, __name__, NAMES)


def test_a_function_of_another_module():
    assert not uses(plain, "another", NAMES)


def test_a_global_that_is_replaced_later(monkeypatch):
    copy = renamed(plain, NAMES)
    monkeypatch.setitem(globals(), "turn_by_kernel", lambda x: 0)
    assert copy(5) == 1
