"""Recipients from any source, made rows for the planner: read as a stream, one problem a bad row."""

from promomsg.intake.arrow import from_frame, read_parquet
from promomsg.intake.base import ADDRESSES, KNOWN, Recipients, Row, Source
from promomsg.intake.csvfile import read_csv
from promomsg.intake.excel import read_excel
from promomsg.intake.files import read_file
from promomsg.intake.items import as_source, openids
from promomsg.intake.jsonl import read_jsonl
from promomsg.intake.standard_input import StandardInput
from promomsg.intake.suppression import SuppressionFile, kind_of_list

__all__ = [
    "ADDRESSES",
    "KNOWN",
    "Recipients",
    "Row",
    "Source",
    "StandardInput",
    "SuppressionFile",
    "as_source",
    "from_frame",
    "kind_of_list",
    "openids",
    "read_csv",
    "read_excel",
    "read_file",
    "read_jsonl",
    "read_parquet",
]
