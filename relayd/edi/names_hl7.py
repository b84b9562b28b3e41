"""Names of HL7's segments and fields (HL7 2.5 chapters 2 to 9), and what its code tables mean to us.

The wording is our own. A name is the key of its translation; :func:`labels` has all of them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from relayd.edi.model import Flag, Kind, Role, Status


class Name(NamedTuple):
    """A field's name with its data type (HL7 2.5 §2.A); "" where nothing hangs on the type."""

    text: str
    type: str = ""


def _fields(written: str) -> tuple[Name, ...]:
    return tuple(Name(*field.strip().split(":")) for field in written.split(",") if field.strip())


#: Names of segments that are known at all.
SEGMENTS: Final[dict[str, str]] = {
    "ABS": "Abstract", "ACC": "Accident", "ADD": "Addendum", "AFF": "Affiliation", "AIG": "General resource",
    "AIL": "Location resource", "AIP": "Personnel resource", "AIS": "Service appointment", "AL1": "Allergy",
    "APR": "Appointment preferences", "ARQ": "Appointment request", "AUT": "Authorisation", "BHS": "Batch header",
    "BLC": "Blood code", "BLG": "Billing", "BPO": "Blood product order", "BPX": "Blood product status",
    "BTS": "Batch trailer", "BTX": "Blood product transfusion", "CDM": "Charge description", "CER": "Certificate",
    "CM0": "Clinical study", "CM1": "Clinical study phase", "CM2": "Clinical study schedule",
    "CNS": "Clear notification",
    "CON": "Consent", "CSP": "Clinical study phase", "CSR": "Clinical study registration",
    "CSS": "Clinical study schedule", "CTD": "Contact data", "CTI": "Clinical trial", "DB1": "Disability",
    "DG1": "Diagnosis", "DRG": "Diagnosis related group", "DSC": "Continuation", "DSP": "Display data",
    "ECD": "Equipment command", "ECR": "Equipment command response", "EDU": "Education", "EQP": "Equipment log",
    "EQU": "Equipment", "ERR": "Error", "EVN": "Event", "FAC": "Facility", "FHS": "File header", "FT1": "Transaction",
    "FTS": "File trailer", "GOL": "Goal", "GP1": "Grouping of visits", "GP2": "Grouping of procedures",
    "GT1": "Guarantor", "IAM": "Adverse reaction", "IIM": "Inventory item", "IN1": "Insurance",
    "IN2": "Insurance, additional", "IN3": "Insurance, certification", "INV": "Inventory", "IPC": "Imaging procedure",
    "ISD": "Interaction status", "LAN": "Language", "LOC": "Location", "MFA": "Master file acknowledgement",
    "MFE": "Master file entry", "MFI": "Master file", "MRG": "Merged patient", "MSA": "Acknowledgement",
    "MSH": "Message header", "NCK": "System clock", "NDS": "Notification", "NK1": "Next of kin", "NPU": "Bed status",
    "NSC": "Application status change", "NST": "Application statistics", "NTE": "Note", "OBR": "Observation request",
    "OBX": "Observation", "ODS": "Diet order", "ODT": "Diet tray", "OM1": "Observation, general",
    "OM2": "Observation, numeric", "OM3": "Observation, categorical", "OM4": "Observation, specimens",
    "OM5": "Observation, batteries", "OM6": "Observation, calculated", "ORC": "Order", "ORG": "Organisation unit",
    "OVR": "Override", "PCR": "Possible causal relationship", "PD1": "Patient, additional", "PDA": "Death and autopsy",
    "PDC": "Product", "PEO": "Adverse event", "PES": "Adverse event sender", "PID": "Patient", "PR1": "Procedure",
    "PRA": "Practitioner", "PRB": "Problem", "PRC": "Pricing", "PRD": "Provider", "PRT": "Participation",
    "PSH": "Product summary", "PTH": "Pathway", "PV1": "Visit", "PV2": "Visit, additional",
    "QAK": "Query acknowledgement",
    "QID": "Query", "QPD": "Query parameters", "QRD": "Query definition", "QRF": "Query filter",
    "QRI": "Query response",
    "RCP": "Response control", "RDF": "Table definition", "RDT": "Table row", "RF1": "Referral",
    "RGS": "Resource group",
    "RMI": "Risk management incident", "ROL": "Role", "RQ1": "Requisition, additional", "RQD": "Requisition",
    "RXA": "Administration of medication", "RXC": "Component of medication", "RXD": "Dispensing of medication",
    "RXE": "Encoded medication order", "RXG": "Giving of medication", "RXO": "Medication order",
    "RXR": "Route of medication", "SAC": "Specimen container", "SCD": "Anti-microbial cycle", "SCH": "Schedule",
    "SCP": "Steriliser", "SDD": "Sterilisation device", "SFT": "Software", "SID": "Substance",
    "SLT": "Sterilisation lot",
    "SPM": "Specimen", "STF": "Staff", "TCC": "Test code configuration", "TCD": "Test code detail",
    "TQ1": "Timing", "TQ2": "Timing relationship", "TXA": "Document", "UAC": "User authentication",
    "UB1": "Billing, additional", "UB2": "Billing, additional", "URD": "Results or update definition",
    "URS": "Unsolicited selection", "VAR": "Variance", "VTQ": "Virtual table query",
}  # fmt: skip

#: The fields of a segment in order, from 1. One without a name isn't used in what we read.
FIELDS: Final[dict[str, tuple[Name, ...]]] = {
    "MSH": _fields(
        "Field separator, Encoding characters, Sending application:HD, Sending facility:HD, Receiving application:HD,"
        "Receiving facility:HD, Date and time of message:TS, Security, Message type:MSG, Message control number,"
        "Processing:PT, Version:VID, Sequence number, Continuation pointer, Accept acknowledgement,"
        "Application acknowledgement, Country, Character set, Language:CE, Character set handling, Profile:EI,"
        "Sending organisation:XON, Receiving organisation:XON, Sending network address:HD,"
        "Receiving network address:HD"
    ),
    "FHS": _fields(
        "Field separator, Encoding characters, Sending application:HD, Sending facility:HD, Receiving application:HD,"
        "Receiving facility:HD, Date and time of file:TS, Security, File name, Remark, File control number,"
        "Reference to file control number"
    ),
    "BHS": _fields(
        "Field separator, Encoding characters, Sending application:HD, Sending facility:HD, Receiving application:HD,"
        "Receiving facility:HD, Date and time of batch:TS, Security, Batch name, Remark, Batch control number,"
        "Reference to batch control number"
    ),
    "BTS": _fields("Number of messages, Remark, Total"),
    "FTS": _fields("Number of batches, Remark"),
    "SFT": _fields(
        "Software supplier:XON, Software version, Software product, Software binary, Software information,"
        "Software installed on:TS"
    ),
    "MSA": _fields(
        "Answer, Message answered, Answer in words, Expected sequence number, Delayed acknowledgement, Error:CE,"
        "Message waiting number, Message waiting priority"
    ),
    "ERR": _fields(
        "Error and its place:ELD, Place of the error:ERL, Error:CWE, Severity, Application's error:CWE,"
        "Parameter of the error, Diagnosis, Message to the user, Inform whom, Override:CWE, Reason of override:CWE,"
        "Whom to ask:XTN"
    ),
    "QAK": _fields("Query, Status of the answer, Query name:CE, Number of hits, Hits in this answer, Hits that remain"),
    "EVN": _fields(
        "Event, Recorded on:TS, Planned for:TS, Reason of the event:IS, Recorded by:XCN, Occurred on:TS, Facility:HD"
    ),
    "NTE": _fields("Set number, Source of the remark, Remark:FT, Kind of remark:CE"),
    "PID": _fields(
        "Set number, Patient number:CX, Patient numbers:CX, Other patient number:CX, Name:XPN, Mother's name:XPN,"
        "Date of birth:TS, Sex, Alias:XPN, Race:CE, Address:XAD, County, Home telephone:XTN, Work telephone:XTN,"
        "Language:CE, Marital status:CE, Religion:CE, Account number:CX, Social security number, Driver's licence:DLN,"
        "Mother's number:CX, Ethnic group:CE, Place of birth, Multiple birth, Birth order, Citizenship:CE,"
        "Military status:CE, Nationality:CE, Died on:TS, Deceased, Identity unknown, Reliability of identity,"
        "Last update:TS, Updated by:HD, Species:CE, Breed:CE, Strain, Production class:CE, Tribal citizenship:CWE"
    ),
    "PD1": _fields(
        "Living dependency, Living arrangement, Primary facility:XON, Primary care provider:XCN, Student, Handicap,"
        "Living will, Organ donor, Separate bill, Duplicate patient:CX, Publicity:CE, Protection, Protected since:TS,"
        "Place of worship:XON, Advance directive:CE, Immunisation status, Immunisation status since:TS,"
        "Publicity since:TS, Military branch, Military rank, Military status"
    ),
    "NK1": _fields(
        "Set number, Name:XPN, Relationship:CE, Address:XAD, Telephone:XTN, Work telephone:XTN, Contact role:CE,"
        "From:TS, Until:TS, Job, Job code, Employee number:CX, Organisation:XON, Marital status:CE, Sex,"
        "Date of birth:TS, Living dependency, Ambulatory status, Citizenship:CE, Language:CE"
    ),
    "MRG": _fields(
        "Earlier patient number:CX, Earlier other number:CX, Earlier account number:CX, Earlier patient number:CX,"
        "Earlier visit number:CX, Earlier other visit number:CX, Earlier name:XPN"
    ),
    "PV1": _fields(
        "Set number, Kind of patient, Location:PL, Kind of admission, Preadmission number:CX, Earlier location:PL,"
        "Attending doctor:XCN, Referring doctor:XCN, Consulting doctor:XCN, Hospital service, Temporary location:PL,"
        "Preadmission test, Readmission, Admitted from, Ambulatory status, VIP, Admitting doctor:XCN, Patient type,"
        "Visit number:CX, Financial class, Charge price, Courtesy code, Credit rating, Contract code, Contract date:TS,"
        "Contract amount, Contract period, Interest code, Bad debt transfer, Bad debt date:TS, Bad debt agency,"
        "Bad debt amount, Bad debt recovered, Delete account, Delete account date:TS, Discharged to kind,"
        "Discharged to, Diet:CE, Servicing facility, Bed status, Account status, Pending location:PL,"
        "Earlier temporary location:PL, Admitted on:TS, Discharged on:TS, Current balance, Total charges,"
        "Total adjustments, Total payments, Other visit number:CX, Visit indicator, Other provider:XCN"
    ),
    "PV2": _fields(
        "Earlier pending location:PL, Accommodation:CE, Reason of admission:CE, Reason of transfer:CE, Valuables,"
        "Place of valuables, User code, Expected admission:TS, Expected discharge:TS, Expected length of stay,"
        "Actual length of stay, Description of the visit, Referral source:XCN, Earlier service on:TS"
    ),
    "IN1": _fields(
        "Set number, Insurance plan:CE, Insurer's number:CX, Insurer:XON, Insurer's address:XAD,"
        "Insurer's contact:XPN, Insurer's telephone:XTN, Group number, Group name:XON, Group employer number:CX,"
        "Group employer:XON, Valid from:TS, Valid until:TS, Authorisation, Plan type, Insured person:XPN,"
        "Relationship to the patient:CE, Insured person's date of birth:TS, Insured person's address:XAD,"
        "Assignment of benefits, Coordination of benefits, Priority of coordination, Notice of admission,"
        "Notice of admission on:TS, Report of eligibility, Report of eligibility on:TS, Release of information,"
        "Pre-admission certificate, Verified on:TS, Verified by:XCN, Type of agreement, Billing status,"
        "Lifetime reserve days, Delay before reserve day, Company plan, Policy number"
    ),
    "GT1": _fields(
        "Set number, Guarantor's number:CX, Name:XPN, Spouse's name:XPN, Address:XAD, Telephone:XTN,"
        "Work telephone:XTN,"
        "Date of birth:TS, Sex, Guarantor type, Relationship to the patient:CE"
    ),
    "AL1": _fields("Set number, Kind of allergy:CE, Allergy:CE, Severity of the allergy:CE, Reaction, Found on:TS"),
    "DG1": _fields(
        "Set number, Coding method, Diagnosis:CE, Description, Diagnosed on:TS, Kind of diagnosis, Major category:CE,"
        "Group:CE, Approval, Grouper review, Outlier type:CE, Outlier days, Outlier cost, Grouper version, Priority,"
        "Diagnosed by:XCN"
    ),
    "ORC": _fields(
        "Order control, Placer's order number:EI, Filler's order number:EI, Placer's group number:EI, Order status,"
        "Response wanted, Quantity and timing:TQ, Parent order:EIP, Date and time of transaction:TS, Entered by:XCN,"
        "Verified by:XCN, Ordered by:XCN, Place of entry:PL, Callback telephone:XTN, Effective from:TS,"
        "Reason of the order:CE, Entering organisation:CE, Entering device:CE, Action by:XCN, Beneficiary notice:CE,"
        "Ordering facility:XON, Ordering facility's address:XAD, Ordering facility's telephone:XTN,"
        "Ordering provider's address:XAD, Reason of order status:CWE, Beneficiary reason:CWE, Available from:TS,"
        "Confidentiality:CWE, Order type:CWE, Authorisation:CNE"
    ),
    "TQ1": _fields(
        "Set number, Quantity:CQ, Repeat pattern:RPT, Explicit time, Relative time:CQ, Service duration:CQ,"
        "Start:TS, End:TS, Priority:CWE, Condition, Instruction, Conjunction, Duration:CQ, Total occurrences"
    ),
    "OBR": _fields(
        "Set number, Placer's order number:EI, Filler's order number:EI, Requested test:CE, Priority,"
        "Requested on:TS, Observed on:TS, Observed until:TS, Collection volume:CQ, Collected by:XCN, Specimen action,"
        "Danger code:CE, Clinical information, Specimen received on:TS, Specimen:SPS, Ordered by:XCN,"
        "Callback telephone:XTN, Placer field 1, Placer field 2, Filler field 1, Filler field 2, Reported on:TS,"
        "Charge, Diagnostic section, Result status, Parent result:PRL, Quantity and timing:TQ, Copies to:XCN,"
        "Parent order:EIP, Transport, Reason of study:CE, Interpreted by:NDL, Assistant:NDL, Technician:NDL,"
        "Transcribed by:NDL, Scheduled for:TS, Number of containers, Transport of specimen:CE,"
        "Collector's remark:CE, Transport arrangement:CE, Transport arranged, Escort, Planned transport remark:CE,"
        "Procedure:CE, Procedure modifier:CE, Placer's information:CE, Filler's information:CE,"
        "Medically necessary duplicate:CWE, Result handling, Parent universal service:CWE"
    ),
    "TCD": _fields("Test:CE, Automatic dilution, Rerun dilution, Pre-dilution, Endogenous content, Automatic repeat"),
    "OBX": _fields(
        "Set number, Value type, Test:CE, Sub-number, Value, Unit:CE, Reference range, Abnormal flags, Probability,"
        "Nature of abnormality, Result status, Reference range valid from:TS, Access checks, Observed on:TS,"
        "Producer:CE, Observer:XCN, Method:CE, Equipment:EI, Analysed on:TS, Site:CWE, Instance:EI, Mood:CNE,"
        "Performing organisation:XON, Performing organisation's address:XAD, Performing organisation's director:XCN,"
        "Patient results release, Root cause:CWE, Local process control:CWE"
    ),
    "SPM": _fields(
        "Set number, Specimen number:EIP, Parent specimen:EIP, Specimen:CWE, Specimen modifier:CWE, Additive:CWE,"
        "Collection method:CWE, Source site:CWE, Source site modifier:CWE, Collection site:CWE, Specimen role:CWE,"
        "Collection amount:CQ, Grouped specimens, Specimen description, Handling:CWE, Risk:CWE, Collected on:DR,"
        "Specimen received on:TS, Expires on:TS, Available, Reject reason:CWE, Quality:CWE, Appropriateness:CWE,"
        "Condition of the specimen:CWE, Current amount:CQ, Number of containers, Container type:CWE,"
        "Container condition:CWE, Child role:CWE, Accession number:CX, Other specimen number:CX"
    ),
    "SAC": _fields(
        "External accession:EI, Accession:EI, Container:EI, Primary container:EI, Equipment container:EI,"
        "Specimen source:SPS, Registered on:TS, Container status:CE, Carrier type:CE, Carrier:EI,"
        "Position in carrier:NA, Tray type:CE, Tray:EI, Position in tray:NA, Place:CE, Container height,"
        "Container diameter, Barrier delta, Bottom delta, Units:CE, Container volume, Available volume,"
        "Initial volume, Volume units:CE, Separator type:CE, Cap type:CE, Additive:CWE"
    ),
    "INV": _fields(
        "Substance:CE, Substance status:CE, Substance type:CE, Inventory container:CE, Container carrier:CE,"
        "Position on carrier:CE, Initial quantity, Current quantity, Available quantity, Consumption quantity,"
        "Quantity units:CE, Expires on:TS, First used on:TS, On-board stability, Test:CE, Lot number,"
        "Manufacturer:CE, Supplier:CE"
    ),
    "SID": _fields("Application method:CE, Lot number, Container number, Manufacturer:CE"),
    "FT1": _fields(
        "Set number, Transaction number, Transaction batch, Transaction date:DR, Posted on:TS, Kind of transaction,"
        "Transaction code:CE, Description, Alternative description, Quantity, Amount, Unit amount, Department:CE,"
        "Insurance plan:CE, Insurance amount, Location:PL, Fee schedule, Patient type, Diagnosis:CE, Performed by:XCN,"
        "Ordered by:XCN"
    ),
    "CTI": _fields("Study:EI, Study phase:CE, Study time point:CE"),
    "BLG": _fields("When to charge, Charge type, Account:CX, Charge type reason:CWE"),
    "TXA": _fields(
        "Set number, Kind of document, Content form, Activity on:TS, Author:XCN, Written on:TS, Transcribed on:TS,"
        "Edited on:TS, Originated by:XCN, Authenticated by:XCN, Transcribed by:XCN, Document number:EI,"
        "Parent document:EI, Placer's order number:EI, Filler's order number:EI, File name, Completion,"
        "Confidentiality, Availability, Storage, Reason of change, Authenticated on:PPN, Copies to:XCN"
    ),
    "DSC": _fields("Continuation pointer, Continuation style"),
    "DSP": _fields("Set number, Display level, Text, Break, Result"),
    "CTD": _fields("Contact role:CE, Name:XPN, Address:XAD, Location:PL, Telephone:XTN, Preferred way, Number:PLN"),
    "PR1": _fields(
        "Set number, Coding method, Procedure:CE, Description, Performed on:TS, Kind of procedure, Duration in minutes,"
        "Anaesthetist:XCN, Anaesthesia, Anaesthesia in minutes, Surgeon:XCN, Practitioner:XCN"
    ),
    "PRD": _fields(
        "Role:CE, Name:XPN, Address:XAD, Location:PL, Telephone:XTN, Preferred way:CE, Number:PLN, From:TS, Until:TS"
    ),
    "PRT": _fields(
        "Participation:EI, Action, Reason:CWE, Role:CWE, Person:XCN, Kind of person:CWE, Organisation unit:CWE,"
        "Organisation:XON, Location:PL, Device:EI, From:TS, Until:TS, Duration:CWE, Address:XAD, Telephone:XTN"
    ),
    "ROL": _fields("Role instance:EI, Action, Role:CE, Person:XCN, From:TS, Until:TS, Duration:CE, Reason:CE"),
    "RF1": _fields(
        "Referral status:CE, Priority:CE, Referral type:CE, Disposition:CE, Category:CE, Referral number:EI,"
        "Effective from:TS, Expires on:TS, Processed on:TS, Reason:CE, External number:EI"
    ),
    "SCH": _fields(
        "Placer's appointment:EI, Filler's appointment:EI, Occurrence, Placer's group number:EI, Schedule:CE,"
        "Event reason:CE, Appointment reason:CE, Appointment type:CE, Duration, Duration units:CE, Timing:TQ,"
        "Placer contact:XCN, Placer telephone:XTN, Placer address:XAD, Placer location:PL, Filler contact:XCN,"
        "Filler telephone:XTN, Filler address:XAD, Filler location:PL, Entered by:XCN, Entered by telephone:XTN,"
        "Entered by location:PL, Parent placer's appointment:EI, Parent filler's appointment:EI, Status:CE"
    ),
    "RGS": _fields("Set number, Action, Resource group:CE"),
    "AIS": _fields(
        "Set number, Action, Service:CE, Start:TS, Start offset, Offset units:CE, Duration,"
        "Duration units:CE"
    ),
    "AIL": _fields("Set number, Action, Location:PL, Kind of location:CE, Location group:CE, Start:TS"),
    "AIP": _fields("Set number, Action, Person:XCN, Role:CE, Resource group:CE, Start:TS"),
}  # fmt: skip

#: Fields that only number or describe what follows them, and that a page doesn't need.
PLUMBING: Final = frozenset({"Set number", "Field separator", "Encoding characters"})

_KINDS: Final = {
    "ORU": Kind.LABORATORY, "OUL": Kind.LABORATORY, "OML": Kind.ORDER, "ORM": Kind.ORDER, "OMG": Kind.ORDER,
    "OMI": Kind.ORDER, "OMB": Kind.ORDER, "OPL": Kind.ORDER, "ADT": Kind.PATIENT, "MDM": Kind.LETTER,
    "REF": Kind.LETTER, "RRI": Kind.LETTER, "ACK": Kind.ACKNOWLEDGEMENT, "ORL": Kind.ACKNOWLEDGEMENT,
    "ORR": Kind.ACKNOWLEDGEMENT, "ORG": Kind.ACKNOWLEDGEMENT, "ORI": Kind.ACKNOWLEDGEMENT,
    "MCF": Kind.ACKNOWLEDGEMENT,
}  # fmt: skip

#: Diagnostic sections of table 0074 that make pictures.
_PICTURES: Final = frozenset({"RAD", "RX", "RUS", "CT", "CTH", "NMR", "MR", "NMS", "XRC", "VUS", "OUS", "CUS"})


def kind(code: str, sections: frozenset[str] = frozenset()) -> Kind:
    """What a message of a type ("ORU") is for; ``sections`` are its OBR-24."""
    found = _KINDS.get(code, Kind.UNKNOWN)
    return Kind.RADIOLOGY if found is Kind.LABORATORY and sections and sections <= _PICTURES else found


#: Table 0078. A sender's other word is Flag.OTHER.
FLAGS: Final = {
    "L": Flag.LOW, "H": Flag.HIGH, "LL": Flag.VERY_LOW, "HH": Flag.VERY_HIGH, "<": Flag.VERY_LOW,
    ">": Flag.VERY_HIGH, "A": Flag.ABNORMAL, "AA": Flag.ABNORMAL, "N": Flag.NORMAL,
    "S": Flag.SUSCEPTIBLE, "R": Flag.RESISTANT,
}  # fmt: skip

#: Table 0085 (OBX-11) and 0123 (OBR-25).
STATUSES: Final = {
    "F": Status.FINAL, "C": Status.CORRECTED, "W": Status.CORRECTED, "P": Status.PRELIMINARY, "R": Status.PRELIMINARY,
    "S": Status.PRELIMINARY, "B": Status.PRELIMINARY, "A": Status.PRELIMINARY, "I": Status.PENDING, "O": Status.PENDING,
    "D": Status.DELETED, "X": Status.NOT_DONE, "N": Status.NOT_DONE, "U": Status.FINAL, "V": Status.FINAL,
}  # fmt: skip
#: What the words of STATUSES leave out, which stands beside the status.
STATUS_DETAILS: Final = {
    "W": "The earlier result was wrong, for instance of another patient",
    "U": "Status changed to final, the result is the same",
    "R": "Entered, not verified",
    "A": "Some results are available",
    "S": "Partial result",
    "N": "Not asked for",
}  # fmt: skip

#: Table 0001.
SEXES: Final = {
    "M": "male", "F": "female", "V": "female", "O": "other", "A": "other", "U": "unknown", "N": "other", "X": "other",
}  # fmt: skip

#: Coding systems of table 0396, and of Dutch senders, by our names.
SYSTEMS: Final = {
    "LN": "loinc", "LOINC": "loinc", "SCT": "snomed", "SNM": "snomed", "SNM3": "snomed", "SNOMED": "snomed",
    "SNOMED-CT": "snomed", "NHG": "nhg", "NHG45": "nhg", "NHG-45": "nhg", "NHGTABEL45": "nhg", "99NHG": "nhg",
    "2.16.840.1.113883.6.1": "loinc", "2.16.840.1.113883.6.96": "snomed", "2.16.840.1.113883.2.4.4.30.45": "nhg",
}  # fmt: skip

#: How those systems are written on a page; any other is the sender's own word.
SYSTEM_NAMES: Final = {"loinc": "LOINC", "nhg": "NHG", "snomed": "SNOMED CT"}

#: Table 0104's companion for orders: 0119 (ORC-1).
ORDER_CONTROLS: Final = {
    "NW": "New order", "OK": "Order accepted", "UA": "Order can't be accepted", "CA": "Cancel the order",
    "OC": "Order cancelled", "CR": "Cancelled as asked", "UC": "Can't be cancelled", "DC": "Stop the order",
    "OD": "Order stopped", "DR": "Stopped as asked", "HD": "Hold the order", "XO": "Change the order",
    "XX": "Order changed", "XR": "Changed as asked", "UX": "Can't be changed", "RP": "Replace the order",
    "RU": "Order replaced", "RO": "Replacing order", "RE": "Results follow", "SC": "Status changed",
    "SN": "Send a number for the order", "NA": "Number given", "CH": "Child order", "PA": "Parent order",
    "SR": "Answer to a request for status", "SS": "Ask for the status", "DE": "Error in the data",
    "RR": "Request received", "LI": "Link the order to a care plan", "NR": "Notification received",
}  # fmt: skip
#: Table 0038 (ORC-5).
ORDER_STATUSES: Final = {
    "A": "Some results are available", "CA": "Cancelled", "CM": "Completed", "DC": "Stopped", "ER": "Error",
    "HD": "On hold", "IP": "In process", "RP": "Replaced", "SC": "Scheduled",
}  # fmt: skip
#: Table 0485 (TQ1-9, OBR-5).
PRIORITIES: Final = {
    "S": "At once", "A": "As soon as possible", "R": "Routine", "P": "Before an operation", "C": "Call back",
    "T": "At a set time", "PRN": "As needed",
}  # fmt: skip
#: Table 0008 (MSA-1).
ANSWERS: Final = {
    "AA": "Accepted", "AE": "Error in the message", "AR": "Refused", "CA": "Received", "CE": "Received with an error",
    "CR": "Not taken in",
}  # fmt: skip
#: Table 0357 (ERR-3).
ERRORS: Final = {
    "0": "Accepted", "100": "Segments in the wrong order", "101": "A required field is missing",
    "102": "A value of the wrong type", "103": "A code that isn't in its table", "200": "Unsupported type of message",
    "201": "Unsupported event", "202": "Unsupported processing", "203": "Unsupported version",
    "204": "Unknown key", "205": "Key that exists already", "206": "Record is locked", "207": "Internal error",
}  # fmt: skip
#: Table 0516 (ERR-4).
SEVERITIES: Final = {"W": "Warning", "I": "Note", "E": "Error", "F": "Error"}
#: Table 0136, for fields of PID and others that are yes or no.
YES_NO: Final = {"Y": "Yes", "J": "Yes", "N": "No"}
#: Table 0003 (EVN-1): the events of patients' data that are sent most.
EVENTS: Final = {
    "A01": "Admission", "A02": "Transfer", "A03": "Discharge", "A04": "Registration", "A05": "Pre-admission",
    "A08": "Changed data", "A11": "Admission cancelled", "A12": "Transfer cancelled", "A13": "Discharge cancelled",
    "A28": "New patient", "A31": "Changed data", "A40": "Records merged",
}  # fmt: skip
#: Table 0127 (AL1-2).
ALLERGIES: Final = {
    "DA": "Drug allergy", "FA": "Food allergy", "EA": "Environmental allergy", "PA": "Pollen allergy",
    "AA": "Animal allergy", "LA": "Plant allergy", "MA": "Other allergy", "MC": "Contraindication",
}  # fmt: skip
#: Table 0128 (AL1-4).
ALLERGY_SEVERITIES: Final = {"SV": "Severe", "MO": "Moderate", "MI": "Mild", "U": "Unknown"}
#: Table 0004 (PV1-2).
PATIENT_CLASSES: Final = {
    "E": "Emergency", "I": "Inpatient", "O": "Outpatient", "P": "Before admission", "R": "Recurring",
    "B": "Obstetrics", "C": "Commercial", "N": "Not applicable", "U": "Unknown",
}  # fmt: skip
#: Table 0270 (TXA-2).
DOCUMENTS: Final = {
    "CN": "Consultation", "DI": "Imaging report", "DS": "Discharge summary", "ED": "Emergency report",
    "HP": "History and physical examination", "OP": "Report of an operation", "PN": "Progress note",
    "PR": "Report of a procedure", "SP": "Report of surgical pathology", "TS": "Transfer summary",
}  # fmt: skip
#: Table 0271 (TXA-17).
COMPLETIONS: Final = {
    "AU": Status.FINAL, "LA": Status.FINAL, "DO": Status.FINAL, "DI": Status.PRELIMINARY, "IN": Status.PRELIMINARY,
    "IP": Status.PRELIMINARY, "PA": Status.PRELIMINARY,
}  # fmt: skip

#: What a status says in words, its details first.
STATUS_WORDS: Final = {code: STATUS_DETAILS.get(code, status.value) for code, status in STATUSES.items()}

#: The table of a field whose codes have words here.
TABLES: Final[dict[tuple[str, int], dict[str, str]]] = {
    ("ORC", 1): ORDER_CONTROLS, ("ORC", 5): ORDER_STATUSES, ("TQ1", 9): PRIORITIES, ("OBR", 5): PRIORITIES,
    ("MSA", 1): ANSWERS, ("ERR", 3): ERRORS, ("ERR", 4): SEVERITIES, ("PID", 24): YES_NO, ("PID", 30): YES_NO,
    ("PID", 31): YES_NO, ("SPM", 20): YES_NO, ("PV1", 2): PATIENT_CLASSES, ("TXA", 2): DOCUMENTS,
    ("EVN", 1): EVENTS, ("AL1", 2): ALLERGIES, ("AL1", 4): ALLERGY_SEVERITIES,
    ("OBX", 11): STATUS_WORDS, ("OBR", 25): STATUS_WORDS,
}  # fmt: skip

#: The fields of providers, and what a provider there is to the message.
ROLES: Final[dict[tuple[str, int], Role]] = {
    ("ORC", 12): Role.REQUESTER, ("OBR", 16): Role.REQUESTER, ("OBR", 28): Role.COPY, ("PV1", 7): Role.PRACTITIONER,
    ("PV1", 8): Role.REQUESTER, ("PV1", 9): Role.PRACTITIONER, ("PV1", 17): Role.PRACTITIONER,
    ("PD1", 4): Role.PRACTITIONER, ("TXA", 5): Role.SENDER, ("TXA", 23): Role.COPY,
}  # fmt: skip


def name_of(tag: str, number: int) -> Name:
    """A field's name; its text is "" where it has none here."""
    fields = FIELDS.get(tag, ())
    return fields[number - 1] if 0 < number <= len(fields) else Name("")


#: Labels and titles that the reader gives where no field or segment has the name.
_READERS_WORDS: Final = frozenset(
    {"Code", "Code of the value", "Order", "Remark", "Remark about the patient", "Source application"}
)


def labels() -> frozenset[str]:
    """All names and words that a page may show, each a key of translation."""
    fields = (field.text for names in FIELDS.values() for field in names)
    words = (word for table in TABLES.values() for word in table.values())
    return frozenset({*SEGMENTS.values(), *fields, *words, *SEXES.values(), *_READERS_WORDS})
