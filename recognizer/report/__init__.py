"""The report of a night: one page a person reads, made of facts that were all measured before."""

from recognizer.report.facts import Finding, ReportFacts, TrainingFacts
from recognizer.report.page import write_report
from recognizer.report.table import CHECK_COLUMNS, check_rows

__all__ = ["CHECK_COLUMNS", "Finding", "ReportFacts", "TrainingFacts", "check_rows", "write_report"]
