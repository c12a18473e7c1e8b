"""Functions that torch.compile breaks its graph at.

torch's own decorator for that loads the compiler, which takes a process a second or more and most never use. Here it is
loaded when it traces a call: `_outside_late` then has the functions as torch's decorator makes them.
"""

import functools
import sys

from liger_kernel._operation import is_tracing

# The functions so far, each with the reason that torch gives where a graph must not break (fullgraph=True).
marked = []


def outside_graphs(reason):
    """Marks a function that is never traced, nor what it calls."""

    def decorate(function):
        name = f"function{len(marked)}"

        def call(*arguments, **options):
            if not is_tracing():
                return function(*arguments, **options)
            # Run by torch.compile as it reads this, and not in the program that it makes.
            from liger_kernel import _outside_late

            return getattr(_outside_late, name)(*arguments, **options)

        marked.append((name, function, reason))
        late = sys.modules.get(f"{__package__}._outside_late")
        if late is not None:
            late.take(*marked[-1])
        return functools.wraps(function)(call)

    return decorate
