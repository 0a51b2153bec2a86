"""Pictures of a model and of what it saw: which labels it confuses, how many have which.

Belongs here: drawing. Does not: any count.
Imported lazily where something is drawn: its functions need matplotlib.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assets.frame import pictures

#: Labels of a matrix that is drawn; the rarer ones are left out.
MOST_NAMES = 12


def confusion_picture(names: Sequence[str], counts: Sequence[Sequence[int]], title: str) -> str:
    """Markdown of a matrix: a row per label that the catalogue says, a column per label named.

    Of more than MOST_NAMES labels the commonest ones, in their order. Empty without any.
    """
    order = sorted(range(len(names)), key=lambda at: (-sum(counts[at]), names[at]))[:MOST_NAMES]
    kept = sorted(order)
    if not kept:
        return ""
    side = 2.2 + 0.42 * len(kept)
    figure = pictures.figure(side + 0.6, side)
    axes = figure.subplots()
    shares = [[counts[row][column] / max(sum(counts[row]), 1) for column in kept] for row in kept]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    shown = [pictures.drawable(names[at]) for at in kept]
    axes.set_xticks(range(len(kept)), shown, rotation=45, ha="right")
    axes.set_yticks(range(len(kept)), shown)
    for y, row in enumerate(kept):
        for x, column in enumerate(kept):
            if count := counts[row][column]:
                colour = "white" if shares[y][x] > 0.5 else "black"  # noqa: PLR2004
                axes.text(x, y, str(count), ha="center", va="center", fontsize=7, color=colour)
    axes.set_xlabel("named", fontsize=8)
    axes.set_ylabel("in the catalogue", fontsize=8)
    axes.set_title(title, fontsize=9)
    return pictures.markdown(figure, title)


def labels_picture(counts: Mapping[str, Mapping[str, int]], title: str) -> str:
    """Markdown of bars, the commonest labels of each kind side by side; empty without any."""
    drawn = {kind: found for kind, found in counts.items() if found}
    if not drawn:
        return ""
    figure = pictures.figure(3.6 * len(drawn), 2.8)
    for axes, (kind, found) in zip(
        figure.subplots(1, len(drawn), squeeze=False)[0], drawn.items(), strict=True
    ):
        bars = pictures.largest(found.items())[::-1]
        axes.barh([pictures.drawable(name) for name, _ in bars], [count for _, count in bars])
        axes.set_title(kind.replace("_", " "), fontsize=9)
    return pictures.markdown(figure, title)
