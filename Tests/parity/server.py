"""Runs the scripts of this folder for a test run. What they import is imported once, and each runs in a fork.

Usage: server.py, then a line of JSON for each script: {"number": 1, "words": [SCRIPT, ARGUMENTS...], "output": FILE}

FILE gets all that the script prints. A line `NUMBER STATUS` says that it has ended; scripts run at the same time. The
end of the input ends the server.
"""

import ast
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import traceback
from pathlib import Path

# As scripts set them before they import anything.
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_OFFLINE"] = "1"


def import_for(script):
    """Imports what a script does at its top; what cannot be is left to the script, which says so."""
    try:
        for node in ast.parse(Path(script).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    importlib.import_module(alias.name)
            elif isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    getattr(module, alias.name, None)
    except (ImportError, OSError, SyntaxError):
        pass


def status_of(words):
    """Runs a script as `python SCRIPT ARGUMENTS` would."""
    sys.argv = words
    try:
        runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def start(request):
    """The process that runs a request."""
    import_for(request["words"][0])
    process = os.fork()
    if process:
        return process
    signal.set_wakeup_fd(-1)
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    status = status_of(request["words"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def ended(running):
    """The processes that have ended since, with their statuses."""
    for process in list(running):
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            yield process, os.waitstatus_to_exitcode(status)


def main():
    here, there = socket.socketpair()
    there.setblocking(False)
    # Whoever starts this from a thread of libdispatch starts it with all signals blocked.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(there.fileno())
    selector, rest, running = selectors.DefaultSelector(), b"", {}
    selector.register(0, selectors.EVENT_READ)
    selector.register(here, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            if key.fileobj is here:
                here.recv(4096)
                continue
            read = os.read(0, 1 << 16)
            if not read:
                return
            *lines, rest = (rest + read).split(b"\n")
            for request in map(json.loads, lines):
                running[start(request)] = request["number"]
        for process, status in ended(running):
            print(running.pop(process), status, flush=True)


if __name__ == "__main__":
    main()
