"""Exposures on a real S3 server on the loopback: moto's, as of the public bucket."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from staticmask_cli import InputError
from staticmask_cli.exposures import remote
from tests.exposures.test_remote import chips, contents, packed
from tests.support.makers import association
from tests.support.runs import Run, files_used, run, small

for package in ("s3fs", "moto.server", "flask_cors", "boto3"):
    pytest.importorskip(package, reason=f"{package} is not installed")

BUCKET = "stpubdata"


@dataclass
class Bucket:
    """A bucket, and what its server was asked.

    Attributes
    ----------
    client : object
        Of boto3, to change the bucket.
    requests : list of dict
        WSGI environments of the requests.
    n_bytes : int
        Number of bytes of all bodies.
    fault : callable
        Returns a status instead of an answer, or None.
    """

    client: Any
    requests: list[dict[str, Any]] = field(default_factory=list)
    n_bytes: int = 0
    fault: Callable[[dict[str, Any]], str | None] = lambda _: None

    def put(self, path: Path, key: str = "") -> str:
        """Store a file where the public bucket has it, and return its URL."""
        dataset = path.name.partition("_")[0]
        key = key or f"hst/public/{dataset[:4]}/{dataset}/{path.name}"
        self.client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes(), ACL="public-read")
        self.reset()
        return f"s3://{BUCKET}/{key}"

    def reset(self) -> None:
        self.requests.clear()
        self.n_bytes = 0


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, Bucket]]:
    """Serve S3; return the server's address and its bucket."""
    import boto3  # noqa: PLC0415 - may be missing
    from moto.server import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415
    from werkzeug.serving import make_server  # noqa: PLC0415

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = DomainDispatcherApplication(create_backend_app)
    bucket = Bucket(None)

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        bucket.requests.append(environ)
        if status := bucket.fault(environ):
            start_response(status, [("Content-Length", "0")])
            return [b""]
        body = b"".join(moto(environ, start_response))
        bucket.n_bytes += len(body)
        return [body]

    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    bucket.client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys)
    bucket.client.create_bucket(Bucket=BUCKET, ACL="public-read")
    yield address, bucket
    bucket.client.close()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def bucket(
    served: tuple[str, Bucket], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bucket]:
    """Return the bucket, empty; there are no credentials, and further tries do not wait."""
    from s3fs import S3FileSystem  # noqa: PLC0415 - may be missing

    address, one = served
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "missing"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(remote, "_PAUSES", (0.0,) * 4)
    S3FileSystem.clear_instance_cache()
    remote._has_credentials.cache_clear()
    one.fault = lambda _: None
    for found in one.client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        one.client.delete_object(Bucket=BUCKET, Key=found["Key"])
    one.reset()
    yield one
    S3FileSystem.clear_instance_cache()
    remote._has_credentials.cache_clear()


def problem(*urls: str, out: Path, **options: object) -> str:
    """Return the only problem of a run, without the URL."""
    with pytest.raises(InputError) as caught:
        run(*urls, out=out, **options)
    (line,) = caught.value.problems
    assert line.isprintable()
    return line.removeprefix(f"{urls[0]}: ")


@pytest.mark.parametrize("final_bits", [None, "0"])
def test_masks_are_equal_byte_for_byte(
    final_bits: str | None, bucket: Bucket, tmp_path: Path
) -> None:
    paths = [chips(tmp_path / "ja01aaq_flc.fits"), packed(tmp_path / "ja01abq_flc.fits.gz")]
    urls = [*map(bucket.put, paths)]
    assert urls[0] == "s3://stpubdata/hst/public/ja01/ja01aaq/ja01aaq_flc.fits"
    options = {"final_bits": final_bits, "allow_duplicates": True}
    run(*paths, out=tmp_path / "a", **options)
    run(*urls, out=tmp_path / "b", **options)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert all("HTTP_AUTHORIZATION" not in one for one in bucket.requests), "it is anonymous"


def test_only_headers_and_science_pixels_are_read(bucket: Bucket, tmp_path: Path) -> None:
    path = chips(tmp_path / "ja01aaq_flc.fits", shape=(1024, 2048))
    run(bucket.put(path), out=tmp_path / "out")
    assert bucket.n_bytes < 0.42 * path.stat().st_size
    assert len(bucket.requests) <= 20


def test_credentials_are_used(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = bucket.put(small(tmp_path / "ja01aaq_flc.fits"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    run(url, out=tmp_path / "out")
    assert all("Credential=key/" in one["HTTP_AUTHORIZATION"] for one in bucket.requests)


def test_a_configuration_that_cannot_be_used_is_one_line(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = bucket.put(small(tmp_path / "ja01aaq_flc.fits"))
    monkeypatch.setenv("AWS_PROFILE", "missing")
    found = problem(url, url.replace("aaq", "abq"), out=tmp_path / "out")
    assert found == "the configuration for s3:// cannot be used (ProfileNotFound)"


def test_patterns_are_expanded(bucket: Bucket, tmp_path: Path) -> None:
    names = ["ja01aaq_flc.fits", "ja01abq_flc.fits", "ja02aaq_flc.fits", "ja01aaq_raw.fits"]
    paths = [small(tmp_path / name, seed) for seed, name in enumerate(names)]
    for path in paths:
        bucket.put(path)
    bucket.put(paths[0], "hst/public/ja01/ja01/X_1x1_1_staticMask.fits")
    bucket.put(paths[0], "hst/public/ja01/ja01/\x1b[31m_flc.fits")
    report = run(f"s3://{BUCKET}/hst/public/ja01/*/ja*_flc.fits", out=tmp_path / "out")
    assert files_used(report) == names[:2]
    report = run(
        f"s3://{BUCKET}/hst/public/**/ja0?a?q_flc.fits", out=tmp_path / "out", overwrite=True
    )
    assert files_used(report) == names[:3]
    pattern = f"s3://{BUCKET}/hst/public/ja01/ja01/*"
    report = run(pattern, out=tmp_path / "other")
    assert [str(one.path).isprintable() for one in report.exposures] == [False]
    assert b"\x1b[31m" not in b"".join(filter(None, contents(tmp_path / "other").values()))
    pattern = f"s3://{BUCKET}/hst/public/ja03/*"
    assert problem(pattern, out=tmp_path / "c") == "matches no file"


def test_members_of_an_association_have_folders_of_their_own(
    bucket: Bucket, tmp_path: Path
) -> None:
    members = ["ja01aaq", "ja01abq"]
    for seed, name in enumerate(members):
        bucket.put(small(tmp_path / f"{name}_flt.fits", seed))
    table = tmp_path / "ja01010_asn.fits"
    association(table, [(name.upper(), "EXP-DTH", True) for name in members])
    report = run(bucket.put(table), out=tmp_path / "out")
    assert files_used(report) == [f"{name}_flt.fits" for name in members]


def test_a_terminal_sees_no_control_characters(
    bucket: Bucket, staticmask: Run, tmp_path: Path
) -> None:
    path = tmp_path / "a_flt.fits"
    path.write_bytes(b"not FITS")
    bucket.put(path, "a/\x1b[31m_flt.fits")
    result = staticmask(f"s3://{BUCKET}/a/*", "-v")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("hst/public/ja01/ja01aaq/ja01aaq_flc.fits", "file not found"),
        ("hst/public", "is not a file"),
    ],
)
def test_missing_files(name: str, reason: str, bucket: Bucket, tmp_path: Path) -> None:
    bucket.put(small(tmp_path / "ja01abq_flc.fits"))
    assert problem(f"s3://{BUCKET}/{name}", out=tmp_path / "out") == reason


def test_a_missing_bucket(bucket: Bucket, tmp_path: Path) -> None:
    assert problem("s3://nothing/a.fits", out=tmp_path / "out") == "file not found"
    assert bucket.requests


def test_private_files(bucket: Bucket, tmp_path: Path) -> None:
    path = small(tmp_path / "ja01aaq_flc.fits")
    bucket.client.put_object(Bucket=BUCKET, Key=path.name, Body=path.read_bytes(), ACL="private")
    found = problem(f"s3://{BUCKET}/{path.name}", out=tmp_path / "out")
    assert found == "access denied, or file not found"


@pytest.mark.parametrize("passes", [True, False])
def test_faults_of_the_server(passes: bool, bucket: Bucket, tmp_path: Path) -> None:
    path = chips(tmp_path / "ja01aaq_flc.fits")
    url = bucket.put(path)

    def fault(_: dict[str, Any]) -> str | None:
        return "503 Slow Down" if not passes or len(bucket.requests) % 2 else None

    bucket.fault = fault
    if not passes:
        reason = "cannot be read: HTTP 503 Service Unavailable; tried 5 times"
        assert problem(url, out=tmp_path / "b") == reason
        return
    run(path, out=tmp_path / "a")
    run(url, out=tmp_path / "b", jobs=1)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_file_that_changes_meanwhile_is_an_error(bucket: Bucket, tmp_path: Path) -> None:
    path = chips(tmp_path / "ja01aaq_flc.fits", shape=(300, 400))
    url = bucket.put(path)
    other = chips(tmp_path / "other", 5, shape=(300, 400))

    def fault(environ: dict[str, Any]) -> None:
        if environ["REQUEST_METHOD"] == "GET" and int(environ["HTTP_RANGE"].split("-")[1]) > 10**6:
            bucket.fault = lambda _: None
            key = url.removeprefix(f"s3://{BUCKET}/")
            body = other.read_bytes()
            bucket.client.put_object(Bucket=BUCKET, Key=key, Body=body, ACL="public-read")

    bucket.fault = fault
    assert problem(url, out=tmp_path / "out") == "changed while it was read; run again"
