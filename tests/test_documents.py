"""Help, man page, README, manual and configuration agree, and their examples are real."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
from pathlib import Path

import click
import pytest

from staticmask_cli import __version__
from staticmask_cli.cli.main import main
from staticmask_cli.config.spec import DEFAULTS_FILE, default, keys
from staticmask_cli.exposures.instruments import DQ_BITS
from tests.support.makers import REAL
from tests.support.runs import Run

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAN = (ROOT / "man" / "staticmask.1").read_text(encoding="utf-8")
CHAPTERS = {p.stem: p.read_text(encoding="utf-8") for p in sorted((ROOT / "man").glob("*.md"))}
DOCUMENTS = {
    "README": README,
    "CONTRIBUTING": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
    **CHAPTERS,
}
DEFAULTS = DEFAULTS_FILE.read_text(encoding="utf-8")

OPTIONS = {
    option.name: option
    for command in main.commands.values()
    for option in command.params
    if isinstance(option, click.Option)
}
ARGUMENTS_OF_KEYS = {"input"}


@pytest.fixture(scope="module")
def help_text() -> str:
    """Return the help of make in one line."""
    context = click.Context(main.commands["make"], info_name="make", max_content_width=200)
    return " ".join(main.commands["make"].get_help(context).split()) + " "


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_every_option_of_every_command_has_help(option: click.Option) -> None:
    assert option.help


@pytest.mark.parametrize("name", keys())
def test_every_key_is_an_option_whose_help_and_default_are_the_configspecs(
    name: str, help_text: str
) -> None:
    assert re.search(rf"^{name} = ", DEFAULTS, re.MULTILINE)
    if name in ARGUMENTS_OF_KEYS:
        return
    option = OPTIONS[name]
    assert option.default is None, "the default is in the configspec alone"
    value = default(name)
    shown = "" if value in (None, False) else f" [default: {'on' if value is True else value}]"
    assert f"{keys()[name].summary}{shown} " in help_text


def test_the_man_page_is_generated_from_the_commands_and_the_configspec() -> None:
    generate = runpy.run_path(str(ROOT / "man" / "generate.py"))
    assert generate["man_page"]() == MAN, "run: python man/generate.py"


def test_the_man_page_has_every_option_and_key() -> None:
    text = MAN.replace("\\-", "-")
    for option in OPTIONS.values():
        for flag in [*option.opts, *option.secondary_opts]:
            assert f"\\fB{flag}\\fR" in text, flag
    for name, key in keys().items():
        assert f"STATICMASK_{name.upper()}" in text
        assert name in ARGUMENTS_OF_KEYS or f"Default: {default(name)}." in text, key


def test_the_configuration_in_the_manual_is_the_packaged_one() -> None:
    (block,) = re.findall(r"```ini\n(.*?)```", CHAPTERS["configuration"], re.DOTALL)
    bare = [line for line in DEFAULTS.splitlines() if line and not line.startswith("#")]
    assert [line for line in block.splitlines() if line] == bare


def test_the_readmes_example_shows_what_it_prints(staticmask: Run, tmp_path: Path) -> None:
    (line,) = re.findall(r"^pip install \. && (staticmask .*)$", README, re.MULTILINE)
    shown = re.search(r"pip's own lines it prints:\n\n```\n(.*?)```", README, re.DOTALL)[1]
    target = tmp_path / "tests" / "data"
    target.mkdir(parents=True)
    shutil.copy(REAL, target)
    result = staticmask(*shlex.split(line)[1:])
    assert result.returncode == 0
    assert result.stderr + result.stdout == shown


@pytest.mark.parametrize("document", DOCUMENTS)
def test_examples_show_what_they_print(document: str, staticmask: Run, tmp_path: Path) -> None:
    shutil.copytree(REAL.parent, tmp_path / "tests" / "data")
    for line, output in re.findall(
        r"```console\n\$ (staticmask .*)\n((?:.*\n)*?)```", DOCUMENTS[document]
    ):
        assert output
        assert staticmask(*shlex.split(line)[1:]).stdout == output


def test_the_readme_shows_sweep_explain_and_compare() -> None:
    shown = re.findall(r"```console\n\$ staticmask (\w+)", README)
    assert shown == ["sweep", "explain", "compare"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_name_only_options_commands_and_files_that_exist(document: str) -> None:
    text = DOCUMENTS[document]
    flags = {flag for o in OPTIONS.values() for flag in [*o.opts, *o.secondary_opts]}
    # Of the benchmarks, ruff, Slurm and dask.
    foreign = {"--real", "--peer", "--check", "--array", "--cpus-per-task", "--dependency", "--mem"}
    foreign |= {"--parsable", "--ntasks", "--mem-per-cpu", "--dask"}
    foreign |= {"--scheduler-file", "--no-dashboard", "--nthreads"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= flags | foreign | {"--help"}
    assert set(re.findall(r"`(max_\w+)`", text)) <= set(keys())
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    folder = ROOT if document in ("README", "CONTRIBUTING") else ROOT / "man"
    assert [link for link in links if not (folder / link).exists()] == []


@pytest.mark.parametrize("document", [*DOCUMENTS, "man page"])
def test_documents_have_no_unfilled_places(document: str) -> None:
    assert re.findall(r"@[A-Z]+@", DOCUMENTS.get(document, MAN)) == []


def test_the_readme_has_every_command() -> None:
    for name in main.commands:
        assert re.search(rf"^\| `staticmask \[?{name}\b", README, re.MULTILINE), name


def test_the_readme_is_short_and_has_two_command_lines_to_begin_with() -> None:
    assert len(README.splitlines()) <= 170
    assert len(re.findall(r"^pip install ", README, re.MULTILINE)) == 2


@pytest.mark.parametrize("instrument", DQ_BITS)
def test_the_manual_names_every_dq_bit(instrument: str) -> None:
    (row,) = re.findall(rf"^\| {instrument} \| (.*) \|$", CHAPTERS["inputs"], re.MULTILINE)
    assert set(re.findall(r"[A-Z0-9]{2,}", row)) == set(DQ_BITS[instrument])
    bits = list(DQ_BITS[instrument].values())
    assert all(bit & (bit - 1) == 0 for bit in bits)


def test_the_manual_has_every_quality_check() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (?:chip|mask)[^|]*\| .*`(max_\w+)` \|$",
        CHAPTERS["quality-checks"],
        re.MULTILINE,
    )
    limits = [name for name in keys() if name.startswith("max_")]
    assert [limit for _, limit in rows] == limits
    assert all(limit == f"max_{name}" for name, limit in rows)


def test_man_page_changelog_and_citation_have_this_version() -> None:
    assert re.match(rf'\.TH STATICMASK 1 "[\d-]+" "staticmask {re.escape(__version__)}"', MAN)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {__version__} " in changelog
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {__version__}\n" in citation


def test_exit_statuses_are_in_man_page_and_manual() -> None:
    statuses = ["0", "1", "2", "3", "4", "70", "130"]
    exits = MAN.split(".SH EXIT STATUS")[1].split(".SH")[0]
    assert re.findall(r"^\.B (\d+)$", exits, re.MULTILINE) == statuses
    rows = re.findall(r"^\| (\d+) \| ", CHAPTERS["nightly"], re.MULTILINE)
    assert list(dict.fromkeys(rows)) == statuses
