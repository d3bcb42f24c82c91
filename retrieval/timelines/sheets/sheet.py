"""Export hits as a contact sheet: a JPEG, or a PDF of several pages."""

from __future__ import annotations

from PIL import Image

from retrieval.errors import QueryError
from retrieval.files.writing import partial_path
from retrieval.timelines.moments import Moment
from retrieval.timelines.options import ExportedFile, ExportJob
from retrieval.timelines.sheets.layout import (
    PDF_HEIGHT,
    PDF_PAGE,
    SHEET,
    Cell,
    Layout,
    draw_page,
)
from retrieval.timelines.stills import read_still

MAX_HITS = 400
"""Hits of one JPEG, whose height is limited."""

MAX_PDF_HITS = 3_000


def export_sheet(job: ExportJob) -> list[ExportedFile]:
    """Write a contact sheet. A hit that cannot be read has a grey field and is a failure.

    Raises:
        QueryError: There are more hits than fit on it.
        StorageError: The file cannot be written.
    """
    is_pdf = job.out.suffix.lower() == ".pdf"
    limit = MAX_PDF_HITS if is_pdf else MAX_HITS
    if len(job.moments) > limit:
        advice = "export fewer" if is_pdf else "export fewer, or write a PDF"
        raise QueryError(f"a sheet holds {limit:,} hits, got {len(job.moments):,}; {advice}")
    layout = PDF_PAGE if is_pdf else SHEET
    cells = [Cell(moment, _picture(job, moment, layout)) for moment in job.each()]
    if all(cell.picture is None for cell in cells):
        return []
    title = job.title or "Hits"
    with partial_path(job.out, replace=job.options.force) as partial, partial.open("r+b") as file:
        if is_pdf:
            assert layout.rows is not None
            size = layout.rows * layout.columns
            groups = [cells[first : first + size] for first in range(0, len(cells), size)]
            pages = [
                draw_page(group, layout, title, f"{number} / {len(groups)}", PDF_HEIGHT)
                for number, group in enumerate(groups, 1)
            ]
            pages[0].save(
                file, "PDF", save_all=True, append_images=pages[1:], resolution=150, title=title
            )
        else:
            count = f"{len(cells)} hit{'s' if len(cells) != 1 else ''}"
            draw_page(cells, layout, title, count).save(file, "JPEG", quality=90)
    return [ExportedFile(job.out)]


def _picture(job: ExportJob, moment: Moment, layout: Layout) -> Image.Image | None:
    picture: Image.Image | None = None
    with job.failures_of(moment):
        picture = job.worker.call(
            read_still, moment.hit.uri, moment.hit.modality, moment.span, layout.picture_size
        )
    return picture
