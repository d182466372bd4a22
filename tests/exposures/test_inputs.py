"""Every form in which users give exposures."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from astropy.io import fits
from click.testing import CliRunner

from staticmask_cli import InputError
from staticmask_cli.cli.main import main
from tests.support.makers import association, sky
from tests.support.runs import files_used, run, science, simple, small

MEMBER = "j8xi01abq"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder with three exposures."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate("abc"):
        small(Path(f"{name}_flt.fits"), seed)
    return tmp_path


def used(*inputs: str | Path) -> list[str]:
    return files_used(run(*inputs, out=Path("out"), dry_run=True))


def problems(*inputs: str | Path) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        run(*inputs, out=Path("out"))
    assert not Path("out").exists()
    for line in caught.value.problems:
        assert line.isprintable(), "a problem is one line, whatever the names contain"
    return caught.value.problems


def write(name: str, *lines: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# Names, patterns, comma lists.


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("entry", "names"),
    [
        ("a_flt.fits", "a"),
        ("./a_flt.fits", "a"),
        ("*flt.fits", "abc"),
        ("[ab]_flt.fits", "ab"),
        ("[!ab]_flt.fits", "c"),
        ("?_flt.fits", "abc"),
        ("a_flt.fits,b_flt.fits", "ab"),
        (" a_flt.fits , b_flt.fits ", "ab"),
        ("a_flt.fits,,b_flt.fits,", "ab"),
        ("[b]*.fits,a_flt.fits", "ab"),
        ("**/*_flt.fits", "abc"),
    ],
)
def test_names_patterns_and_comma_lists_are_resolved(entry: str, names: str) -> None:
    assert used(entry) == [f"{name}_flt.fits" for name in names]


@pytest.mark.usefixtures("here")
def test_all_forms_can_be_mixed() -> None:
    write("list.txt", "b_flt.fits")
    small(Path(f"{MEMBER}_flt.fits"))
    association(Path("x_asn.fits"), [(MEMBER, "EXP-DTH", True)])
    assert used("a_flt.fits,@list.txt", "[c]_*.fits", "x_asn.fits") == [
        *("a_flt.fits", "b_flt.fits", "c_flt.fits"),
        f"{MEMBER}_flt.fits",
    ]


@pytest.mark.usefixtures("here")
def test_the_command_accepts_mixed_forms_too() -> None:
    write("list.txt", "b_flt.fits")
    result = CliRunner().invoke(main, ["a_flt.fits,@list.txt", "[c]*", "-o", "out"])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split()[-1] == "3"


@pytest.mark.usefixtures("here")
def test_without_input_the_configured_pattern_is_used() -> None:
    small(Path("d_flc.fits"))
    result = CliRunner().invoke(main, ["-n"])
    assert result.stdout.split()[-1] == "3"


@pytest.mark.usefixtures("here")
def test_a_file_name_may_contain_a_comma() -> None:
    small(Path("x,y_flt.fits"))
    assert used("x,y_flt.fits") == ["x,y_flt.fits"]
    write("list,1.txt", "a_flt.fits")
    assert used("@list,1.txt") == ["a_flt.fits"]


@pytest.mark.usefixtures("here")
def test_paths_may_be_path_objects_or_strings() -> None:
    assert used(Path("a_flt.fits"), "b_flt.fits") == ["a_flt.fits", "b_flt.fits"]


# @lists.


@pytest.mark.usefixtures("here")
def test_a_list_gives_the_first_word_of_each_line_and_skips_comments() -> None:
    write("list.txt", "a_flt.fits 0.5 note", "", "   ", "# b_flt.fits", "#", "\tc_flt.fits\tx")
    assert used("@list.txt") == ["a_flt.fits", "c_flt.fits"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("a_flt.fits, b_flt.fits", "ab"),
        ("a_flt.fits ,b_flt.fits , c_flt.fits", "abc"),
        ("a_flt.fits,b_flt.fits 0.5", "ab"),
        ("a_flt.fits b_flt.fits, c_flt.fits", "a"),
        ("a_flt.fits,", "a"),
        ("a_flt.fits, # b_flt.fits", "a"),
        (" 'a_flt.fits' b_flt.fits", "a"),
        ('"a_flt.fits"', "a"),
        ("""'a_flt.fits', "b_flt.fits",c_flt.fits""", "abc"),
        ("'a_flt.fits',b_flt.fits", "ab"),
        ("a_flt.fits,'b_flt.fits'", "ab"),
        ("'[ab]_flt.fits'", "ab"),
    ],
)
def test_a_line_gives_its_first_word_and_words_after_commas_without_quotes(
    line: str, names: str
) -> None:
    write("list.txt", line)
    assert used("@list.txt") == [f"{name}_flt.fits" for name in names]


@pytest.mark.usefixtures("here")
def test_quoted_names_may_contain_blanks_commas_and_hashes() -> None:
    for seed, name in enumerate(["x y_flt.fits", "x, y_flt.fits", "#x_flt.fits", "o'x_flt.fits"]):
        small(Path(name), seed)
    write("list.txt", "'x y_flt.fits'", '"x, y_flt.fits" 3', "'#x_flt.fits'", "o'x_flt.fits")
    assert used("@list.txt") == ["#x_flt.fits", "o'x_flt.fits", "x y_flt.fits", "x, y_flt.fits"]


@pytest.mark.usefixtures("here")
def test_a_missing_file_after_a_comma_is_an_error() -> None:
    write("list.txt", "a_flt.fits, zz.fits")
    (problem,) = problems("@list.txt")
    assert problem == "zz.fits: file not found (named in list.txt)"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_list_may_be_in_utf_16(encoding: str) -> None:
    small(Path("\xe4_flt.fits"))
    mark = "" if encoding == "utf-16" else "\ufeff"
    content = f"{mark}a_flt.fits\r\n\xe4_flt.fits\r\n".encode(encoding)
    Path("list.txt").write_bytes(content)
    assert used("@list.txt") == ["a_flt.fits", "\xe4_flt.fits"]
    assert piped(content, Path(), "-n", "@-").stdout.split()[-1] == b"2"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "latin-1"])
def test_a_list_in_another_encoding_is_an_error_that_names_the_accepted_ones(encoding: str) -> None:
    content = "a_flt.fits\n\xe4_flt.fits\n".encode(encoding)
    Path("list.txt").write_bytes(content)
    (problem,) = problems("@list.txt")
    assert problem == (
        "list.txt: this @list is not text in UTF-8, or in UTF-16 with a byte order mark; "
        "convert it with iconv"
    )
    result = piped(content, Path(), "@-")
    assert result.returncode == 1
    assert b"@-: is not text in UTF-8, or in UTF-16 with a byte order mark" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.usefixtures("here")
def test_a_list_may_contain_every_other_form() -> None:
    small(Path(f"{MEMBER}_flt.fits"))
    association(Path("x_asn.fits"), [(MEMBER, "EXP-DTH", True)])
    write("inner.txt", "c_flt.fits")
    write("list.txt", "[a]_flt.fits", "b_flt.fits,@inner.txt", "x_asn.fits")
    assert used("@list.txt") == [
        *("a_flt.fits", "b_flt.fits", "c_flt.fits"),
        f"{MEMBER}_flt.fits",
    ]


@pytest.mark.usefixtures("here")
def test_names_in_a_list_are_relative_to_the_current_folder() -> None:
    # As in DrizzlePac and IRAF: a list is command-line text in a file.
    small(Path("lists/a_flt.fits"), 9)
    write("lists/list.txt", "b_flt.fits", "@lists/inner.txt")
    write("lists/inner.txt", "lists/a_flt.fits")
    assert used("@lists/list.txt") == ["a_flt.fits", "b_flt.fits"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_list_may_have_a_byte_order_mark_and_windows_line_ends(
    ending: str,
) -> None:
    Path("list.txt").write_bytes(
        b"\xef\xbb\xbf" + ending.join(["a_flt.fits", "b_flt.fits"]).encode()
    )
    assert used("@list.txt") == ["a_flt.fits", "b_flt.fits"]


@pytest.mark.usefixtures("here")
def test_two_lists_may_include_the_same_list() -> None:
    # Only circular inclusion is an error.
    write("left.txt", "@inner.txt")
    write("right.txt", "@inner.txt", "b_flt.fits")
    write("inner.txt", "a_flt.fits")
    assert used("@left.txt", "@right.txt") == ["a_flt.fits", "b_flt.fits"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("length", [1, 2, 3])
def test_circular_lists_are_an_error_that_names_one(length: int) -> None:
    for i in range(length):
        write(f"list{i}.txt", "a_flt.fits", f"@list{(i + 1) % length}.txt")
    (problem,) = problems("@list0.txt")
    assert "list0.txt: this @list includes itself" in problem
    assert f"(named in list{length - 1}.txt)" in problem


@pytest.mark.usefixtures("here")
def test_circular_lists_are_found_through_links_and_other_spellings() -> None:
    Path("link.txt").symlink_to("list.txt")
    write("list.txt", "a_flt.fits", "@link.txt")
    assert "includes itself" in problems("@list.txt")[0]
    write("list.txt", "a_flt.fits", "@./list.txt")
    assert "includes itself" in problems("@list.txt")[0]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xfea_flt.fits", "UTF-8"),
        (b"caf\xe9_flt.fits\n", "UTF-8"),
        (b"", "contains no file names"),
        (b"# nothing\n\n", "contains no file names"),
        (b"zz_flt.fits\n", "zz_flt.fits: file not found (named in list.txt)"),
        (b"zz*.fits\n", "zz*.fits: matches no file (named in list.txt)"),
        (b"a\0b_flt.fits\n", "a\\x00b_flt.fits: file not found"),
        (b"a\0b/*_flt.fits\n", "a\\x00b/*_flt.fits: matches no file"),
    ],
)
def test_a_list_without_existing_files_is_an_error(content: bytes, reason: str) -> None:
    Path("list.txt").write_bytes(content)
    (problem,) = problems("@list.txt")
    assert "list.txt" in problem
    assert reason in problem


@pytest.mark.usefixtures("here")
def test_a_missing_list_a_folder_and_a_lone_at_sign_are_errors() -> None:
    Path("folder").mkdir()
    missing, folder, bare = problems("@missing.txt", "@folder", "@")
    assert "missing.txt: this @list cannot be read: No such file" in missing
    assert "folder: this @list cannot be read" in folder
    assert "@list cannot be read" in bare


@pytest.mark.usefixtures("here")
def test_a_list_that_is_a_symlink_to_itself_is_an_error() -> None:
    Path("loop.txt").symlink_to("loop.txt")
    (problem,) = problems("@loop.txt")
    assert "loop.txt: " in problem


@pytest.mark.usefixtures("here")
def test_a_file_name_may_begin_with_an_at_sign() -> None:
    small(Path("@odd_flt.fits"))
    assert used("@odd_flt.fits") == ["@odd_flt.fits"]


# Associations.


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("table", ["x_asn.fits", "x_asc.fits", "x_asn.fits.gz"])
def test_an_association_gives_its_members(table: str) -> None:
    for name in ("j8xi01aaq", "j8xi01abq"):
        small(Path(f"{name}_flt.fits"))
    association(
        Path(table),
        [("J8XI01AAQ", "EXP-DTH", True), ("j8xi01abq", "exp-rp1", True)],
    )
    assert used(table) == ["j8xi01aaq_flt.fits", "j8xi01abq_flt.fits"]


@pytest.mark.usefixtures("here")
def test_only_rows_that_are_present_and_of_type_exp_are_members() -> None:
    small(Path(f"{MEMBER}_flt.fits"))
    association(
        Path("x_asn.fits"),
        [
            (MEMBER.upper(), "EXP-DTH", True),
            ("J8XI01ZZQ", "EXP-DTH", False),  # not present, and the file is missing
            ("J8XI01010", "PROD-DTH", True),
            ("J8XI01XYZ", "AUTO-EXP", True),
        ],
    )
    assert used("x_asn.fits") == [f"{MEMBER}_flt.fits"]


@pytest.mark.usefixtures("here")
def test_members_are_in_the_folder_of_the_table() -> None:
    small(Path(f"visit/{MEMBER}_flt.fits"), 2)
    association(Path("visit/x_asn.fits"), [(MEMBER, "EXP-DTH", True)])
    assert used("visit/x_asn.fits") == [f"{MEMBER}_flt.fits"]
    assert used("v*/*_asn.fits") == [f"{MEMBER}_flt.fits"]


@pytest.mark.usefixtures("here")
def test_suffixes_of_a_member_are_tried_in_order() -> None:
    association(Path("x_asn.fits"), [(MEMBER, "EXP-DTH", True)])
    # From last to first: each new file has precedence over all existing ones.
    for suffix in ("c0m", "cal", "sfl", "crj", "flt", "flc"):
        small(Path(f"{MEMBER}_{suffix}.fits"))
        assert used("x_asn.fits") == [f"{MEMBER}_{suffix}.fits"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("ending", [".fits.gz", ".fits"])
def test_a_member_may_be_gzipped(ending: str) -> None:
    association(Path("x_asn.fits"), [(MEMBER, "EXP-DTH", True)])
    small(Path(f"{MEMBER}_flt{ending}"))
    assert used("x_asn.fits") == [f"{MEMBER}_flt{ending}"]


@pytest.mark.usefixtures("here")
def test_every_missing_member_is_an_error_that_names_it() -> None:
    association(
        Path("x_asn.fits"), [("J8XI01AAQ", "EXP-DTH", True), ("J8XI01ABQ", "EXP-DTH", True)]
    )
    first, second = problems("x_asn.fits")
    assert first.startswith("x_asn.fits: ")
    assert "j8xi01aaq" in first
    assert "j8xi01abq" in second


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "rows",
    [
        [("J8XI01010", "PROD-DTH", True)],
        [("J8XI01AAQ", "EXP-DTH", False)],
        [("", "EXP-DTH", True)],
        [("../a", "EXP-DTH", True)],
        [("a/b", "EXP-DTH", True)],
    ],
)
def test_an_association_without_usable_members_is_an_error(
    rows: list[tuple[str, str, bool]],
) -> None:
    association(Path("x_asn.fits"), rows)
    (problem,) = problems("x_asn.fits")
    assert problem.startswith("x_asn.fits: ")


@pytest.mark.usefixtures("here")
def test_an_invalid_association_is_an_error() -> None:
    simple(Path("x_asn.fits"), [science(sky(1, (16, 20)))])
    Path("y_asn.fits").write_text("no table")
    fits.BinTableHDU.from_columns([fits.Column("OTHER", "J", array=[1])]).writeto("z_asn.fits")
    found = problems("x_asn.fits", "y_asn.fits", "z_asn.fits", "missing_asn.fits")
    assert [p.split(":")[0] for p in found] == [
        *("x_asn.fits", "y_asn.fits", "z_asn.fits", "missing_asn.fits")
    ]


def suffixed_pair() -> None:
    for seed, suffix in enumerate(("flt", "flc"), 1):
        small(Path(f"{MEMBER}_{suffix}.fits"), seed)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "name", ["J8XI01ABQ_flt", "j8xi01abq_FLT", "J8XI01ABQ_FLT.FITS", "j8xi01abq_flt.fits"]
)
def test_a_member_with_suffix_is_that_file(name: str) -> None:
    # As written by DrizzlePac if both _flt and _flc exist.
    suffixed_pair()
    association(Path("x_asn.fits"), [(name, "EXP-DTH", True)])
    assert used("x_asn.fits") == [f"{MEMBER}_flt.fits"]
    Path(f"{MEMBER}_flt.fits").unlink()
    (problem,) = problems("x_asn.fits")
    assert problem == f"x_asn.fits: member {MEMBER}_flt is missing: file not found"


@pytest.mark.usefixtures("here")
def test_members_in_upper_case_are_found_but_the_exact_name_has_precedence() -> None:
    association(Path("X_ASN.FITS"), [(MEMBER, "EXP-DTH", True)])
    small(Path(f"{MEMBER.upper()}_FLT.FITS"))
    assert used("X_ASN.FITS") == [f"{MEMBER.upper()}_FLT.FITS"]
    small(Path(f"{MEMBER}_flt.fits"))
    assert used("X_ASN.FITS") == [f"{MEMBER}_flt.fits"]
    small(Path(f"{MEMBER.upper()}_FLC.FITS"))
    assert used("X_ASN.FITS") == [f"{MEMBER.upper()}_FLC.FITS"], (
        "the suffix has precedence over the case"
    )


STIS_ROWS = [
    ("O4K19AB2Q", "CRSPLIT", True),
    ("O4K19AB3Q", "AUTO-WAVECAL", True),
    ("O4K19AB4Q", "SCIENCE", True),
    ("O4K19A010", "PRODUCT", False),  # as in tables from before calibration
]


@pytest.mark.usefixtures("here")
def test_an_association_of_stis_gives_its_product() -> None:
    association(Path("x_asn.fits"), STIS_ROWS)
    (problem,) = problems("x_asn.fits")
    assert problem == (
        "x_asn.fits: product (all exposures of a STIS association) o4k19a010 is missing: "
        "no file with suffix _flc, _flt, _crj, _sfl, _cal, _c0m"
    )
    for suffix in ("crj", "flt"):
        small(Path(f"o4k19a010_{suffix}.fits"))
        assert used("x_asn.fits") == [f"o4k19a010_{suffix}.fits"]


# Variables and home folders.


@pytest.mark.usefixtures("here")
def test_variables_and_home_folders_are_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(tmp_path / "home/h_flt.fits", 7)
    write("home/list.txt", "$EXPOSURES/h_flt.fits", "~/h_flt.fits", "a_flt.fits")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EXPOSURES", str(tmp_path / "home"))
    assert used("$EXPOSURES/h_flt.fits") == ["h_flt.fits"]
    assert used("${EXPOSURES}/*.fits,a_flt.fits") == ["a_flt.fits", "h_flt.fits"]
    assert used("~/h_flt.fits") == ["h_flt.fits"]
    assert used("a_flt.fits,~/h*.fits") == ["a_flt.fits", "h_flt.fits"]
    assert used("@$EXPOSURES/list.txt") == ["a_flt.fits", "h_flt.fits"]
    assert used("@~/list.txt") == ["a_flt.fits", "h_flt.fits"]


@pytest.mark.usefixtures("here")
def test_an_unset_variable_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_FOLDER", raising=False)
    (problem,) = problems("$NO_SUCH_FOLDER/a_flt.fits")
    assert "$NO_SUCH_FOLDER/a_flt.fits" in problem


@pytest.mark.usefixtures("here")
def test_a_file_name_may_contain_a_dollar_sign(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COST", "5")
    small(Path("a$COST_flt.fits"))
    small(Path("$COST.fits"))
    assert used("a$COST_flt.fits") == ["a$COST_flt.fits"]
    assert used("$COST.fits") == ["$COST.fits"]


# The same file twice.


@pytest.mark.usefixtures("here")
def test_the_same_file_counts_once_under_different_names(tmp_path: Path) -> None:
    Path("link_flt.fits").symlink_to("a_flt.fits")
    Path("sub").symlink_to(".")
    write("list.txt", "a_flt.fits")
    report = run(
        *("a_flt.fits", "./a_flt.fits", tmp_path / "a_flt.fits", "a*.fits", "@list.txt"),
        *("link_flt.fits", "sub/a_flt.fits"),
        out=Path("out"),
    )
    assert files_used(report) == ["a_flt.fits"]


@pytest.mark.usefixtures("here")
def test_files_of_the_same_name_in_two_folders_are_two_exposures() -> None:
    small(Path("night1/x_flt.fits"), 11)
    small(Path("night2/x_flt.fits"), 12)
    report = run("night?/x_flt.fits", out=Path("out"))
    assert files_used(report) == ["x_flt.fits", "x_flt.fits"]
    assert report.masks[0].exposures == 2


# What patterns skip.


@pytest.mark.usefixtures("here")
def test_patterns_do_not_match_masks_or_folders() -> None:
    # So that a command can be repeated in its output folder.
    run("*.fits", out=Path())
    Path("folder.fits").mkdir()
    assert len(list(Path().glob("*_staticMask.fits"))) == 1
    assert used("*.fits") == ["a_flt.fits", "b_flt.fits", "c_flt.fits"]


@pytest.mark.usefixtures("here")
def test_a_pattern_that_matches_only_masks_is_an_error() -> None:
    run("*.fits", out=Path())
    (problem,) = problems("*_staticMask.fits")
    assert "*_staticMask.fits: matches no file" in problem


@pytest.mark.usefixtures("here")
def test_a_pattern_that_matches_nothing_is_an_error_that_names_it() -> None:
    (problem,) = problems("*flt.fits", "zz*.fits")
    assert "zz*.fits" in problem


@pytest.mark.usefixtures("here")
def test_a_folder_is_an_error_that_suggests_a_pattern() -> None:
    Path("folder").mkdir()
    (problem,) = problems("folder")
    assert problem.startswith("folder: is a folder")
    Path("fol\nder").mkdir()
    (problem,) = problems("fol\nder")
    assert problem.startswith("fol\\nder: is a folder")


@pytest.mark.usefixtures("here")
def test_a_dangling_or_circular_link_is_an_error() -> None:
    Path("gone_flt.fits").symlink_to("nothing.fits")
    Path("loop_flt.fits").symlink_to("loop_flt.fits")
    found = problems("gone_flt.fits", "loop_flt.fits")
    assert [p.split(":")[0] for p in found] == ["gone_flt.fits", "loop_flt.fits"]
    assert "file not found" in found[0]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("inputs", [[], [" , ,"]])
def test_no_input_at_all_is_an_error(inputs: list[str]) -> None:
    # The default pattern must not be used: the list of a script may be empty.
    with pytest.raises((InputError, ValueError)):
        run(*inputs, out=Path("out"))


# Unusual names.

UNUSUAL_NAMES = [
    "two words_flt.fits",
    "  leading and trailing  ",
    "line\nbreak_flt.fits",
    "tab\t_flt.fits",
    "-dash_flt.fits",
    "--help",
    "'single'_flt.fits",
    '"double"_flt.fits',
    "[ab]_flt.fits",
    "[sci,1].fits",
    "star*_flt.fits",
    "what?_flt.fits",
    "#hash_flt.fits",
    "%s%(x)s{0}_flt.fits",
    "back\\slash_flt.fits",
    "\x1b[31mred_flt.fits",
    "öäü☄_flt.fits",
    os.fsdecode(b"latin-\xe9_flt.fits"),
    "~nobody-of-this-name_flt.fits",
    ".hidden_flt.fits",
]


@pytest.mark.parametrize("name", UNUSUAL_NAMES)
def test_any_existing_name_is_found(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small(Path("plain_flt.fits"), 3)
    Path("plain_flt.fits").rename(name)
    result = CliRunner().invoke(main, ["-o", "out", "--", name])
    assert result.exit_code == 0, result.stderr
    (line,) = result.stdout.splitlines()
    assert line.endswith("  1")
    # The table of the mask contains it in characters that FITS allows.
    (row,) = fits.getdata("out/ACSHRC_16x20_1_staticMask.fits", 1)
    assert row["FILE"].isprintable()
    assert row["FILE"].isascii()


@pytest.mark.parametrize("name", [n for n in UNUSUAL_NAMES if n.endswith(".fits") and n[0] != "."])
def test_patterns_match_unusual_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small(Path("plain_flt.fits"), 3)
    Path("plain_flt.fits").rename(name)
    assert used("*.fits") == [name]


@pytest.mark.parametrize("name", UNUSUAL_NAMES)
def test_an_error_about_an_unusual_name_is_one_safe_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("not FITS")
    result = CliRunner().invoke(main, ["-o", "out", "--", name])
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.isprintable()
    assert "FITS" in line
    assert not Path("out").exists()


# Several problems.


@pytest.mark.usefixtures("here")
def test_all_problems_of_all_inputs_are_listed_in_order() -> None:
    association(Path("x_asn.fits"), [(MEMBER, "EXP-DTH", True)])
    write("list.txt", "inlist1.fits", "a_flt.fits", "inlist*.fits")
    Path("text_flt.fits").write_text("not FITS")
    simple(Path("empty_flt.fits"), [])
    found = problems(
        *("a_flt.fits", "zz.fits,zz*.fits", "@list.txt", "x_asn.fits", "@missing.txt"),
        *("text_flt.fits", "empty_flt.fits"),
    )
    assert [p.split(":")[0] for p in found] == [
        *("zz.fits", "zz*.fits", "inlist1.fits", "inlist*.fits", "x_asn.fits", "missing.txt"),
        *("text_flt.fits", "empty_flt.fits"),
    ]


@pytest.mark.usefixtures("here")
def test_repeated_problems_are_listed_once() -> None:
    assert len(problems("zz.fits", "zz.fits", "zz.fits,zz.fits")) == 1


# A list on standard input.


def piped(content: bytes, folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-W", "error", "-m", "staticmask_cli", *arguments]
    return subprocess.run(
        command, cwd=folder, input=content, capture_output=True, timeout=120, check=False
    )


ODD = [
    *("two words_flt.fits", "line\nbreak_flt.fits", "quote'\"_flt.fits", "-dash_flt.fits"),
    *("@at_flt.fits", "#hash_flt.fits", "a,b_flt.fits", "$HOME_flt.fits", "latin-\udce9_flt.fits"),
]


def test_names_from_find_print0_are_used_literally(tmp_path: Path) -> None:
    for seed, name in enumerate(ODD):
        small(tmp_path / name, seed)
    names = b"\0".join(map(os.fsencode, ODD)) + b"\0"
    result = piped(names, tmp_path, "@-")
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.split()[-1] == b"%d" % len(ODD)


def test_find_and_xargs_pass_unusual_names(tmp_path: Path) -> None:
    for seed, name in enumerate(ODD):
        small(tmp_path / "in" / name, seed)
    find = subprocess.run(
        ["find", "in", "-print0", "-name", "*flt.fits"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    ).stdout
    names = b"\0".join(name for name in find.split(b"\0") if name.endswith(b".fits"))
    xargs = ["xargs", "-0", "-n", "4", sys.executable, "-m", "staticmask_cli", "--update"]
    subprocess.run(xargs, cwd=tmp_path, input=names, check=True, capture_output=True)
    (mask,) = tmp_path.glob("*_staticMask.fits")
    assert fits.getheader(mask)["NEXPOSUR"] == len(ODD)


def test_standard_input_is_read_as_a_list(tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits", 1)
    small(tmp_path / "b_flt.fits", 2)
    result = piped(b"# tonight\n\na_flt.fits first\n*b_flt.fits\n", tmp_path, "@-")
    assert result.returncode == 0
    assert result.stdout.split()[-1] == b"2"


def test_more_names_than_fit_on_a_command_line(tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits", 1)
    names = b"\n".join(b"./" * (n % 100 + 50) + b"a_flt.fits" for n in range(20000))
    assert len(names) > 3e6
    result = piped(names, tmp_path, "@-")
    assert (result.returncode, result.stdout.split()[-1]) == (0, b"1")


@pytest.mark.parametrize(
    ("content", "arguments", "said"),
    [
        (b"", ["@-"], b"@-: this @list contains no file names"),
        (b"gone.fits\0", ["@-"], b"gone.fits: file not found"),
        (b"\xff\xfe\n", ["@-"], b"@-: is not text in UTF-8"),
        (b"a_flt.fits\n", ["@-", "@-"], b"@-: standard input is given twice"),
    ],
)
def test_problems_with_standard_input_are_errors(
    content: bytes, arguments: list[str], said: bytes, tmp_path: Path
) -> None:
    small(tmp_path / "a_flt.fits", 1)
    result = piped(content, tmp_path, *arguments)
    assert result.returncode == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_closed_standard_input_is_an_error(tmp_path: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m staticmask_cli @- <&-"
    result = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, check=False)
    assert result.returncode == 1
    assert b"@-: standard input cannot be read" in result.stderr
    assert len(result.stderr.splitlines()) == 1
