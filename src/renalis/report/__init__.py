"""What a reader sees: the preview montage and the self-contained page."""

from renalis.report.content import ModelFacts, ReportContent
from renalis.report.gather import gather
from renalis.report.html import write_report
from renalis.report.preview import write_preview

__all__ = ["ModelFacts", "ReportContent", "gather", "write_preview", "write_report"]
