"""What a benchmark hands back, and how it is printed: Markdown, as docs/performance*.md show it."""

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
    """A ratio (or a figure) to hold; ``at_most`` where less is better. ``got`` is None if not measured."""

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
    """One topic: a table of figures, the goals that they answer, and what to know about them.

    ``goals_in_rows``: the table says already which goals are met. ``more``: further tables.
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
        """All but the heading."""
        parts = _table(self.columns, self.rows)
        for columns, rows in self.more:
            parts += ["", *_table(columns, rows)]
        if self.goals and not self.goals_in_rows:
            goals = [goal.row() for goal in self.goals]
            parts += ["", *_table(["goal", "measured", "wanted", ""], goals)]
        parts += [line for note in self.notes for line in ("", note)]
        return "\n".join(parts)


def write(topic: str, body: str, documents: Sequence[Path] = DOCUMENTS) -> None:
    """Put a topic's figures between its marks, ``<!-- bench: topic -->`` and ``<!-- end -->``."""
    marks = re.compile(rf"(<!-- bench: {topic} -->\n).*?(?=<!-- end -->)", re.DOTALL)
    for document in documents:
        text = document.read_text()
        document.write_text(marks.sub(lambda found: f"{found[1]}\n{body}\n\n", text))


def number(value: float | None) -> str:
    """1234567.8 as 1,234,568; small ones with decimals; nothing as a dash."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def middle(values: Sequence[float]) -> float:
    return median(values)


def ratio(values: Sequence[float], others: Sequence[float]) -> float | None:
    """The median of the ratios of interleaved rounds: a slow minute of the machine hits both sides."""
    pairs = list(zip(values, others, strict=True))
    return median(one / other for one, other in pairs) if pairs else None


def quantile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---", *("---:" for _ in columns[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows)]
