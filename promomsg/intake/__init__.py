"""Recipients from any source, made rows for the planner: read as a stream, one problem a bad row."""

from promomsg.intake.arrow.frames import from_frame
from promomsg.intake.arrow.parquet import read_parquet
from promomsg.intake.by_suffix import read_file
from promomsg.intake.excel.excelfile import read_excel
from promomsg.intake.python.iterables import as_source, openids
from promomsg.intake.sources import ADDRESSES, KNOWN, Recipients, Row, Source
from promomsg.intake.suppression.list_kind import kind_of_list
from promomsg.intake.suppression.suppression_file import SuppressionFile
from promomsg.intake.text.csvfile import read_csv
from promomsg.intake.text.jsonl import read_jsonl
from promomsg.intake.text.standard_input import StandardInput

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
