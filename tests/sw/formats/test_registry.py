"""Names: what is listed, what is resolved on demand, and what a mistyped one says."""

import copy
import pickle
import subprocess
import sys

import pytest

from configs.errors import InputError
from sw.formats import (
    FormatFamily,
    NumberFormat,
    families,
    family_terms,
    get_family,
    serial_families,
    smallest_pe,
)

LISTED = {
    *(f"int{b}" for b in range(2, 9)),
    *(f"int{b}_full" for b in range(2, 9)),
    *(f"uint{b}" for b in range(2, 9)),
    *(f"int{b}_asym" for b in range(2, 9)),
    *("int2_midrise", "abq_int2", "ternary", "binary", "dual_binary_pos", "dual_binary_neg"),
    *("minifloat_e2m0", "minifloat_e1m2", "minifloat_e3m0", "minifloat_e2m2", "minifloat_e3m1"),
    *("float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn", "float8_e3m4", "float8_e4m3"),
    *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2", "float8_e5m2fnuz"),
    *("float8_e8m0fnu", "bfloat16", "float16"),
    *("flint3s", "flint4s", "flint5s", "flint8s", "flint4u", "pot3", "pot4", "pot5", "apot4"),
    *("denseshift2", "denseshift3", "denseshift4", "ant3", "ant4", "bitmod_fp3", "bitmod_fp4"),
    *("bitmod_fp3_er", "bitmod_fp3_ea", "bitmod_fp4_er", "bitmod_fp4_ea"),
    *("posit4_es0", "posit8_es0", "posit8_es1", "posit8_es2", "hifloat8"),
    *("dybit4s", "dybit4u", "dybit8s", "adaptivfloat4_e2", "adaptivfloat8_e3", "post3", "post4"),
    *("nf4", "nf3", "nf2", "iq4_nl", "quantile3", "quantile4", "dynamic_tree8"),
}
NOT_SERIAL = {"bfloat16", "float16", "float8_e8m0fnu"}
ON_DEMAND = ["minifloat_e4m1", "minifloat_e5m10", "posit5_es3", "adaptivfloat6_e3"]


#: outlier-victim pairs, codes behind a pair decoder
PAIRS = {"olive4", "olive4_flint"}


def test_listed_names() -> None:
    assert set(families()) == LISTED | PAIRS and len(families()) == len(LISTED | PAIRS)
    assert set(serial_families()) == (LISTED | PAIRS) - NOT_SERIAL
    for name, family in families().items():
        assert family.name == name and get_family(name) is family
        assert all(member.source for member in family.members)


def test_importing_builds_no_table() -> None:
    """Tables of 16-bit formats would cost every start of the program."""
    code = (
        "import sw.formats.tables as t; t.families(); t.get_family('int4');"
        "assert t._listed.cache_info().currsize == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ON_DEMAND)
def test_on_demand_names(name: str) -> None:
    family = get_family(name)
    assert family.name == name == family.members[0].name and name not in families()
    assert get_family(name) is family


def test_members_are_families_of_their_own() -> None:
    family = get_family("bitmod_fp3_ea_neg")
    assert family.members == (get_family("bitmod_fp3").members[3],)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bitmod_fp5", "unknown number format 'bitmod_fp5': did you mean 'bitmod_fp"),
        ("float4_e2m1", "did you mean 'float4_e2m1fn'"),
        ("float8_e4m3nf", "did you mean 'float8_e4m3fn'"),
        ("minifloat_e2", "did you mean 'minifloat_e2m"),
        ("posit8", r"did you mean 'posit8_es"),
        ("fp16", "did you mean 'float16'"),
        ("xyz", "valid are .*abq_int2, .*minifloat_e{e}m{m}, .*posit{n}_es{e}"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        get_family(name)


@pytest.mark.parametrize("name", ["bitmod_fp4", "float8_e4m3fn", "hifloat8", "nf4", "posit8_es2"])
def test_formats_survive_copying(name: str) -> None:
    """Equal after a pickle, NaN codes included, so that worker processes agree."""
    family = get_family(name)
    for other in (pickle.loads(pickle.dumps(family)), copy.deepcopy(family)):
        assert other == family and hash(other.members[0]) == hash(family.members[0])
    member = family.members[0]
    fields = {"name": member.name, "bits": member.bits, "levels": member.levels, "source": "test"}
    assert NumberFormat(**fields) != member and member != "int4"


@pytest.mark.parametrize("name", sorted(LISTED - NOT_SERIAL))
def test_every_serial_family_has_a_pe(name: str) -> None:
    family = get_family(name)
    table = smallest_pe(family)
    assert set(table.terms) == set(family.all_levels)
    for level, terms in table.terms.items():
        assert sum(t.value for t in terms) == level
        assert all(t.exponent < 1 << table.lane_exponent_bits for t in terms)


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_wide_codes_have_no_pe(name: str) -> None:
    for search in (family_terms, smallest_pe):
        with pytest.raises(InputError, match=f"'{name}' has 16-bit codes, .* takes at most 8"):
            search(get_family(name))


def test_wide_levels_have_no_pe() -> None:
    family = get_family("float8_e8m0fnu")
    message = r"'float8_e8m0fnu': .*1\.\.2\*\*254.*no lane exponent of up to 6 bits forms them"
    with pytest.raises(InputError, match=message):
        family_terms(family)
    with pytest.raises(InputError, match=r"no lane exponent of up to 6 bits forms levels up"):
        smallest_pe(family)
    with pytest.raises(InputError, match="no lane exponent of up to 4 bits forms levels"):
        smallest_pe(get_family("float8_e4m3fn"), 4)


def test_narrower_lanes_take_more_slots() -> None:
    """E3M0 has 2**6: one slot with 3-bit exponents, but eight (too many) with 2-bit ones."""
    family: FormatFamily = get_family("minifloat_e3m0")
    assert (smallest_pe(family).slots, smallest_pe(family).lane_exponent_bits) == (1, 3)
    with pytest.raises(InputError, match="up to 2 bits"):
        smallest_pe(family, 2)
    assert smallest_pe(get_family("denseshift3"), 1).slots == 4
