"""The whole fault campaign, with a table of what came of it.

    python tests/faults/campaign.py --out docs/reliability.md       # `make faults`: long
    python tests/faults/campaign.py --only damage --every 10        # a tenth of one part

Engines are scripted (`engines.py`): everything else, from the command line to the files, is the real thing. Exit code 1
if anything came out WRONG.
"""

import argparse
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

os.environ["COLUMNS"] = "400"  # before the command line's consoles are made
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.damage import damage_file, prepare
from faults.drivers import two_drivers
from faults.flips import flip_bits
from faults.kills import cut_power, kill_at, kill_at_random, operations_of, refuse_from
from faults.ray_kills import kill_in_ray
from faults.report import Report
from faults.scene import make_scene

PARTS = ("damage", "flips", "kills", "power", "disk", "random", "drivers", "ray")
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, help="a page whose table between the two marks is written anew")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts of the campaign")
    parser.add_argument("--every", type=int, default=1, help="of files and operations, take every so many")
    parser.add_argument("--files", default="", help="of files, take those that this regular expression finds")
    parser.add_argument("--flips", type=int, default=1500, help="bit flips a kind of file")
    parser.add_argument("--kills", type=int, default=200, help="SIGKILLs at random moments")
    parser.add_argument("--ray", type=int, default=20, help="kills in runs on a real Ray")
    parser.add_argument("--points", type=int, default=20, help="moments of power failure, and of a disk that refuses")
    parser.add_argument("--log", type=Path, default=Path("faults.log"), help="where every WRONG case is told in full")
    arguments = parser.parse_args()
    report = Report(log=arguments.log)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="roundelay-faults-") as directory:
            play(Path(directory), report, arguments)
    finally:  # interrupted, it tells what it has
        print(report.table(), flush=True)
    if arguments.out:
        write_table(arguments.out, report)
    return int(bool(report.wrong))


def play(folder: Path, report: Report, arguments: argparse.Namespace) -> None:
    """The parts that were chosen, one after another."""
    scene = make_scene(folder)
    operations = len(operations_of(scene, folder))
    every = range(1, operations + 1, arguments.every)
    spread = sorted({1 + round(i * (operations - 1) / max(1, arguments.points - 1)) for i in range(arguments.points)})
    damaged = prepare(scene, folder / "damaged") if {"damage", "flips", "drivers"} & {*arguments.only} else None
    for part in arguments.only:
        began = time.monotonic()
        match part:
            case "damage":
                assert damaged
                files = [name for name in damaged.files() if re.search(arguments.files, name)]
                for name in files[:: arguments.every]:
                    damage_file(damaged, name, report)
            case "flips":
                assert damaged
                flip_bits(damaged.run, report, flips=arguments.flips)
            case "kills":
                kill_at(scene, folder, report, every)
            case "power":
                cut_power(scene, folder, report, spread)
            case "disk":
                refuse_from(scene, folder, report, spread)
            case "random":
                kill_at_random(scene, folder, report, arguments.kills)
            case "drivers":
                assert damaged
                two_drivers(scene, damaged.run, folder / "drivers", report)
            case "ray":
                kill_in_ray(scene, folder, report, arguments.ray)
        print(
            f"{part}: {time.monotonic() - began:.0f} s, {len(report.wrong)} wrong so far", file=sys.stderr, flush=True
        )


def write_table(page: Path, report: Report) -> None:
    """Between the marks of the page."""
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{report.table()}\n{END}{after}")


if __name__ == "__main__":
    sys.exit(main())
