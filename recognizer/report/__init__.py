"""The report of a night and the card of a model: pages people read, made of facts that were all measured before."""

from recognizer.report.facts import Finding, ReportFacts, TrainingFacts
from recognizer.report.model_card import ModelCardFacts, render_model_card
from recognizer.report.page import write_report
from recognizer.report.table import CHECK_COLUMNS, check_rows

__all__ = [
    "CHECK_COLUMNS",
    "Finding",
    "ModelCardFacts",
    "ReportFacts",
    "TrainingFacts",
    "check_rows",
    "render_model_card",
    "write_report",
]
