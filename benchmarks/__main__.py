"""`python benchmarks` measures everything and prints a Markdown table; `python benchmarks start cycle` only these."""

from __future__ import annotations

import argparse
import sys

import checking
import clients
import cycle
import delays
import finding
import hooks
import http_load
import memory
import plugin
import start
from measure import TABLE_HEAD, machine

_BENCHMARKS = {
    "http": http_load,
    "start": start,
    "memory": memory,
    "cycle": cycle,
    "hooks": hooks,
    "delays": delays,
    "checking": checking,
    "clients": clients,
    "zoo": finding,
    "plugin": plugin,
}


def main() -> None:
    """Measure what was asked for; figures never make it fail, only trouble does."""
    parser = argparse.ArgumentParser(prog="python benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(_BENCHMARKS)}; all by default")
    parser.add_argument("--profile", action="store_true", help="print where it goes, instead of the figures")
    parser.add_argument("--smoke", action="store_true", help="hardly measure: only see that it works")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in _BENCHMARKS]
    if unknown:
        parser.error(f"expected benchmarks out of {', '.join(_BENCHMARKS)}, got {', '.join(unknown)}")
    print(f"Measured {machine()}\n")
    if not chosen.profile:
        print(TABLE_HEAD)
    try:
        for name in chosen.names or _BENCHMARKS:
            _run(name, profile=chosen.profile, smoke=chosen.smoke)
    except RuntimeError as error:
        sys.exit(f"benchmarks: {error}")
    print(f"\nEnded {machine()}")


def _run(name: str, *, profile: bool, smoke: bool) -> None:
    benchmark = _BENCHMARKS[name]
    if profile:
        print(benchmark.profile(smoke=smoke))
        return
    for figure in benchmark.measure(smoke=smoke):
        print(figure.row(f"python benchmarks {name}"), flush=True)


if __name__ == "__main__":
    main()
