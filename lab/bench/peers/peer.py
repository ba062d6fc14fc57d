"""One peer's measurements: peer.py MODULE.FUNCTION FOLDER prints them as JSON.

FOLDER holds what the Go side wrote: meta.json, and float64 matrices row by row, of
the shapes in it. A function returns its peer's version and, by case, a value and
what shows that both sides solve the same task. Where a peer is not installed, or
fails, the answer says why.
"""
import importlib
import json
import os
import resource
import sys
import time

import numpy as np


class Data:
    """What both sides work on, and how time is taken."""

    def __init__(self, folder):
        self.folder = folder
        with open(f"{folder}/meta.json") as f:
            self.meta = json.load(f)
        self.cores = sorted(os.sched_getaffinity(0))
        self.cases = {}
        self.one_core()

    def __getitem__(self, name):
        return np.fromfile(f"{self.folder}/{name}.f64").reshape(self.meta["shapes"][name])

    def one_core(self):
        os.sched_setaffinity(0, self.cores[-1:])

    def all_cores(self):
        os.sched_setaffinity(0, self.cores)

    def case(self, name, value, **checks):
        self.cases[name] = {"value": float(value), "checks": {k: float(v) for k, v in checks.items()}}


def processor_seconds(f):
    begin = time.process_time()
    f()
    return time.process_time() - begin


def seconds(f):
    begin = time.perf_counter()
    f()
    return time.perf_counter() - begin


def resident():
    """Memory of this process in bytes, now and at most so far."""
    with open("/proc/self/statm") as f:
        now = int(f.read().split()[1]) * resource.getpagesize()
    return now, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def growth(before):
    """Growth since resident() gave before: of the peak if it rose, else of what is held."""
    after = resident()
    return max(after[0], after[1] if after[1] > before[1] else 0) - before[0]


def main():
    name, folder = sys.argv[1:]
    module, function = name.split(".")
    answer, out = os.dup(1), sys.stdout
    os.dup2(2, 1)  # what peers print is not the answer
    data = Data(folder)
    try:
        version = getattr(importlib.import_module(module), function)(data)
        reply = {"version": version, "cases": data.cases}
    except Exception as e:
        reply = {"missing": f"{type(e).__name__}: {e}"[:300]}
    out.flush()
    with os.fdopen(answer, "w") as f:
        json.dump(reply, f)


if __name__ == "__main__":
    main()
