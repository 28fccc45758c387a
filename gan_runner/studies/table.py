"""The table of the robustness study: who succeeds at which threshold, beside the paper's own rows.

Thresholds are absolute, as in Gulrajani et al. 2017, and relative: a classifier score lies between
1 and the number of classes, so a share s of a reference score r is the threshold 1 + s (r - 1).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gan_runner.runs import text_tables
from gan_runner.runs.files import atomic_write
from gan_runner.runs.text_tables import Block
from gan_runner.studies import comparison_text
from gan_runner.studies.comparison_text import DEMONSTRATION
from gan_runner.studies.paired_statistics import PAPER_BASELINE, PUBLISHED, Outcome, Pair, outcome
from gan_runner.studies.study_files import Study

SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
INTERVAL = "95% confidence interval by Newcombe's score method for paired data (1998, method 10)"


@dataclass(frozen=True)
class Row:
    """One threshold.

    Attributes:
        threshold: of the score; success is strictly above.
        share: of the reference score, for relative thresholds.
        counts: of this study.
        paper_threshold: the paper's own that this one compares with, if any.
    """

    threshold: float
    share: float | None
    counts: Outcome
    paper_threshold: float | None

    @property
    def paper(self) -> Outcome | None:
        """The paper's row."""
        return None if self.paper_threshold is None else PUBLISHED[self.paper_threshold]

    @property
    def paper_share(self) -> float | None:
        """Where the paper's threshold lies between 1 and its DCGAN baseline, for relative ones."""
        if self.share is None or self.paper_threshold is None:
            return None
        return (self.paper_threshold - 1) / (PAPER_BASELINE - 1)


@dataclass(frozen=True)
class Section:
    """Thresholds of one kind.

    Attributes:
        key: absolute, baseline or real.
        title: for people.
        note: how the thresholds are made and what the paper's rows are.
        rows: from the lowest threshold to the highest.
    """

    key: str
    title: str
    note: str
    rows: tuple[Row, ...]


def threshold_at(share: float, reference: float) -> float:
    """Return the score at a share of the way from 1, the minimum, to a reference."""
    return 1 + share * (reference - 1)


def sections(study: Study) -> list[Section]:
    """Return the parts of the table that have reference scores; [] before the first pair."""
    if not study.pairs:
        return []
    tables = [_absolute(study.pairs)]
    if study.baseline is not None:
        tables.append(_to_baseline(study, study.baseline))
    if study.real is not None:
        tables.append(_to_real(study.pairs, study.real))
    return tables


def _absolute(pairs: list[Pair]) -> Section:
    rows = tuple(Row(t, None, outcome(pairs, t), t) for t in PUBLISHED)
    note = (
        "The paper's 17 thresholds and its own rows: 200 architectures on 32x32 ImageNet, inception"
        " score."
    )
    return Section("absolute", "Absolute thresholds", note, rows)


def _to_baseline(study: Study, reference: float) -> Section:
    runs = study.facts.get("baseline_runs", len(study.baselines))
    labels = dict(zip(study.objectives, study.labels, strict=True))
    names = " and ".join(labels[objective] for objective in study.baselines)

    def row(share: float) -> Row:
        threshold, theirs = threshold_at(share, reference), threshold_at(share, PAPER_BASELINE)
        nearest = min(PUBLISHED, key=lambda published: abs(published - theirs))
        return Row(threshold, share, outcome(study.pairs, threshold), nearest)

    note = (
        f"A share s of the DCGAN baseline's score r is the threshold 1 + s (r - 1); here"
        f" r = {reference:.2f}, the mean of {runs} run(s) of DCGAN trained with {names}."
        " The paper's rows are those of its"
        f" threshold nearest to the same share of its own baseline, r = {PAPER_BASELINE}."
    )
    title = "Relative to the DCGAN baseline"
    return Section("baseline", title, note, tuple(row(share) for share in SHARES))


def _to_real(pairs: list[Pair], reference: float) -> Section:
    thresholds = [(share, threshold_at(share, reference)) for share in SHARES]
    rows = tuple(Row(t, share, outcome(pairs, t), None) for share, t in thresholds)
    note = (
        f"As before, with r = {reference:.2f}, the score of held-out real data. The paper does not"
        " give the score of its real data, so it has no rows here."
    )
    return Section("real", "Relative to real data", note, rows)


def progress(study: Study) -> str:
    """One sentence: how many architectures count, and what is missing or lost."""
    done, planned = len(study.pairs), study.architectures
    statuses = [run.status for run in study.runs]
    lost, failed = statuses.count("diverged"), statuses.count("failed")
    parts = [f"{done} of {planned} architectures have both runs"]
    if planned > done:
        parts.append(f"{planned - done} not yet, which are left out")
    if lost:
        parts.append(f"{lost} diverged run(s) count as not successful")
    if failed:
        parts.append(f"{failed} failed run(s) are missing until retried")
    if without := len([r for r in study.runs if r.status == "completed" and r.score is None]):
        parts.append(f"{without} completed run(s) have no score")
    return "; ".join(parts) + "."


def markdown(study: Study) -> str:
    """Return the result and the table as Markdown, with the paper's rows beside the study's."""
    return text_tables.page_as_markdown(_blocks(study))


def text(study: Study) -> str:
    """Return them for a terminal: rows on which the objectives differ, the paper's below."""
    return text_tables.page_as_text(_blocks(study, brief=True))


def _blocks(study: Study, *, brief: bool = False) -> Iterator[Block]:
    """Yield the parts of the page.

    Args:
        study: as far as it has come.
        brief: only rows on which the objectives differ, in tables as narrow as a terminal.
    """
    first, second = study.full_labels
    facts = study.facts
    each = [f"{n:,} iterations of {label}" for label, n in study.iterations.items()]
    iterations = f"; {' and '.join(each)}" if each else ""
    if study.is_demonstration:
        yield DEMONSTRATION
    yield f"# {first} and {second} on the same random architectures"
    yield (
        f"{facts.get('dataset', 'unknown data')}; score: `{facts.get('score', 'unknown')}`"
        f" ({facts.get('score_of', 'unknown')}){iterations}. {progress(study)}"
    )
    yield from comparison_text.blocks(study)
    yield (
        "Success is a score strictly above the threshold. p is McNemar's mid-p value, two-sided;"
        f" in brackets the {INTERVAL}, in percentage points. Thresholds are dependent looks at the"
        " same runs: the endpoint alone is a test."
    )
    for section in sections(study)[::-1]:  # relative thresholds first
        rows = tuple(row for row in section.rows if not brief or row.counts.differs)
        if rows:
            yield from [f"## {section.title}", section.note]
            yield from _tables(study, replace(section, rows=rows), stacked=brief)


def _tables(study: Study, section: Section, *, stacked: bool) -> Iterator[Block]:
    """Yield the table of a section, with the paper's rows beside it, or below it if stacked."""
    first, second = study.labels
    names = [f"only {first}", f"only {second}", "both", "neither", first, second]
    head = ["threshold", *names, f"{second} - {first}"]
    own, papers = [[*head, "p"]], [head]
    for row in section.rows:
        own.append([_place(row), *_counts(row.counts), difference(row.counts), p(row.counts)])
        if row.paper:
            place = _place(row, of_paper=True)
            papers.append([place, *_counts(row.paper), difference(row.paper)])
    if len(papers) == 1:
        yield own
    elif stacked:
        yield from [own, "The paper's rows:", papers]
    else:
        titles, *rows = papers
        beside = [[f"paper: {name}" for name in titles], *rows]
        yield [[*mine, *theirs] for mine, theirs in zip(own, beside, strict=True)]


def _counts(counts: Outcome) -> list[str]:
    four = (counts.only_first, counts.only_second, counts.both, counts.neither)
    return [str(n) for n in (*four, counts.first, counts.second)]


def _place(row: Row, *, of_paper: bool = False) -> str:
    threshold, share = row.threshold, row.share
    if of_paper and row.paper_threshold is not None:
        threshold, share = row.paper_threshold, row.paper_share
    if share is None:
        return f"{threshold:.1f}"
    return f"{share:.0%} ({threshold:.2f})"


def difference(counts: Outcome) -> str:
    """Format the difference of successes with its interval, in percentage points."""
    low, high = counts.interval
    return f"{100 * counts.difference:+.0f} ({100 * low:+.0f} to {100 * high:+.0f})"


def p(counts: Outcome) -> str:
    """Format a p-value with two significant digits."""
    value = counts.p_value
    return f"{value:.2g}" if value < 1 else "1"


def csv_text(study: Study) -> str:
    """Return the whole table as CSV: a line per threshold, with columns for the paper's row."""
    of = ["only_first", "only_second", "both", "neither", "first", "second", "difference"]
    of += ["interval_low", "interval_high", "p_value"]
    head = ["kind", "share", "threshold", *of, "paper_threshold", *(f"paper_{name}" for name in of)]
    rows: list[list[str]] = [["first_objective", "second_objective", *head]]
    for section in sections(study):
        for row in section.rows:
            paper = _numbers(row.paper) if row.paper else [""] * len(of)
            place = [section.key, _or_empty(row.share), f"{row.threshold:.6g}"]
            cells = [*place, *_numbers(row.counts), _or_empty(row.paper_threshold), *paper]
            rows.append([*study.objectives, *cells])
    return text_tables.csv_text(rows)


def _numbers(counts: Outcome) -> list[str]:
    exact = (counts.difference, *counts.interval, counts.p_value)
    return [*_counts(counts), *(f"{value:.6g}" for value in exact)]


def _or_empty(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def write(study: Study) -> list[Path]:
    """Write table.md and table.csv into the study's directory; return both.

    Raises:
        OSError: they cannot be written.
    """
    paths = [study.folder / "table.md", study.folder / "table.csv"]
    for path, text in zip(paths, (markdown(study), csv_text(study)), strict=True):
        atomic_write(path, text.encode(), shared=True)
    return paths
