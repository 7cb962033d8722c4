"""Figures of several rounds as Markdown, CSV and an SVG plot. It does not know how they were measured."""

import csv
import statistics
from xml.sax.saxutils import escape


class Table:
    """Figures by workload and what is measured, then by tool; one figure a round."""

    def __init__(self):
        self.figures = {}
        self.goals = {}
        self.missing = []

    def add(self, workload, measure, tool, figure):
        self.figures.setdefault((workload, measure), {}).setdefault(tool, []).append(figure)

    def goal(self, workload, measure, tool, peer, most=None, least=None):
        """A ratio of `tool`'s figure to `peer`'s that is not to be above `most` or below `least`; without
        a peer the figure itself."""
        self.goals[workload, measure, tool] = peer, most, least

    def growth(self, workload, measure, few, many):
        """Each tool's figure of the workload of `many` as a ratio to that of `few`, round by round: it is not
        to grow."""
        before, after = (self.figures[workload.format(count), measure] for count in (few, many))
        name, what = workload.format("n"), f"{measure}: of {many:,} to that of {few:,}"
        for tool, figures in after.items():
            for one, other in zip(figures, before[tool]):
                self.add(name, what, tool, one / other)
        self.goal(name, what, "cauce", None, most=1)

    def absent(self, text):
        self.missing.append(text)

    def rows(self):
        for (workload, measure), tools in self.figures.items():
            for tool, figures in tools.items():
                middle = statistics.median(figures)
                yield workload, measure, tool, middle, figures, self.verdict(workload, measure, tool, middle)

    def verdict(self, workload, measure, tool, middle):
        peer, most, least = self.goals.get((workload, measure, tool), (None, None, None))
        if most is None and least is None:
            return ""
        value, sign = middle, ""
        if peer is not None:
            others = self.figures[workload, measure].get(peer)
            if not others:
                return f"no {peer} to compare"
            # Rounds are compared with themselves, so that a disturbance meets both.
            pairs = zip(self.figures[workload, measure][tool], others)
            value, sign = statistics.median(a / b for a, b in pairs if b), f" x {peer}"
        met = value <= most if most is not None else value >= least
        wanted = f"at most {most:g}" if most is not None else f"at least {least:g}"
        return f"{number(value)}{sign} ({wanted}: {'met' if met else 'missed'})"

    def markdown(self, about):
        lines = [f"- {line}" for line in about + self.missing] + [""]
        lines += ["| workload | measure | tool | median | least | most | rounds | goal |", "|---|---|---|---|---|---|---|---|"]
        for workload, measure, tool, middle, figures, verdict in self.rows():
            spread = f"{number(middle)} | {number(min(figures))} | {number(max(figures))} | {len(figures)}"
            lines.append(f"| {workload} | {measure} | {tool} | {spread} | {verdict} |")
        return "\n".join(lines) + "\n"

    def csv(self, file):
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["workload", "measure", "tool", "median", "least", "most", "rounds", "goal"])
        for workload, measure, tool, middle, figures, verdict in self.rows():
            out.writerow([workload, measure, tool, f"{middle:.6g}", f"{min(figures):.6g}", f"{max(figures):.6g}", len(figures), verdict])

    def svg(self):
        """One group of bars for each workload and measure, each scaled to its own largest."""
        left, width, bar = 330, 520, 16
        colours = ["#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b"]
        tools = list(dict.fromkeys(tool for group in self.figures.values() for tool in group))
        parts, y = [], 20
        for (workload, measure), group in self.figures.items():
            parts.append(text(10, y, f"{workload}: {measure}", "bold"))
            y += 8
            largest = max(max(figures) for figures in group.values()) or 1
            for tool, figures in group.items():
                middle = statistics.median(figures)
                low, high, at = (width * value / largest for value in (min(figures), max(figures), middle))
                colour = colours[tools.index(tool) % len(colours)]
                parts.append(text(20, y + 12, tool))
                parts.append(f'<rect x="{left}" y="{y}" width="{at:.1f}" height="{bar - 4}" fill="{colour}"/>')
                line = y + bar / 2 - 2
                parts.append(f'<path d="M{left + low:.1f} {line}H{left + high:.1f}" stroke="black"/>')
                parts.append(text(left + max(high, at) + 6, y + 11, number(middle)))
                y += bar
            y += 26
        body = "\n".join(parts)
        size = f'width="{left + width + 90}" height="{y}"'
        style = 'font-family="sans-serif" font-size="12"'
        return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'


def text(x, y, words, weight="normal"):
    return f'<text x="{x:.0f}" y="{y:.0f}" font-weight="{weight}">{escape(words)}</text>'


def number(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
