"""URLs as names of exposures: their parts, and what of them is shown."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staticmask_cli.config.merging import merge
from staticmask_cli.exposures.urls import Url, is_url, parts_of, without_secrets

SETTINGS = merge().settings
FILE = "j8bt06nyq_flt.fits"
BUCKET = "s3://stpubdata/hst/public/j8bt/j8bt06010/j8bt06010_asn.fits"


@pytest.mark.parametrize(
    ("address", "name", "shown"),
    [
        (f"s3://bucket/a/{FILE}", FILE, None),
        (f"S3://bucket/{FILE}", FILE, f"s3://bucket/{FILE}"),
        (f"https://example.org:8443/a/{FILE}", FILE, None),
        (f"http://[::1]:80/{FILE}.gz", f"{FILE}.gz", None),
        (f"https://example.org/{FILE}?X-Amz-Signature=0", FILE, f"https://example.org/{FILE}"),
        (f"https://example.org/{FILE}#part", FILE, f"https://example.org/{FILE}"),
        (f"https://me:pass,word@example.org/{FILE}", FILE, f"https://example.org/{FILE}"),
        (f"ftp://me:word@example.org/{FILE}", FILE, f"ftp://example.org/{FILE}"),
        (
            f"https://example.org/get?key=0&uri=mast:HST/product/{FILE}&token=0",
            FILE,
            f"https://example.org/get?uri=mast:HST/product/{FILE}",
        ),
        (
            f"https://example.org/get?uri=mast%3AHST%2F{FILE}",
            FILE,
            f"https://example.org/get?uri=mast:HST/{FILE}",
        ),
        ("https://example.org/get?id=0", "get", "https://example.org/get"),
        ("memory:///a/b.fits", "b.fits", None),
        # What is not understood may be a password.
        ("https://me:pass/word@example.org/x.fits", "x.fits", "https://..."),
        ("https://me:pass?word@example.org/x.fits", "", "https://..."),
    ],
)
def test_name_and_what_is_shown(address: str, name: str, shown: str | None) -> None:
    url = Url(address)
    assert is_url(address)
    assert (url.name, str(url)) == (name, shown or address)
    assert "0" not in repr(url)
    assert pickle.loads(pickle.dumps(url)) == url


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (f"s3://bucket/{FILE}", None),
        ("s3://bucket/a/", "is a folder; add a file name"),
        ("s3://bucket", "is a folder; add a file name"),
        ("https://example.org?a=b", "is a folder; add a file name"),
        ("https:///a.fits", "is not a valid URL"),
        ("https://example.org:port/a.fits", "is not a valid URL"),
        ("zip://a/b.fits::https://example.org/a.zip", "chained URLs are not supported"),
    ],
)
def test_urls_that_name_no_file(address: str, reason: str | None) -> None:
    assert Url(address).why_invalid == reason


@pytest.mark.parametrize(
    ("address", "is_pattern"),
    [
        ("s3://bucket/*/a.fits", True),
        ("s3://bucket/a?.fits", True),
        ("https://example.org/a?b=*", False),
        ("https://example.org/[ab].fits?c=d", True),
        ("http://[::1]/a.fits", False),
    ],
)
def test_patterns(address: str, is_pattern: bool) -> None:
    assert Url(address).is_pattern is is_pattern


def test_files_beside_others() -> None:
    signed = Url("https://me:word@example.org/a/u_c0m.fits?signature=0")
    assert signed.with_name("u_c1m.fits").address == signed.address.replace("c0m", "c1m")
    queried = Url("https://example.org/get?uri=mast:HST/u_c0m.fits&key=0")
    assert queried.with_name("u_c1m.fits").address == queried.address.replace("c0m", "c1m")
    table = Url(BUCKET)
    assert table.folder == "j8bt06010"
    member = table.with_name(FILE).in_folder("j8bt06nyq")
    assert member.address == f"s3://stpubdata/hst/public/j8bt/j8bt06nyq/{FILE}"
    assert Url("s3://bucket/a.fits").folder == ""


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a.fits,b.fits", ["a.fits", "b.fits"]),
        ("a.fits, s3://b/c.fits ,d.fits", ["a.fits", "s3://b/c.fits", "d.fits"]),
        ("https://e.org/a.fits?b=1,2", ["https://e.org/a.fits?b=1,2"]),
        ("https://e.org/a?b=1,2, s3://c/d", ["https://e.org/a?b=1,2", "s3://c/d"]),
        ("https://e.org/a.fits,b.fits", ["https://e.org/a.fits", "b.fits"]),
        ("https://me:a,b@e.org/a.fits,b.fits", ["https://me:a,b@e.org/a.fits", "b.fits"]),
        (",a.fits,", ["a.fits"]),
    ],
)
def test_comma_separated_lists(text: str, parts: list[str]) -> None:
    assert parts_of(text) == parts


def test_settings_are_shown_without_secrets() -> None:
    entries = ("a,b.fits", "s3://b/c.fits,https://me:SECRET@e.org/d.fits?s=SECRET,SECRET")
    shown = without_secrets(replace(SETTINGS, input=entries))
    assert shown.input == ("a,b.fits", "s3://b/c.fits,https://e.org/d.fits")
    assert "SECRET" not in str(shown)


SECRET = st.text(st.sampled_from("Ab0-._~!$&'()*+,;=:%"), min_size=1).map(lambda s: f"S3CR{s}T")


@given(user=SECRET, signature=SECRET, more=st.booleans())
def test_no_secret_is_shown(user: str, signature: str, more: bool) -> None:
    address = f"https://{user}@example.org/a/{FILE}?Signature={signature}"
    entry = f"{address}, s3://bucket/x.fits" if more else address
    shown = without_secrets(replace(SETTINGS, input=(entry,))).input[0]
    assert "S3CR" not in shown
    assert all("S3CR" not in str(Url(part)) for part in parts_of(entry))
