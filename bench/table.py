# SPDX-License-Identifier: LGPL-2.1-or-later
"""What every benchmark shares: medians of interleaved runs, and one way to show them."""

import json
import os
import statistics
import subprocess
import sys
import time


def measure(argv):
    """Seconds and peak memory in KiB of one run of a command; its exit status must be `ok`."""
    begun = time.monotonic()
    pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=[
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)])
    _, status, usage = os.wait4(pid, 0)
    return time.monotonic() - begun, usage.ru_maxrss, os.waitstatus_to_exitcode(status)


def run_all(argvs, together, ok=0):
    """Seconds to run the commands, one after another or all at once, and the largest peak."""
    begun = time.monotonic()
    if together:
        children = [subprocess.Popen(a, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                    for a in argvs]
        results = [c.wait() for c in children]
        peak = 0
    else:
        measured = [measure(a) for a in argvs]
        results = [m[2] for m in measured]
        peak = max(m[1] for m in measured)
    if any(r != ok for r in results):
        sys.exit(f"{argvs[0]} ended with {results}, not {ok}")
    return time.monotonic() - begun, peak


class Table:
    def __init__(self, name):
        self.name, self.rows = name, []

    def add(self, case, eyrie, peer, peer_name, unit):
        """`ratio` is of medians; `best` of the least of each, to which other work added least."""
        e, p = statistics.median(eyrie), statistics.median(peer)
        self.rows.append({"case": case, "eyrie": round(e, 4), "peer": round(p, 4),
                          "peer_name": peer_name, "unit": unit, "ratio": round(e / p, 3),
                          "best": round(min(eyrie) / min(peer), 3)})

    def show(self, as_json):
        if as_json:
            print(json.dumps({"benchmark": self.name, "rows": self.rows}))
            return
        head = ("case", "eyrie", "peer", "unit", "ratio", "best", "against")
        rows = [(r["case"], f"{r['eyrie']:.3f}", f"{r['peer']:.3f}", r["unit"],
                 f"{r['ratio']:.3f}", f"{r['best']:.3f}", r["peer_name"]) for r in self.rows]
        widths = [max(len(x[i]) for x in [head, *rows]) for i in range(len(head))]
        for row in [head, *rows]:
            print("  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip())
