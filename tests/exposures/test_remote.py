"""Exposures on web servers: equal masks, few bytes, and servers at fault."""

from __future__ import annotations

import gzip
import importlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from staticmask_cli import InputError, apply, create_masks
from staticmask_cli.exposures import remote
from tests.conftest import without_settings
from tests.support.makers import INSTRUMENTS, association, exposure, instrument_exposure, sky
from tests.support.runs import Run, files_used, run, science, simple, small, tree
from tests.support.servers import Answer, Server, serving

pytest.importorskip("fsspec", reason="the extra remote is not installed")
pytest.importorskip("aiohttp", reason="the extra remote is not installed")

SECRET = "S3CRET"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve a folder; further tries do not wait."""
    monkeypatch.setattr(remote, "_PAUSES", (0.0,) * 4)
    folder = tmp_path / "server"
    folder.mkdir()
    with serving(folder) as one:
        yield one


def chips(path: Path, seed: int = 1, shape: tuple[int, int] = (64, 80), **more: object) -> Path:
    """Write an exposure of ACS/WFC."""
    primary, headers = INSTRUMENTS["acs_wfc"]
    pixels = [sky(seed, shape), sky(seed + 1, shape)]
    flags = [np.random.default_rng(seed).integers(0, 2, shape, "i2") for _ in pixels]
    return exposure(path, pixels, primary=primary, chips=headers, flags=flags, **more)


def compressed(path: Path) -> Path:
    """Write an exposure with tile-compressed extensions."""
    with fits.open(chips(path)) as plain:
        hdus = [fits.PrimaryHDU(header=plain[0].header)]
        how = {"compression_type": "GZIP_1", "quantize_level": 0}
        hdus += [fits.CompImageHDU(hdu.data, hdu.header, **how) for hdu in plain[1:]]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def scaled(path: Path) -> Path:
    """Write an exposure with scaled integers."""
    primary, headers = INSTRUMENTS["acs_wfc"]
    pixels = [(10 * sky(seed)).astype("i2") for seed in (1, 2)]
    chips = [one | {"BSCALE": 0.1, "BZERO": 5.0} for one in headers]
    flags = [np.zeros_like(array) for array in pixels]
    exposure(path, pixels, primary=primary, flags=flags)
    with fits.open(path, mode="update", do_not_scale_image_data=True) as hdus:
        for number, keywords in zip((1, 4), chips, strict=True):
            hdus[number].header.update(keywords)
    return path


def packed(path: Path, write: Callable[[Path], Path] = chips) -> Path:
    """Write a gzipped exposure."""
    plain = write(path.with_suffix(""))
    path.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    return path


FORMS: dict[str, Callable[[Path], Path]] = {
    "a_flt.fits": chips,
    "b_flt.fits.gz": packed,
    "c_flt.fits.fz": compressed,
    "d_flt.fits": scaled,
    "e_flt.fits.gz": lambda path: packed(path, scaled),
}


def contents(folder: Path) -> dict[str, bytes | None]:
    return {name: data for name, (data, _, _) in tree(folder).items()}


def problem(server: Server, tmp_path: Path, name: str = "a_flt.fits", **options: object) -> str:
    """Return the only problem of a run, which writes nothing."""
    with pytest.raises(InputError) as caught:
        run(f"{server.url}/{name}", out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    (line,) = caught.value.problems
    assert line.isprintable()
    assert line.startswith(f"{server.url}/{name}: ".replace("me:word@", ""))
    return line.removeprefix(f"{server.url}/{name}: ")


# Masks.


@pytest.mark.parametrize("options", [{}, {"final_bits": "0", "jobs": 1}, {"update": True}])
@pytest.mark.parametrize("name", FORMS)
def test_masks_are_equal_byte_for_byte(
    name: str, options: dict[str, object], server: Server, tmp_path: Path
) -> None:
    path = FORMS[name](server.folder / name)
    run(path, out=tmp_path / "a", **options)
    run(f"{server.url}/{name}", out=tmp_path / "b", **options)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_workers_may_be_processes(how: str, server: Server, tmp_path: Path) -> None:
    names = ["a_flt.fits", "b_flt.fits.gz", "c_flt.fits.fz"]
    paths = [FORMS[name](server.folder / name) for name in names]
    run(*paths, out=tmp_path / "a", allow_duplicates=True)
    code = (
        "import multiprocessing, sys\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from staticmask_cli import create_masks\n"
        "if __name__ == '__main__':\n"
        f"    context = multiprocessing.get_context({how!r})\n"
        "    with ProcessPoolExecutor(2, context) as executor:\n"
        "        create_masks(sys.argv[2:], output_dir=sys.argv[1], allow_duplicates=True,\n"
        "                     executor=executor)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code, encoding="utf-8")
    urls = [f"{server.url}/{name}" for name in names]
    command = [sys.executable, str(script), str(tmp_path / "b"), *urls]
    subprocess.run(command, check=True, timeout=120)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


# What is read.


def acs(path: Path) -> Path:
    """Write an exposure of the size of ACS/WFC, with headers of many cards."""
    primary, headers = INSTRUMENTS["acs_wfc"]
    cards = {f"KEY{number}": "a value" for number in range(300)}
    block = sky(1, (2048, 64))
    pixels = [np.tile(block + number, (1, 64)) for number in range(2)]
    exposure(
        path,
        pixels,
        primary=primary | cards,
        chips=[one | cards for one in headers],
        flags=[np.zeros(array.shape, "i2") for array in pixels],
    )
    with fits.open(path, mode="append") as hdus:  # as drizzling adds them
        for number in range(4):
            hdus.append(fits.ImageHDU(np.zeros((32, 64), "f4"), name="WCSDVARR", ver=number + 1))
    return path


def test_of_an_acs_exposure_less_than_42_percent_is_read(server: Server, tmp_path: Path) -> None:
    size = acs(server.folder / "a_flt.fits").stat().st_size
    assert size > 1.6e8
    run(f"{server.url}/a_flt.fits", out=tmp_path / "out")
    assert server.n_bytes <= 0.42 * size
    assert len(server.requests) <= 20
    server.reset()
    run(f"{server.url}/a_flt.fits", out=tmp_path / "dry", dry_run=True)
    assert server.n_bytes <= 0.01 * size


@pytest.mark.parametrize(("final_bits", "are_read"), [(None, False), ("0", True)])
def test_flags_are_read_only_if_they_count(
    final_bits: str | None, are_read: bool, server: Server, tmp_path: Path
) -> None:
    path = chips(server.folder / "a_flt.fits", shape=(400, 500))
    with fits.open(path) as hdus:
        arrays = {
            (hdu.name, hdu.ver): (info["datLoc"], info["datLoc"] + info["datSpan"])
            for hdu in hdus[1:]
            for info in [hdu.fileinfo()]
        }
    run(f"{server.url}/a_flt.fits", out=tmp_path / "out", final_bits=final_bits)
    whole = {
        name
        for (name, _), (begin, end) in arrays.items()
        if sum(
            max(0, min(end, one.stop) - max(begin, one.start))
            for one in server.answers
            if one.stop - one.start != remote._HEADERS
        )
        > 0.9 * (end - begin)
    }
    assert whole == ({"SCI", "DQ"} if are_read else {"SCI"})


def test_a_gzipped_exposure_is_read_once(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_HEADERS", 2880)
    monkeypatch.setattr(remote, "_PIECE", 2**14)
    size = packed(server.folder / "a_flt.fits.gz").stat().st_size
    run(f"{server.url}/a_flt.fits.gz", out=tmp_path / "out", final_bits="0")
    assert size <= server.n_bytes <= size + 2880 + 100
    assert max(one.stop - one.start for one in server.answers) == 2**14


def test_of_exposures_in_the_mask_only_headers_are_read(server: Server, tmp_path: Path) -> None:
    path = chips(server.folder / "a_flt.fits", shape=(600, 700))
    run(f"{server.url}/a_flt.fits", out=tmp_path / "out")
    before = contents(tmp_path / "out")
    server.reset()
    server.fault = lambda one: one.headers.update(ETag='"another"')
    report = run(f"{server.url}/a_flt.fits", out=tmp_path / "out", update=True)
    assert [one.state for one in report.exposures] == ["known"]
    assert server.n_bytes < 0.2 * path.stat().st_size
    assert contents(tmp_path / "out") == before


def test_without_a_url_nothing_of_fsspec_is_imported(tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits")
    code = (
        "import sys\n"
        "from staticmask_cli import create_masks\n"
        "create_masks('a_flt.fits', final_bits='0', report='page.html')\n"
        "print({name.partition('.')[0] for name in sys.modules}\n"
        "      & {'fsspec', 's3fs', 'aiohttp', 'botocore', 'aiobotocore', 'asyncio'})\n"
    )
    simple(
        tmp_path / "a_flt.fits",
        [science(sky(1)), fits.ImageHDU(np.zeros((64, 80), "i2"), name="DQ")],
    )
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert found.stdout == "set()\n"


# Where a URL may stand.


@pytest.mark.parametrize("form", ["argument", "commas", "list", "nul", "key", "python"])
def test_a_url_may_stand_wherever_a_name_may(form: str, server: Server, tmp_path: Path) -> None:
    names = ["a_flt.fits", "b_flt.fits"]
    urls = [
        f"{server.url}/{small(server.folder / name, 5 * i).name}" for i, name in enumerate(names)
    ]
    (tmp_path / "list").write_text(f"# comment\n{urls[0]}  word\n'{urls[1]}'\n", encoding="utf-8")
    (tmp_path / "cfg").write_text(f"input = {urls[0]}, {urls[1]}\n", encoding="utf-8")
    (tmp_path / "nul").write_bytes("\0".join(urls).encode())
    arguments = {
        "argument": [*urls, urls[0]],
        "commas": [", ".join(urls)],
        "list": ["@list"],
        "nul": ["@-"],
        "key": ["--config", "cfg"],
        "python": [],
    }[form]
    if form == "python":
        found = files_used(create_masks(urls, output_dir=tmp_path / "out"))
        assert found == names
        return
    code = "import sys; from staticmask_cli.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-W", "error", "-c", code, *arguments, "--dry-run", "-v"]
    result = subprocess.run(
        command,
        cwd=tmp_path,
        env=without_settings(),
        input=(tmp_path / "nul").read_bytes(),
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.decode().split()[-1] == "2"


def test_other_commands_read_urls(server: Server, staticmask: Run) -> None:
    path = chips(server.folder / "a_flt.fits")
    url = f"{server.url}/a_flt.fits"
    assert staticmask("-o", "masks", path).returncode == 0
    for command in (
        ["sweep", "--sigmas", "3,4"],
        ["explain", "--pixel", "3,4"],
        ["compare", "masks"],
    ):
        local, found = (staticmask(*command, name) for name in (path, url))
        assert found.returncode == 0, found.stderr
        assert found.stdout == local.stdout


def test_a_url_is_requested_as_it_is_written(server: Server, tmp_path: Path) -> None:
    small(server.folder / "a b_flt.fits")
    query = "?X-Amz-Credential=key%2F2026%2fs3&list=%5B1,2%5D&plus=a+b%2B"
    run(f"{server.url}/a%20b_flt.fits{query}", out=tmp_path / "a")
    assert set(server.requests) == {f"/a%20b_flt.fits{query}"}
    server.reset()
    run(f"{server.url}/a b_flt.fits", out=tmp_path / "b")
    assert set(server.requests) == {"/a%20b_flt.fits"}


def test_other_protocols_of_fsspec(tmp_path: Path) -> None:
    memory = importlib.import_module("fsspec").filesystem("memory")
    paths = [FORMS[name](tmp_path / name) for name in ("a_flt.fits", "b_flt.fits.gz")]
    for path in paths:
        memory.pipe_file(f"/folder/{path.name}", path.read_bytes())
    options = {"final_bits": "0", "allow_duplicates": True}
    run(*paths, out=tmp_path / "a", **options)
    run("memory://folder/*_flt.fits*", out=tmp_path / "b", **options)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    with pytest.raises(InputError, match=r"^memory://folder/c_flt\.fits: file not found$"):
        run("memory://folder/c_flt.fits", out=tmp_path / "c")


def test_members_of_an_association_stand_beside_it(server: Server, tmp_path: Path) -> None:
    for name in ("ja01aaq_flt.fits", "ja01abq_flt.fits.gz"):
        small(server.folder / name, len(name))
    small(server.folder / "ja01abq_cal.fits", 9)
    rows = [
        ("JA01AAQ", "EXP-DTH", True),
        ("JA01ABQ", "EXP-DTH", True),
        ("JA01010", "PROD-DTH", True),
    ]
    association(server.folder / "ja01010_asn.fits", rows)
    report = run(f"{server.url}/ja01010_asn.fits", out=tmp_path / "out")
    assert files_used(report) == ["ja01aaq_flt.fits", "ja01abq_flt.fits.gz"]
    (server.folder / "ja01aaq_flt.fits").unlink()
    assert "member ja01aaq is missing: no file with suffix" in problem(
        server, tmp_path / "b", "ja01010_asn.fits"
    )


def test_flags_of_wfpc2_are_in_the_twin(server: Server, tmp_path: Path) -> None:
    instrument_exposure(server.folder, "wfpc2", 1)
    name = "wfpc201_c0m.fits"
    assert "DQ file wfpc201_c1m.fits not found" in problem(server, tmp_path, name, final_bits="0")
    flags = [science(np.eye(64, 80, dtype="i2"), n, DETECTOR=n) for n in (1, 2, 3, 4)]
    twin = simple(server.folder / "wfpc201_c1m.fits", flags, INSTRUME="WFPC2")
    run(server.folder / name, twin, out=tmp_path / "a", final_bits="0")
    urls = [f"{server.url}/{name}", f"{server.url}/{twin.name}"]
    run(*urls, out=tmp_path / "b", final_bits="0")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("http://e.org/*_flt.fits", "http://e.org/*_flt.fits: web servers list no files"),
        ("@http://e.org/list?s=S3CRET", "http://e.org/list: @lists are not read from URLs"),
        ("http://e.org/", "http://e.org/: is a folder"),
        ("http://me:S3C/RET@e.org/a.fits", "http://...: is not a valid URL"),
        ("nothing://e.org/a.fits", "nothing:// is not a protocol that fsspec knows"),
    ],
)
def test_urls_that_cannot_be_used(entry: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        run(entry, out=tmp_path / "out")
    (line,) = caught.value.problems
    assert line.startswith(reason)
    assert "RET" not in line


def test_only_local_exposures_are_flagged(server: Server, tmp_path: Path) -> None:
    path = chips(server.folder / "a_flt.fits")
    run(path, out=tmp_path / "masks")
    url = f"{server.url}/a_flt.fits"
    with pytest.raises(InputError, match=f"^{url}: is at a URL; download it$"):
        apply(tmp_path / "masks", url, bit="64", output_dir=tmp_path / "out")
    assert server.requests == []


def test_masks_are_not_read_from_urls(server: Server, staticmask: Run) -> None:
    result = staticmask("recount", f"{server.url}/A_1x1_1_staticMask.fits", "-m", "2")
    assert result.returncode == 1
    assert "masks are not read from URLs; download it" in result.stderr


@pytest.mark.parametrize("missing", ["fsspec", "aiohttp"])
def test_a_missing_package_is_one_line_with_the_command(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = importlib.import_module("fsspec.registry")
    monkeypatch.delitem(registry._registry, "https", raising=False)
    monkeypatch.delitem(sys.modules, "fsspec.implementations.http", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InputError) as caught:
        run("https://e.org/a.fits", "https://e.org/b.fits", out=tmp_path / "out")
    (line,) = caught.value.problems
    assert line.endswith("pip install 'staticmask-cli[remote]'")


# Servers at fault.


def status(number: int, *, first: int = 1, last: int = 10**9) -> Callable[[Answer], None]:
    """Return a fault: another status for some of the requests."""

    def fault(one: Answer) -> None:
        if first <= one.number <= last:
            one.status, one.body, one.phrase = number, b"\x1b[31mbody", "\x1b[31mphrase"

    return fault


def cut(one: Answer) -> None:
    one.cut = len(one.body) // 2
    one.headers["Content-Length"] = str(len(one.body))


def longer(one: Answer) -> None:
    one.body = bytes(one.body) + b"x"


def elsewhere(one: Answer) -> None:
    one.headers["Content-Range"] = f"bytes {one.start + 1}-{one.stop}/{10**9}"


def to_itself(one: Answer) -> None:
    one.status, one.body = 302, b""
    one.headers["Location"] = one.target


def long_header(one: Answer) -> None:
    one.headers["ETag"] = "x" * 2**20


def without_range(one: Answer) -> None:
    del one.headers["Content-Range"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (status(404), "file not found"),
        (status(403), "access denied, or file not found"),
        (status(401), "access denied, or file not found"),
        (status(418), "cannot be read: HTTP 418 I'm a Teapot"),
        (to_itself, "cannot be read: the connection failed (TooManyRedirects); tried 5 times"),
        (long_header, "cannot be read: the connection failed (ClientResponseError); tried 5 times"),
        (status(299), "cannot be read: HTTP 299"),
        (status(500), "cannot be read: HTTP 500 Internal Server Error; tried 5 times"),
        (status(503), "cannot be read: HTTP 503 Service Unavailable; tried 5 times"),
        (status(416), "is empty, or has become shorter"),
        (status(200), "its server does not send parts of files; download the file"),
        (without_range, "its server does not give its size; download the file"),
        (elsewhere, "its server sends another part than requested; download the file"),
        (longer, "its server sends more than it announces; download the file"),
        (cut, "cannot be read: the connection failed (ClientPayloadError); tried 5 times"),
    ],
)
def test_a_server_at_fault_is_one_clear_error(
    fault: Callable[[Answer], None], reason: str, server: Server, tmp_path: Path
) -> None:
    chips(server.folder / "a_flt.fits")
    server.fault = fault
    assert problem(server, tmp_path) == reason


def test_no_server_is_one_clear_error(server: Server, tmp_path: Path) -> None:
    server.url = "http://127.0.0.1:1"
    assert problem(server, tmp_path) == "cannot be read: Connection refused; tried 5 times"


@pytest.mark.parametrize("name", ["a_flt.fits", "b_flt.fits.gz", "c_flt.fits.fz"])
@pytest.mark.parametrize("number", [500, 503, 429, None])
def test_faults_that_pass_change_nothing(
    number: int | None, name: str, server: Server, tmp_path: Path
) -> None:
    path = FORMS[name](server.folder / name)
    run(path, out=tmp_path / "a")

    asked: list[object] = []

    def fault(one: Answer) -> None:
        if asked.count(one.start) < 2:
            asked.append(one.start)
            (cut if number is None else status(number))(one)

    server.fault = fault
    run(f"{server.url}/{name}", out=tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize("name", ["a_flt.fits", "d_flt.fits", "c_flt.fits.fz"])
def test_a_file_that_changes_meanwhile_is_an_error(
    name: str, server: Server, tmp_path: Path
) -> None:
    FORMS[name](server.folder / name)
    run(f"{server.url}/{name}", out=tmp_path / "a")
    last = len(server.requests)
    for first in (last, last // 2 + 1):
        server.reset()

        def fault(one: Answer, first: int = first) -> None:
            if one.number >= first:
                one.headers["ETag"] = '"another"'

        server.fault = fault
        assert problem(server, tmp_path, name) == "changed while it was read; run again"


def test_a_slow_server_is_an_error(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chips(server.folder / "a_flt.fits", shape=(600, 700))
    monkeypatch.setattr(remote, "_PATIENCE", 0.3)
    monkeypatch.setattr(remote, "_SLOWEST", 1e9)

    def fault(one: Answer) -> None:
        one.wait = 10.0 if len(one.body) > 2**16 else 0.0  # it sends nothing

    server.fault = fault
    assert problem(server, tmp_path) == "cannot be read: its server is too slow; tried 5 times"

    def drip(one: Answer) -> None:
        one.wait = 0.2 if len(one.body) > 2**16 else 0.0  # always something, but little

    server.fault = drip
    assert problem(server, tmp_path) == "cannot be read: its server is too slow; tried 5 times"


def test_other_exposures_are_used_with_keep_going(server: Server, tmp_path: Path) -> None:
    for seed, name in enumerate(["a_flt.fits", "b_flt.fits"]):
        small(server.folder / name, seed)

    def fault(one: Answer) -> None:
        if "b_flt" in one.target and one.number > 1:
            one.status, one.body = 403, b""

    server.fault = fault
    urls = [f"{server.url}/{name}" for name in ("a_flt.fits", "b_flt.fits", "c_flt.fits")]
    report = run(*urls, out=tmp_path / "out", keep_going=True)
    assert [one.state for one in report.exposures] == ["read", "failed", "failed"]
    (mask,) = report.masks
    table = fits.getdata(mask.path, "EXPOSURES")
    assert dict(zip(table["file"], table["reason"], strict=True)) == {
        "a_flt.fits": "",
        "b_flt.fits": "skipped: access denied, or file not found",
        "c_flt.fits": "skipped: file not found",
    }


def test_a_redirection_is_followed(server: Server, tmp_path: Path) -> None:
    path = chips(server.folder / "a_flt.fits")
    run(path, out=tmp_path / "a")

    def fault(one: Answer) -> None:
        if one.target.startswith("/get"):
            one.status, one.body = 302, b""
            one.headers["Location"] = "/a_flt.fits"

    server.fault = fault
    run(f"{server.url}/get?key={SECRET}&uri=mast:HST/product/a_flt.fits", out=tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize("fails", [False, True])
def test_no_secret_is_in_any_output(
    fails: bool, server: Server, staticmask_process: Run, tmp_path: Path
) -> None:
    chips(server.folder / "a_flt.fits")
    if fails:
        server.fault = status(418, first=3)
    host = server.url.removeprefix("http://")
    url = f"http://{SECRET}:{SECRET}@{host}/a_flt.fits?Signature={SECRET}"
    result = staticmask_process(
        *(url, "-o", "masks", "-vv", "--log-file", "log", "--summary", "summary.json"),
        *("--report", "page.html", "--preview", "picture.png"),
    )
    assert result.returncode == (1 if fails else 0)
    assert server.requests[0] == f"/a_flt.fits?Signature={SECRET}"
    outputs = {"standard": (result.stdout + result.stderr).encode()}
    outputs |= {name: data for name, data in contents(tmp_path).items() if data}
    del outputs["server/a_flt.fits"]
    assert {"log", "summary.json"} < outputs.keys()
    assert ("page.html" in outputs) is not fails
    for name, data in outputs.items():
        assert SECRET.encode() not in data, name
        assert b"\x1b[31m" not in data or name == "picture.png", name
    assert b"a_flt.fits" in outputs["log"]


def test_an_interrupted_run_does_not_wait_for_a_server(server: Server, tmp_path: Path) -> None:
    chips(server.folder / "a_flt.fits", shape=(600, 700))

    def fault(one: Answer) -> None:
        one.wait = 60.0 if len(one.body) > 2**16 else 0.0

    server.fault = fault
    url = f"{server.url}/a_flt.fits"
    command = [sys.executable, "-W", "error", "-m", "staticmask_cli", url, "-o", "out"]
    with subprocess.Popen(command, cwd=tmp_path, env=without_settings(), stderr=-1) as process:
        while not any(one.wait for one in server.answers) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)  # less than the server takes
    assert process.returncode == 130
    assert errors == b"staticmask: error: interrupted\n"
    assert not (tmp_path / "out").exists()
