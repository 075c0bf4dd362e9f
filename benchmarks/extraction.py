"""Pages per second of extraction against Docling's own command line, on the same PDFs."""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

# Run as a script, only this folder is on the path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

ROOT = Path(__file__).resolve().parents[1]
DOCLING = "docling convert"
STAND_IN = "docling convert (stand-in)"

_EPILOG = """\
What is compared. Docling's command line with its native pipeline and one parser thread, Markdown
written, its pictures decoded but not saved (`docling convert --pipeline native --parser-threads 1
--image-export-mode placeholder`: to save them it would also draw every page); and the extraction
step with one and with two workers in native mode, which does save them. Every run is a process of
its own that reads all files, its start included. Files that hold a page that only OCR can read are
left out, because Docling's native pipeline has none. Each file is copied a few times, so that the
start of processes does not decide.

That command line refuses to run without torchvision, which docling-slim does not bring. Where it is
missing, a script stands in that hands Docling's converter the options which the command line hands
it, and writes Markdown likewise; the table says which of the two ran.

The runs take turns. Wall-clock time is what a user waits; CPU time (of all processes of a run) is
less disturbed by whatever else the machine does. Two workers can only be faster than one where two
cores are free: the load is printed for that reason.

Examples:
  python benchmarks/extraction.py                                  the bundled samples
  python benchmarks/extraction.py --input FOLDER --copies 1        your own PDFs
  python benchmarks/extraction.py --repeats 5 > figures.md
"""


@dataclass
class Runner:
    """One way to read the files, and what its runs took."""

    name: str
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--input", type=Path, nargs="+", default=[ROOT / "data/samples"], help="folders of PDFs")
    add("--copies", type=int, default=3, help="of each file")
    add("--repeats", type=int, default=2, help="runs of each")
    add("--run-docling", nargs=2, metavar=("FOLDER", "OUT"), help=argparse.SUPPRESS)
    add("--run-step", nargs=3, metavar=("FOLDER", "WORKSPACE", "WORKERS"), help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def collect(folders: list[Path], copies: int, target: Path) -> int:
    """Copy the PDFs that have a text layer on every page; returns the number of their pages."""
    import pypdfium2 as pdfium

    num_pages = 0
    for path in sorted(p for folder in folders for p in folder.rglob("*.pdf")):
        document = pdfium.PdfDocument(path)
        texts = [page.get_textpage().get_text_bounded().strip() for page in document]
        document.close()
        if all(len(text) > 20 for text in texts):
            for copy in range(copies):
                shutil.copy(path, target / f"{path.stem}-{copy}.pdf")
            num_pages += copies * len(texts)
    return num_pages


def run_step(folder: str, workspace: str, workers: str) -> None:
    """The extraction step, as it runs inside a flow."""
    from configs.schema import PipelineConfig
    from tasks.extraction.convert import extract_documents
    from tasks.workspace import Workspace

    config = PipelineConfig.model_validate(
        {"extraction": {"input": folder}, "execution": {"workers": int(workers)}}
    )
    extract_documents(config, Workspace(Path(workspace)))


def run_docling(folder: str, out: str) -> None:
    """What `docling convert` does with the settings of this comparison."""
    from docling.datamodel.backend_options import ThreadedDoclingParseBackendOptions
    from docling.datamodel.base_models import InputFormat
    from docling.datamodel.pipeline_options import NativePdfPipelineOptions
    from docling.document_converter import DocumentConverter, NativePdfFormatOption
    from docling_core.types.doc.base import ImageRefMode

    options = NativePdfPipelineOptions(parser_threads=1, generate_page_images=False)
    backend = ThreadedDoclingParseBackendOptions(
        parser_threads=1,
        include_bitmap_images=options.generate_picture_images,
        render_pages=False,
        render_scale=options.images_scale,
    )
    option = NativePdfFormatOption(pipeline_options=options, backend_options=backend)
    converter = DocumentConverter(
        allowed_formats=[InputFormat.PDF], format_options={InputFormat.PDF: option}
    )
    for result in converter.convert_all(sorted(Path(folder).iterdir()), raises_on_error=False):
        target = Path(out) / f"{result.input.file.stem}.md"
        result.document.save_as_markdown(target, image_mode=ImageRefMode.PLACEHOLDER)


def measure(runner: Runner, source: Path) -> None:
    """Run once, with a fresh folder for the results."""
    with tempfile.TemporaryDirectory() as out:
        if runner.name == STAND_IN:
            command = [sys.executable, __file__, "--run-docling", str(source), out]
        elif runner.name == DOCLING:
            # As the installed `docling` does, with the same interpreter.
            start = "from docling.cli.main import app; app()"
            command = [sys.executable, "-c", start, "convert", str(source), "--from", "pdf"]
            command += ["--to", "md", "--pipeline", "native", "--parser-threads", "1"]
            command += ["--image-export-mode", "placeholder", "--output", out]
        else:
            command = [sys.executable, __file__, "--run-step", str(source), out, runner.name[-1]]
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        subprocess.run(command, env=environment, check=True, capture_output=True)
        runner.wall_s.append(time.perf_counter() - begun)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        runner.cpu_s.append(used)


def render(runners: list[Runner], num_pages: int) -> str:
    """A Markdown table of the medians; ratios are against the first runner."""
    lines = [
        "| | wall, s | pages/s | ratio | CPU, s | pages per CPU second | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    wall, cpu = median(runners[0].wall_s), median(runners[0].cpu_s)
    for runner in runners:
        own_wall, own_cpu = median(runner.wall_s), median(runner.cpu_s)
        cells = (
            *(f"{own_wall:.1f}", f"{num_pages / own_wall:.1f}", f"{wall / own_wall:.2f}"),
            *(f"{own_cpu:.1f}", f"{num_pages / own_cpu:.1f}", f"{cpu / own_cpu:.2f}"),
        )
        lines.append(f"| {runner.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    arguments = parse_arguments()
    if arguments.run_step:
        run_step(*arguments.run_step)
        return
    if arguments.run_docling:
        run_docling(*arguments.run_docling)
        return
    docling = DOCLING if importlib.util.find_spec("torchvision") else STAND_IN
    names = (docling, "extraction, workers 1", "extraction, workers 2")
    runners = [Runner(name) for name in names]
    loads = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as folder:
        num_pages = collect(arguments.input, arguments.copies, Path(folder))
        for _ in range(arguments.repeats):
            for runner in runners:
                measure(runner, Path(folder))
                loads.append(os.getloadavg()[0])
    sys.stdout.write(
        f"{render(runners, num_pages)}\n\n{num_pages} pages, medians of {arguments.repeats} runs; "
        f"{os.cpu_count()} cores, load average {min(loads):.1f} to {max(loads):.1f}.\n"
    )


if __name__ == "__main__":
    main()
