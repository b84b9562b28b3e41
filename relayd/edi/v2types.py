"""Which data type stands where in HL7 version 2.5, as far as v2.xml needs it for its names; and its groups.

``-`` is a type without components. Versions 2.3 to 2.5.1 differ in places that don't change how a message reads:
names that another version has are read back all the same, since only their numbers count.
"""

from __future__ import annotations

from typing import Final

_FIELDS: Final[dict[str, str]] = {
    "MSH": "- - HD HD HD HD TS - MSG - PT VID - - - - - - CE - EI",
    "SFT": "XON - - - - TS",
    "EVN": "- TS TS - XCN TS HD",
    "PID": (
        "- CX CX CX XPN XPN TS - XPN CE XAD - XTN XTN CE CE CE CX - DLN CX CE - - - CE CE CE TS - - - TS "
        "HD CE CE - CE CWE"
    ),
    "PD1": "- - XON XCN - - - - - CX CE - - XON CE",
    "NK1": "- XPN CE XAD XTN XTN CE - - - JCC CX XON CE - TS - - CE CE - CE - - CE XPN CE CE CE XPN XTN XAD CX - CE",
    "PV1": (
        "- - PL - CX PL XCN XCN XCN - PL - - - - - XCN - CX FC - - - - - - - - - - - - - - - - DLD CE - - "
        "- PL PL TS TS - - - - CX - XCN"
    ),
    "PV2": (
        "PL CE CE CE - - - TS TS - - - XCN - - - - - - - - - XON - - - - - - CE - - TS - - - - CE CE CE "
        "CE CE - - CE - TS TS"
    ),
    "AL1": "- CE CE CE",
    "DG1": "- - CE - TS - CE CE - - CE - CP - - XCN - - TS EI",
    "IN1": (
        "- CE CX XON XAD XPN XTN - XON CX XON - - AUI - XPN CE TS XAD - - - - - - - - - TS XCN - - - - - "
        "- CP CP - CP CP CE - XAD - - - - CX"
    ),
    "IN2": (
        "CX - XCN - - - XPN - XPN - CE - - - - - - - - - - XPN - - CX CX - RMC PTA DDI - - CE CE - CE - - "
        "CE XPN CE CE CE - - - JCC - XPN XTN - XPN XTN - - - - XTN - - CX CE XTN XTN CE - - - XON XON CE "
        "CE"
    ),
    "GT1": (
        "- CX XPN XPN XAD XTN XTN TS - - CE - - - - XPN XAD XTN CX - XON - CE TS - CE CP - CX CE - - - - "
        "CE CE - CE - - CE XPN CE CE XPN XTN CE - - JCC XON - - FC CE"
    ),
    "ROL": "EI - CE XCN TS TS CE CE CE CE XAD XTN",
    "MRG": "CX CX CX CX CX CX XPN",
    "ORC": "- EI EI EI - - TQ EIP TS XCN XCN XCN PL XTN TS CE CE CE XCN CE XON XAD XTN XAD CWE CWE TS CWE CWE CNE",
    "OBR": (
        "- EI EI CE - TS TS TS CQ XCN - CE - TS SPS XCN XTN - - - - TS MOC - - PRL TQ XCN EIP - CE NDL "
        "NDL NDL NDL TS - CE CE CE - - CE CE CE CE CE CWE"
    ),
    "OBX": "- - CE - varies CE - - - - - TS - TS CE XCN CE EI TS - - - - XON XAD XCN",
    "SPM": "- EIP EIP CWE CWE CWE CWE CWE CWE CWE CWE CQ - - CWE CWE DR TS TS - CWE CWE CWE CWE CQ - CWE CWE CWE",
    "SAC": (
        "EI EI EI EI EI SPS TS CE CE EI NA CE EI NA CE - - - - CE - - - CE CE CE CWE CE SN CE SN - CE - "
        "CE - CE - CE CE CE CE CWE CE"
    ),
    "INV": "CE CE CE CE CE CE - - - - CE TS TS TQ CE - CE CE CQ CQ",
    "TQ1": "- CQ RPT - CQ CQ TS TS CWE - - - CQ",
    "TQ2": "- - EI EI EI - - CQ",
    "TCD": "CE SN SN SN SN - - CE",
    "CTD": "CE XPN XAD PL XTN CE PLN",
    "SID": "CE - - CE",
    "FT1": "- - - DR TS - CE - - - CP CP CE CE CP PL - - CE XCN XCN CP EI XCN CE CE CE CWE CNE CX",
    "CTI": "EI CE CE",
    "BLG": "CCD - CX CWE",
    "MSA": "- - - - - CE",
    "ERR": "ELD ERL CWE - CWE - - - - CWE CWE XTN",
    "TXA": "- - - TS XCN TS TS TS XCN XCN XCN EI EI EI EI - - - - - - PPN XCN",
    "FHS": "- - HD HD HD HD TS",
    "BHS": "- - HD HD HD HD TS",
    "ACC": "TS CE - CE - - XCN - - - XAD",
    "NTE": "- - - CE",
}


_COMPONENTS: Final[dict[str, str]] = {
    "AUI": "",
    "CCD": "- TS",
    "CE": "",
    "CF": "",
    "CNE": "",
    "CNN": "",
    "CP": "MO - - - CE",
    "CQ": "- CE",
    "CWE": "",
    "CX": "- - - HD - HD - - CWE CWE",
    "DDI": "- MO",
    "DLD": "- TS",
    "DLN": "",
    "DR": "TS TS",
    "ED": "HD",
    "EI": "",
    "EIP": "EI EI",
    "ELD": "- - - CE",
    "ERL": "",
    "FC": "- TS",
    "FN": "",
    "HD": "",
    "JCC": "",
    "MA": "",
    "MO": "",
    "MOC": "MO CE",
    "MOP": "",
    "MSG": "",
    "NA": "",
    "NDL": "CNN TS TS - - - HD",
    "OSD": "",
    "PL": "- - - HD - - - - - EI HD",
    "PLN": "",
    "PPN": "- FN - - - - - - HD - - - - HD TS - CE DR - TS TS - CWE CWE",
    "PRL": "CE",
    "PT": "",
    "PTA": "- - - MOP",
    "RI": "",
    "RMC": "- - - MOP",
    "RP": "- HD",
    "RPT": "CWE",
    "SAD": "",
    "SCV": "CWE",
    "SN": "",
    "SPS": "CWE CWE - CWE CWE CWE CWE",
    "TQ": "CQ RI - TS TS - - - - OSD CE",
    "TS": "",
    "VID": "- CE CE",
    "XAD": "SAD - - - - - - - - - - DR TS TS",
    "XCN": "- FN - - - - - - HD - - - - HD - CE DR - TS TS - CWE CWE",
    "XON": "- - - - - HD - HD",
    "XPN": "FN - - - - - - - CE DR - TS TS",
    "XTN": "",
}

_GROUPS: Final[dict[str, str]] = {
    "ORU_R01": (
        "MSH SFT PATIENT_RESULT( PATIENT( PID PD1 NTE NK1 VISIT( PV1 PV2 ) ) ORDER_OBSERVATION( ORC OBR NTE "
        "TIMING_QTY( TQ1 TQ2 ) CTD OBSERVATION( OBX NTE ) FT1 CTI SPECIMEN( SPM OBX ) ) ) DSC"
    ),
    "OUL_R22": (
        "MSH SFT NTE PATIENT( PID PD1 NTE ) VISIT( PV1 PV2 ) SPECIMEN( SPM OBX CONTAINER( SAC INV ) ORDER( OBR ORC "
        "NTE TIMING_QTY( TQ1 TQ2 ) RESULT( OBX TCD SID NTE ) CTI ) ) DSC"
    ),
    "OML_O21": (
        "MSH SFT NTE PATIENT( PID PD1 NTE NK1 PATIENT_VISIT( PV1 PV2 ) INSURANCE( IN1 IN2 IN3 ) GT1 AL1 ) "
        "ORDER( ORC TIMING( TQ1 TQ2 ) OBSERVATION_REQUEST( OBR TCD NTE CTD DG1 OBSERVATION( OBX TCD NTE ) "
        "SPECIMEN( SPM OBX CONTAINER( SAC OBX ) ) ) FT1 CTI BLG )"
    ),
    "MDM_T02": "MSH SFT EVN PID PV1 COMMON_ORDER( ORC TIMING( TQ1 TQ2 ) OBR NTE ) TXA OBSERVATION( OBX NTE )",
}


def field_type(tag: str, number: int) -> str:
    """The type of a field; "-" for a simple one, "" for one that isn't known, "varies" for OBX-5."""
    if tag not in _FIELD_TYPES:
        return ""
    types = _FIELD_TYPES[tag]
    return types[number - 1] if number <= len(types) else "-"


def component_type(data_type: str, number: int) -> str:
    """The type of a component of a composite type; "-" for a simple one."""
    types = _COMPONENT_TYPES[data_type]
    return types[number - 1] if number <= len(types) else "-"


def is_composite(data_type: str) -> bool:
    """Whether the type has components with names of their own."""
    return data_type in _COMPONENT_TYPES


class Group:
    """A group of a message's structure: segments' tags and groups in their order. ``tags`` is every tag inside."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: list[str | Group] = []
        self.tags: set[str] = set()


def structure(name: str) -> Group | None:
    """The structure of a message such as "ORU_R01"; None for one whose segments stand in a row."""
    return _STRUCTURES.get(name)


def _group(name: str, words: list[str]) -> Group:
    group = Group(name)
    while words:
        word = words.pop(0)
        if word == ")":
            break
        if word.endswith("("):
            inner = _group(f"{name.partition('.')[0]}.{word[:-1]}", words)
            group.members.append(inner)
            group.tags |= inner.tags
        else:
            group.members.append(word)
            group.tags.add(word)
    return group


_FIELD_TYPES: Final = {tag: types.split() for tag, types in _FIELDS.items()}
_COMPONENT_TYPES: Final = {name: types.split() for name, types in _COMPONENTS.items()}
_STRUCTURES: Final = {name: _group(name, words.split()) for name, words in _GROUPS.items()}
