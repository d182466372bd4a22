"""The summary of a run: valid, complete, and there however the run ends."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from astropy.io import fits
from click.testing import CliRunner

from staticmask_cli import StaticMask
from staticmask_cli.cli import logs
from staticmask_cli.cli.main import main
from staticmask_cli.config.spec import keys
from staticmask_cli.reports.summary import SCHEMA_FILE, SCHEMA_VERSION
from tests.support.makers import exposure, sky
from tests.support.runs import Run, small, tree

SCHEMA = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
MANUAL = (Path(__file__).parents[2] / "man" / "nightly.md").read_text(encoding="utf-8")
NAME = "ACSHRC_16x20_1_staticMask.fits"


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def strict(schema: object) -> object:
    """Return the schema with keys that it does not know forbidden: none may be undocumented."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if "properties" in made:
        assert set(made["required"]) == set(made["properties"])
        made["unevaluatedProperties"] = False
    if "allOf" in made:  # its parts see only their own keys
        for part in made["allOf"]:
            part.pop("unevaluatedProperties", None)
        made["unevaluatedProperties"] = False
    return made


def valid(text: str) -> dict:
    document = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    loose = json.loads(json.dumps(SCHEMA))
    for whole in ("exposures", "masks"):
        chip = loose["properties"][whole]["items"]["properties"]["chips"]["items"]
        chip["allOf"][0] = json.loads(json.dumps(loose["$defs"]["record"]))
    jsonschema.Draft202012Validator(strict(loose)).validate(document)
    assert document["schema_version"] == SCHEMA_VERSION
    return document


def of(staticmask: Run, folder: Path, *options: str, status: int, **more: str) -> dict:
    """Run, and return the summary that it wrote into a file."""
    result = staticmask("--summary", "s.json", "-o", "m", *options, **more)
    assert result.returncode == status, result.stderr
    document = valid((folder / "s.json").read_text(encoding="ascii"))
    assert document["exit_status"] == status
    assert not list(folder.glob(".s.json*"))
    return document


def test_a_summary_has_the_contents_of_the_masks_and_their_tables(
    staticmask: Run, tmp_path: Path
) -> None:
    small(tmp_path / "a_flt.fits", 1)
    small(tmp_path / "odd\x1b_flt.fits", 2)
    (tmp_path / "my.cfg").write_text("[RUNNING]\njobs = 1\n")
    more = {"STATICMASK_PREFIX": "mine"}
    done = of(staticmask, tmp_path, "-c", "my.cfg", "--static-sig", "3", status=0, **more)
    path = tmp_path / "m" / "mine_16x20_1_staticMask.fits"
    (mask,) = done["masks"]
    with fits.open(path) as hdus:
        at, length = hdus[0].fileinfo()["datLoc"], hdus[0].data.nbytes
        assert mask["sha256"] == hashlib.sha256(path.read_bytes()[at : at + length]).hexdigest()
        assert mask["bad"] == hdus[0].header["NBAD"]
        rows = hdus["EXPOSURES"].data
        for row, chip in zip(rows, mask["chips"], strict=True):
            for column, key in [("MODE", "mode"), ("RMS", "rms"), ("THRESH", "threshold")]:
                assert chip[key] == row[column]
            assert (chip["n_low"], chip["pixel_hash"]) == (row["LOWPIX"], row["PIXHASH"])
    assert (mask["total"], mask["exposures"], mask["state"]) == (320, 2, "written")
    assert [e["path"] for e in done["exposures"]] == ["a_flt.fits", "odd\\x1b_flt.fits"]
    assert [e["chips"][0]["mask"] for e in done["exposures"]] == [mask["path"]] * 2
    assert set(done["settings"]) == set(keys())
    origins = {name: entry["origin"] for name, entry in done["settings"].items()}
    assert (origins["jobs"], origins["static_sig"]) == ("my.cfg", "--static-sig")
    assert (origins["prefix"], origins["group"]) == ("STATICMASK_PREFIX", "default")
    assert done["settings"]["static_sig"]["value"] == 3
    assert set(done["timings"]) == {"resolve", "measure", "write", "total"}


def test_exports_imports_and_edits_have_a_summary(staticmask: Run, tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits", 1)
    staticmask("-o", "old")
    mask = f"old/{NAME}"

    def summary(*options: str) -> dict:
        document = json.loads(staticmask(*options, "-o", "m", "--summary", "-").stdout)
        jsonschema.validate(document, json.loads(SCHEMA_FILE.read_text("utf-8")))
        assert document["settings"]["output_dir"]["value"] == "m"
        return document

    done = summary("export", "old", "--format", "csv")
    assert [answer["mask"] for answer in done["answer"]] == [mask]
    assert done["masks"] == []
    done = summary("import", done["answer"][0]["path"], "--like", mask)
    (made,) = done["masks"]
    assert (made["state"], made["exposures"], made["chips"]) == ("written", 0, [])
    done = summary("edit", mask, "--grow", "1", "--overwrite")
    (made,), (answer,) = done["masks"], done["answer"]
    assert answer.pop("gained") == made["bad"] - StaticMask.read(tmp_path / mask).n_bad
    assert answer == {"mask": NAME, "operation": "grow", "operand": "1", "sha256": "", "lost": 0}


def test_standard_output_has_only_the_document(staticmask: Run, tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits")
    result = staticmask("--summary", "-")
    assert valid(result.stdout)["masks"][0]["path"] == f"./{NAME}"
    assert result.stdout.startswith("{\n")
    assert result.stdout.endswith("}\n")


def test_every_state_has_its_summary(staticmask: Run, tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits", 1)
    small(tmp_path / "empty_flt.fits", 2, primary={"EXPTIME": 0.0})
    states = lambda done: [e["state"] for e in done["exposures"]]  # noqa: E731
    done = of(staticmask, tmp_path, "-n", status=0)
    assert (states(done), done["dry_run"]) == (["not read", "skipped"], True)
    assert (done["masks"][0]["bad"], done["masks"][0]["state"]) == (None, "planned")
    done = of(staticmask, tmp_path, "--update", status=0)
    assert states(done) == ["read", "skipped"]
    assert done["exposures"][1]["chips"][0]["mode"] is None
    assert any("EXPTIME" in warning for warning in done["warnings"])
    done = of(staticmask, tmp_path, "--update", status=0)
    assert states(done) == ["known", "skipped"]
    assert done["masks"][0]["state"] == "unchanged"
    digest = done["masks"][0]["sha256"]
    names = "gone.fits", "*flt.fits"
    done = of(staticmask, tmp_path, "--update", "--verify", "-k", *names, status=3)
    assert states(done) == ["failed", "verified", "skipped"]
    assert done["exposures"][0]["reasons"] == ["gone.fits: file not found"]
    assert done["masks"][0]["sha256"] == digest
    done = of(staticmask, tmp_path, *names, status=1)
    assert states(done) == ["failed", "not read", "skipped"]
    assert done["errors"] == ["gone.fits: file not found"]
    assert done["masks"] == []
    done = of(staticmask, tmp_path, "--static-sig", "x", "--jobs", "-1", status=2)
    assert (done["settings"], done["exposures"], len(done["errors"])) == (None, [], 2)
    done = of(staticmask, tmp_path, "--no-static", status=0)
    assert done["masks"] == []


def test_an_interrupted_run_has_its_summary(tmp_path: Path) -> None:
    for n in range(200):
        exposure(tmp_path / f"e{n:03d}_flt.fits", [sky(n, (400, 400))], errors=False)
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from staticmask_cli.masking import worker\n"
        "from staticmask_cli.cli.main import main\n"
        "original = worker.open_and_read\n"
        "def opened(path, *args, **more):\n"
        "    if path.name == 'e150_flt.fits':\n        os.kill(os.getpid(), signal.SIGINT)\n"
        "    return original(path, *args, **more)\n"
        "worker.open_and_read = opened\nmain()\n"
    )
    command = [sys.executable, "-c", code, "--summary", "s.json", "-o", "m"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 128 + signal.SIGINT
    done = valid((tmp_path / "s.json").read_text())
    assert (done["exit_status"], done["errors"]) == (130, ["interrupted"])
    assert 100 < len(done["exposures"]) <= 150


@pytest.mark.parametrize("option", ["--summary", "--log-file"])
def test_no_slip_of_the_pen_costs_an_exposure(option: str, staticmask: Run, tmp_path: Path) -> None:
    path = small(tmp_path / "a_flt.fits")
    (tmp_path / "link").symlink_to("a_flt.fits")
    before = path.read_bytes()
    for name in ("a_flt.fits", "link"):
        result = staticmask(option, name)
        assert result.returncode == 2
        assert result.stderr.startswith(f"staticmask: error: {option}: {name}: ")
        assert path.read_bytes() == before


def test_a_summary_into_a_device_leaves_it_there(
    staticmask: Run, staticmask_process: Run, tmp_path: Path
) -> None:
    small(tmp_path / "a_flt.fits")
    valid(staticmask_process("-q", "--summary", "/dev/stdout").stdout)
    with (tmp_path / "out").open("w") as out:
        command = [sys.executable, "-m", "staticmask_cli", "--summary", "/dev/stdout"]
        subprocess.run(command, cwd=tmp_path, stdout=out, check=True)
    line, document = (tmp_path / "out").read_text().split("\n", 1)
    assert line.startswith(f"./{NAME} ")
    valid(document)
    assert staticmask("--summary", "/dev/null").returncode == 0
    assert Path("/dev/null").is_char_device()
    result = staticmask("--summary", "/dev/full")
    assert result.returncode == 1
    assert "cannot be written: No space left" in result.stderr


@pytest.mark.parametrize("option", ["--summary", "--log-file", "--report"])
def test_no_file_is_written_through_a_link(option: str, staticmask: Run, tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits")
    (tmp_path / "theirs").write_bytes(b"")
    (tmp_path / "link").symlink_to("theirs")
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "device").symlink_to("/dev/null")
    before = tree(tmp_path)
    for name in ("link", "dangling", "device"):
        result = staticmask("-o", "m", option, name)
        assert result.returncode == 2
        what = "is a symbolic link; give the path of the file itself"
        assert result.stderr == f"staticmask: error: {option}: {name}: {what}\n"
    assert tree(tmp_path) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")
@pytest.mark.parametrize("option", ["--summary", "--log-file", "--report", "--preview"])
def test_another_users_link_in_a_shared_folder_is_not_followed(
    option: str, staticmask: Run, tmp_path: Path
) -> None:
    small(tmp_path / "a_flt.fits")
    shared = tmp_path / "shared"
    shared.mkdir()
    (tmp_path / "mine").mkdir()
    (shared / "link").symlink_to(tmp_path / "mine")
    name = "shared/link" if option == "--preview" else "shared/link/x"
    shared.chmod(0o1777)
    os.lchown(shared / "link", 12345, 12345)
    result = staticmask("-o", "m", option, name)
    assert result.returncode == 2
    assert result.stderr.startswith(f"staticmask: error: {option}: {name}: ")
    assert "another user's symbolic link" in result.stderr
    assert result.stderr.count("\n") == 1
    assert listed(tmp_path / "mine") == []
    os.lchown(shared / "link", 0, 0)
    assert staticmask("-o", "m", option, name).returncode == 0
    assert listed(tmp_path / "mine")


def test_no_name_of_a_mask_or_an_input_is_taken(staticmask: Run, tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits")
    (tmp_path / "list").write_text("a_flt.fits\n")
    (tmp_path / "in.cfg").write_text("input = @list\n")
    before = tree(tmp_path)
    for option in ("--summary", "--log-file", "--report"):
        for arguments, said in [
            ([option, f"m/{NAME}"], "has the name of a FITS file"),
            (["@list", option, "list"], "list"),
            (["-c", "in.cfg", option, "list"], "list"),
            (["-c", "in.cfg", option, "in.cfg"], "in.cfg"),
        ]:
            result = staticmask("-o", "m", *arguments)
            assert (result.returncode, result.stdout) == (2, "")
            assert said in result.stderr
            assert result.stderr.count("\n") == 1
            assert tree(tmp_path) == before


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_side_files_have_the_permissions_of_the_umask(
    mask: int, staticmask: Run, tmp_path: Path
) -> None:
    small(tmp_path / "a_flt.fits")
    old = os.umask(mask)
    try:
        options = ["--summary", "d/s.json", "--log-file", "d/n.log", "--report", "d/r.html"]
        assert staticmask(*options, "--preview", "d/p").returncode == 0
    finally:
        os.umask(old)
    paths = [path for path in (tmp_path / "d").rglob("*") if path.is_file()]
    assert len(paths) == 7
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o666 & ~mask}


def test_a_crontab_line_makes_the_folder_of_its_files(staticmask: Run, tmp_path: Path) -> None:
    (line,) = re.findall(r"cd /data/hst && staticmask (.*)$", MANUAL, re.MULTILINE)
    small(tmp_path / "a_flt.fits")
    for status in (0, 0):
        assert staticmask(*shlex.split(line)).returncode == status
    names = sorted([NAME, "night.json", "night.log"])
    assert listed(tmp_path / "masks") == names
    # Also if it fails: the summary says why.
    (tmp_path / "a_flt.fits").unlink()
    shutil.rmtree(tmp_path / "masks")
    assert staticmask(*shlex.split(line)).returncode == 1
    assert listed(tmp_path / "masks") == names[1:]


@pytest.mark.parametrize("log", [False, True])
def test_an_error_of_our_own_is_one_line_and_its_details_are_in_a_file(
    log: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    small(tmp_path / "a_flt.fits")

    def broken(*_: object, **__: object) -> None:
        raise KeyError("a bug of ours")

    monkeypatch.setattr("staticmask_cli.masking.worker.open_and_read", broken)
    options = ["--log-file", "night.log"] if log else []
    result = CliRunner().invoke(main, ["--summary", "s.json", "-o", "m", *options])
    for handler in logs.log.handlers:  # the process's end would have done it
        handler.close()
    assert result.exit_code == 70
    assert valid(Path("s.json").read_text())["exit_status"] == 70
    (line,) = result.stderr.splitlines()
    assert line.startswith("staticmask: error: internal error: KeyError: 'a bug of ours'; please")
    details = Path(line.split(" in ")[-1])
    assert (details.name == "night.log") == log
    assert "Traceback" in details.read_text()
    assert "broken" in details.read_text()


@pytest.mark.parametrize("place", ["a_flt.fits/s.json", "folder", "", "a\x00b", "new.fits.gz"])
def test_a_summary_that_cannot_be_written_is_reported_before_any_work(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small(tmp_path / "a_flt.fits")
    (tmp_path / "folder").mkdir()
    before = tree(tmp_path)
    result = CliRunner().invoke(main, ["--summary", place, "-o", "m"])
    assert result.exit_code == 2
    assert result.stderr.startswith("staticmask: error: --summary: ")
    assert len(result.stderr.splitlines()) == 1
    assert tree(tmp_path) == before
