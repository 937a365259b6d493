"""The result of a benchmark, and how it is printed: as Markdown, in the form of docs/performance*.md."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

DOCUMENTS = tuple(
    Path(__file__).parent.parent / "docs" / name for name in ("performance.md", "performance-details.md")
)


@dataclass(frozen=True)
class Goal:
    """A ratio or a figure to reach, or not to exceed if ``at_most``. ``got`` is None if it was not
    measured."""

    text: str
    got: float | None
    wanted: float
    at_most: bool = False
    unit: str = ""

    @property
    def verdict(self) -> str:
        if self.got is None:
            return "not measured"
        met = self.got <= self.wanted if self.at_most else self.got >= self.wanted
        return "met" if met else "**not met**"

    @property
    def limit(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.wanted:g}{self.unit}"

    def row(self) -> list[str]:
        got = "–" if self.got is None else f"{self.got:.2f}{self.unit}"
        return [self.text, got, self.limit, self.verdict]


@dataclass
class Section:
    """One topic: a table of figures, the goals that they are compared with, and notes.

    ``goals_in_rows`` says that the table already shows which goals are met. ``more`` holds further tables.
    """

    title: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    goals_in_rows: bool = False
    more: list[tuple[Sequence[str], list[list[str]]]] = field(default_factory=list)

    def text(self) -> str:
        return "\n".join([f"## {self.title}", "", self.body(), ""])

    def body(self) -> str:
        """Return the text without its heading."""
        parts = _table(self.columns, self.rows)
        for columns, rows in self.more:
            parts += ["", *_table(columns, rows)]
        if self.goals and not self.goals_in_rows:
            goals = [goal.row() for goal in self.goals]
            parts += ["", *_table(["goal", "measured", "wanted", ""], goals)]
        parts += [line for note in self.notes for line in ("", note)]
        return "\n".join(parts)


def write(topic: str, body: str, documents: Sequence[Path] = DOCUMENTS) -> None:
    """Write a topic's figures between its marks, ``<!-- bench: topic -->`` and ``<!-- end -->``."""
    marks = re.compile(rf"(<!-- bench: {topic} -->\n).*?(?=<!-- end -->)", re.DOTALL)
    for document in documents:
        text = document.read_text()
        document.write_text(marks.sub(lambda found: f"{found[1]}\n{body}\n\n", text))


def number(value: float | None) -> str:
    """Format 1234567.8 as 1,234,568, small numbers with decimals, and None as a dash."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def middle(values: Sequence[float]) -> float:
    return median(values)


def ratio(values: Sequence[float], others: Sequence[float]) -> float | None:
    """Return the median of the ratios of interleaved rounds, in which a slow minute of the machine affects
    both sides."""
    pairs = list(zip(values, others, strict=True))
    return median(one / other for one, other in pairs) if pairs else None


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that a ``share`` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---", *("---:" for _ in columns[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows)]
