"""Help, man page, README and configuration tell the same, and what they show is real."""

from __future__ import annotations

import re
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
DEFAULTS = DEFAULTS_FILE.read_text(encoding="utf-8")

OPTIONS = {
    option.name: option
    for command in main.commands.values()
    for option in command.params
    if isinstance(option, click.Option)
}
ARGUMENTS_OF_KEYS = {"input"}

# README and manual page are rewritten in another change, which removes these marks.
rewritten = pytest.mark.xfail(
    strict=False, reason="the document is being rewritten for the commands"
)


@pytest.fixture(scope="module")
def help_text() -> str:
    """Return the help of make in one line."""
    context = click.Context(main.commands["make"], info_name="make", max_content_width=200)
    return " ".join(main.commands["make"].get_help(context).split()) + " "


def plain(roff: str) -> str:
    """Return roff as text in one line, without escapes and requests."""
    text = re.sub(r"\\f[BIR]|\\&", "", roff.replace("\\-", "-").replace("\\(aq", "'"))
    text = re.sub(r"^\.(BI|BR|B|IR|I|TP|PP|SH)\b ?", "", text, flags=re.MULTILINE)
    return " ".join(text.replace('"', "").replace(" , ", ", ").split())


def man_entry(flag: str) -> str:
    """Return the man page's paragraph on an option."""
    options = MAN.split(".SH OPTIONS")[1].split(".SH")[0]
    entries = [
        e for e in options.split(".TP\n") if flag in re.split("[ ,]+", plain(e[: e.index("\n")]))
    ]
    assert len(entries) == 1, flag
    return plain(entries[0])


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_every_option_of_every_command_has_help(option: click.Option) -> None:
    assert option.help


@rewritten
@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_every_option_is_in_man_page_and_readme(option: click.Option) -> None:
    for flag in [*option.opts, *option.secondary_opts]:
        assert man_entry(flag)
        assert re.search(rf"`{flag}[ `]", README), flag


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


@rewritten
@pytest.mark.parametrize("name", keys())
def test_every_key_is_in_man_page_and_readme(name: str) -> None:
    assert re.search(rf"^{name} = ", README, re.MULTILINE)
    assert f"STATICMASK_{name.upper()}" in MAN
    assert name not in ARGUMENTS_OF_KEYS
    option = OPTIONS[name]
    value = default(name)
    shown = str(value)
    if isinstance(value, bool):
        shown = option.opts[0] if value else option.secondary_opts[0]
    flag = option.opts[-1]
    (row,) = re.findall(rf"^\| [^|]*`{flag}[ `][^|]*\|([^|]*)\|", README, re.MULTILINE)
    assert row.strip() == f"`{shown}`"
    entry = man_entry(flag).split("Default: ")[1]
    assert entry.startswith((f"{shown}.", f"{shown},", f"the current folder ({shown})."))


@rewritten
def test_the_readmes_configuration_is_the_packaged_one() -> None:
    (block,) = re.findall(r"```ini\n(.*?)```", README, re.DOTALL)
    bare = [line for line in DEFAULTS.splitlines() if line and not line.startswith("#")]
    assert [line for line in block.splitlines() if line] == bare


def test_the_readmes_example_shows_what_it_prints(staticmask: Run, tmp_path: Path) -> None:
    (line,) = re.findall(r"^pip install \. && (staticmask .*)$", README, re.MULTILINE)
    shown = re.search(r"after pip's own lines:\n\n```\n(.*?)```", README, re.DOTALL)[1]
    target = tmp_path / "tests" / "data"
    target.mkdir(parents=True)
    shutil.copy(REAL, target)
    result = staticmask(*shlex.split(line)[1:])
    assert result.returncode == 0
    assert result.stderr + result.stdout == shown


@rewritten
def test_what_the_readme_shows_of_questions_is_what_they_print(
    staticmask: Run, tmp_path: Path
) -> None:
    shutil.copytree(REAL.parent, tmp_path / "tests" / "data")
    shown = re.findall(r"```\n\$ (staticmask .*)\n((?:.*\n)*?)```", README)
    assert [next(w for w in shlex.split(line) if w.startswith("--")) for line, _ in shown] == [
        *("--sweep", "--explain", "--compare")
    ]
    for line, output in shown:
        assert staticmask(*shlex.split(line)[1:]).stdout == output


def test_the_readme_has_two_command_lines_to_begin_with() -> None:
    assert len(re.findall(r"^pip install ", README, re.MULTILINE)) == 2


@pytest.mark.parametrize("instrument", DQ_BITS)
def test_the_readme_names_every_dq_bit(instrument: str) -> None:
    (row,) = re.findall(rf"^\| {instrument} \| (.*) \|$", README, re.MULTILINE)
    assert set(re.findall(r"[A-Z0-9]{2,}", row)) == set(DQ_BITS[instrument])
    bits = list(DQ_BITS[instrument].values())
    assert all(bit & (bit - 1) == 0 for bit in bits)


def test_man_page_and_changelog_tell_this_version() -> None:
    assert re.match(rf'\.TH STATICMASK 1 "[\d-]+" "staticmask {re.escape(__version__)}"', MAN)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {__version__} " in changelog


def test_exit_statuses_stand_in_man_page_and_readme() -> None:
    exits = MAN.split(".SH EXIT STATUS")[1].split(".SH")[0]
    assert re.findall(r"^\.B (\d+)$", exits, re.MULTILINE) == ["0", "1", "2", "3", "4", "70", "130"]
    assert re.search(r"Exit status: 0 .* 1 .* 2 .* 3 .* 4 .* 70 .* 130", README, re.DOTALL)
