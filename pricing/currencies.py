"""Which words are currencies: the codes of ISO 4217, and the credit units that a rate book declares; and the
places after the point that their amounts have when they are paid.

Source: ISO 4217 list one (current currencies and funds) as of 2026, checked against pycountry 26.2.16,
without the code for no currency at all; and the codes withdrawn since 2020, because a book prices
past dates as well: BGN (2026), ANG (2025), ZWL and SLL (2024), HRK (2023), CUC (2021).
"""

from collections.abc import Collection

_CODES = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD
    CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL
    GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW
    KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD
    NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP
    SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS
    VED VES VND VUV WST XAD XAF XAG XAU XBA XBB XBC XBD XCD XCG XDR XOF XPD XPF XPT XSU XTS XUA YER ZAR
    ZMW ZWG
    ANG BGN CUC HRK SLL ZWL
"""
ISO_4217 = frozenset(_CODES.split())


_NO_PLACES = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_PLACES = "BHD IQD JOD KWD LYD OMR TND"
_FOUR_PLACES = "CLF UYW"
_WITHOUT_UNIT = "XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XTS XUA"  # metals, baskets, a code for tests: N.A.
_PLACES: dict[str, int | None] = {
    **dict.fromkeys(_NO_PLACES.split(), 0),
    **dict.fromkeys(_THREE_PLACES.split(), 3),
    **dict.fromkeys(_FOUR_PLACES.split(), 4),
    **dict.fromkeys(_WITHOUT_UNIT.split()),
}


def decimal_places(currency: str) -> int | None:
    """Places after the point of amounts that are paid, by ISO 4217 (the "minor unit").

    None: it has no such unit, as a declared unit has none, and its amounts are not rounded.
    """
    return _PLACES.get(currency, 2) if currency in ISO_4217 else None


def is_currency(text: str, units: Collection[str]) -> bool:
    """Whether amounts may be in it: an ISO 4217 code in capitals, or one of the book's units as declared."""
    return text in ISO_4217 or text in units
