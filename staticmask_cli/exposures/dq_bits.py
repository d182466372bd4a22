"""The DQ bits that count as good: the syntax of final_bits."""

from __future__ import annotations

import warnings

from staticmask_cli.exposures.instruments import DQ_BITS, flag_names


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


#: The name of the DQ bit that `apply` sets unless another is given.
BADPIX = "BADPIX"
# Names of bits that users may set without changing the meaning of others.
_FREE = (BADPIX, "USER")
_CRDRIZ = 4096


def single_bit(text: str, instrument: str) -> int:
    """Return the DQ bit of a name or number.

    Parameters
    ----------
    text : str
        The name of one bit of the instrument, in any case, or its number.
    instrument : str

    Raises
    ------
    ValueError
        If it is not one bit, or is 4096, which AstroDrizzle resets.

    Examples
    --------
    >>> single_bit("BADPIX", "NICMOS"), single_bit("16384", "ACS")
    (32, 16384)
    """
    names = DQ_BITS.get(instrument, {})
    if text.isascii() and text.isdecimal():
        bit = int(text)
        if bit.bit_count() != 1 or bit >= 1 << 16:
            raise ValueError(f"{text} is not one bit: 1, 2, 4, ... or 32768")
    elif text.upper() in names:
        bit = names[text.upper()]
    else:
        known = f"its bits are {', '.join(names)}" if names else "give a number"
        raise ValueError(f"{text} is not the name of a DQ bit of {instrument}; {known}")
    if bit == _CRDRIZ:
        raise ValueError("AstroDrizzle resets 4096 before it reads DQ arrays; give another bit")
    return bit


def other_meaning(bit: int, instrument: str) -> str | None:
    """Return the name of a bit that does not mean bad pixels; None if it may be set freely."""
    (name,) = flag_names(bit, instrument)
    return None if name in _FREE or name == str(bit) else name


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
