"""Write docs/machine.svg: the report's picture of the quickstart machine, on its own.

python docs/make_machine.py            write the file
python docs/make_machine.py --check    exit with 1 if that would change anything
"""

import sys
from dataclasses import asdict
from pathlib import Path

from bitsmith.job import Job
from bitsmith.report.context import Run
from bitsmith.report.machine import machine_drawing
from bitsmith.report.style import CSS
from bitsmith.steps import machine_widths
from bitsmith.strict_json import plain
from configs.schema import load_run

TARGET = Path(__file__).with_name("machine.svg")


def picture() -> str:
    """The drawing as a file of its own, colours included."""
    job = Job(config=load_run("quickstart"))
    machine = job.machine
    results = {
        "simulate": {"slots": machine.terms.slots},
        "rtl": machine_widths(machine),
    }
    drawing = machine_drawing(Run(plain(asdict(job.config)), results))
    opening = '<svg xmlns="http://www.w3.org/2000/svg" '
    return drawing.replace("<svg ", opening, 1).replace(">", f"><style>{CSS}</style>", 1) + "\n"


def main() -> int:
    """Write or compare."""
    text = picture()
    if TARGET.is_file() and TARGET.read_text() == text:
        return 0
    if "--check" in sys.argv[1:]:
        print("docs/machine.svg is stale: run 'python docs/make_machine.py'", file=sys.stderr)
        return 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
