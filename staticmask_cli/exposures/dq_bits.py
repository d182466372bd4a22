"""The DQ bits that count as good: the syntax of final_bits."""

from __future__ import annotations

import warnings

from staticmask_cli.exposures.instruments import DQ_BITS


def good_bits(final_bits: str, names: dict[str, int]) -> int:
    """Return the sum of the DQ bits that count as good.

    Parameters
    ----------
    final_bits : str
        Syntax of `astropy.nddata.bitmask.interpret_bit_flags`: an integer, or a
        list of single bits or names joined by ``,``, ``+`` or ``|``; a leading
        ``~`` selects all other bits.
    names : dict
        Bits by name; upper case.

    Returns
    -------
    int
        Sum of bits; negative, with infinitely many bits set, after ``~``.

    Raises
    ------
    ValueError
        If the syntax is wrong, or a name is not in `names`.

    Examples
    --------
    >>> good_bits("64,32", {}), good_bits("HOT", {"HOT": 16}), good_bits("~4096", {})
    (96, 16, -4097)
    """
    if not final_bits.isascii():  # int() accepts digits of other scripts
        raise ValueError("DQ bits must be ASCII")
    if final_bits.isdecimal():  # the most common form; importing astropy.nddata takes 0.2 s
        return int(final_bits)
    from astropy.nddata.bitmask import interpret_bit_flags  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a repeated bit, such as 64+64, is a typing error
        try:
            bits = interpret_bit_flags(final_bits.upper(), flag_name_map=names)
        except KeyError as error:
            raise ValueError(f"{error.args[0]} is not the name of a DQ bit") from None
        except (TypeError, UserWarning) as error:
            raise ValueError(str(error)) from None
    if bits is None:
        raise ValueError("no DQ bits given")
    return int(bits)


def check_bits(final_bits: str) -> str | None:
    """Return why `final_bits` is invalid for all instruments; None if valid for any."""
    reason = None
    for names in DQ_BITS.values():
        try:
            good_bits(final_bits, names)
        except ValueError as error:
            reason = reason or str(error)
        else:
            return None
    return reason
