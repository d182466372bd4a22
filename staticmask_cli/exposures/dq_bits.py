"""The DQ bits that a user calls good."""

from __future__ import annotations

import warnings

from staticmask_cli.exposures.instruments import DQ_BITS


def good_bits(final_bits: str, names: dict[str, int]) -> int:
    """Return the sum of the DQ bits that `final_bits` calls good.

    Parameters
    ----------
    final_bits : str
        What `astropy.nddata.bitmask.interpret_bit_flags` reads: an integer, a
        list of single bits joined by ``,``, ``+`` or ``|``, or of names, with
        ``~`` before it for all other bits.
    names : dict
        Names of bits; upper case.

    Returns
    -------
    int
        A bit sum; negative, with infinitely many bits set, after ``~``.

    Raises
    ------
    ValueError
        If the text is none of these, or a name is not in `names`.
    """
    if not final_bits.isascii():  # other scripts have digits that int() reads
        raise ValueError("DQ bits are given in ASCII")
    if final_bits.isdecimal():  # by far the commonest; astropy's reader takes 0.2 s to import
        return int(final_bits)
    from astropy.nddata.bitmask import interpret_bit_flags  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a bit given twice, as in 64+64, is a slip of the pen
        try:
            bits = interpret_bit_flags(final_bits.upper(), flag_name_map=names)
        except KeyError as error:
            raise ValueError(f"{error.args[0]} is not the name of a DQ bit") from None
        except (TypeError, UserWarning) as error:
            raise ValueError(str(error)) from None
    if bits is None:
        raise ValueError("no DQ bit is given")
    return int(bits)


def check_bits(final_bits: str) -> str | None:
    """Return why no instrument could read `final_bits`, or None if one could."""
    reason = None
    for names in DQ_BITS.values():
        try:
            good_bits(final_bits, names)
        except ValueError as error:
            reason = reason or str(error)
        else:
            return None
    return reason
