"""Field metadata for made-up data: a tree of confidences, citations and reasons with the shape of the data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llama_cloud_emulator import misread
from llama_cloud_emulator.dice import Dice

Json = Any

_REASONS = (
    "Stated explicitly in the header of page 1.",
    "Inferred from the table; the column is labelled 'Qty'.",
    "VERBATIM EXTRACTION",
    "The value appears twice; the later one was taken as it is signed.",
)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a document was read: the run's config, the document's pages, and how often a field was hard to read."""

    dice: Dice
    config: dict[str, Json]
    pages: int
    doubts: Mapping[str, float]

    def tree(self, data: Json) -> Json:
        """The tree with the shape of the data."""
        if isinstance(data, list) and self.config["extraction_target"] == "PER_PAGE":
            return [self._branch(row, "", number) for number, row in enumerate(data, 1)]
        return self._branch(data, "", None)

    def _branch(self, value: Json, field: str, page: int | None) -> Json:
        """The tree of a value, which stands on the page if that is known; None where there is nothing to say."""
        dice = self.dice
        if isinstance(value, dict):
            fields = {}
            for key, item in value.items():
                if item is not None and (branch := self._branch(item, key, page)) is not None:
                    fields[key] = branch
            if self.config["use_reasoning"] and "reasoning" not in value and dice.chance(0.25):
                fields["reasoning"] = dice.pick(_REASONS)
            return fields
        if isinstance(value, list):
            # An element without metadata keeps its place: lists pair by position.
            below = [None if item is None else self._branch(item, field, page) for item in value]
            return [{} if item is None else item for item in below]
        return self._leaf(value, field, page) if dice.random() < 0.84 else None

    def _leaf(self, value: Json, field: str, page: int | None) -> Json:
        dice, config = self.dice, self.config
        doubtful = dice.chance(self.doubts.get(field, 0))
        leaf: dict[str, Json] = {}
        if config["confidence_scores"]:
            extraction = round(0.35 + dice.random() * 0.35 if doubtful else 1 - dice.random() ** 3 * 0.25, 4)
            parsing = round(1 - dice.random() ** 4 * 0.1, 4)
            leaf["confidence"] = round(extraction * parsing, 4)
            leaf["extraction_confidence"] = extraction
            if dice.random() < 0.5:
                leaf["parsing_confidence"] = parsing
        if config["use_reasoning"] and dice.random() < 0.6:
            leaf["reasoning"] = dice.pick(_REASONS)
        if config["cite_sources"]:
            printed = _as_printed(dice, value)
            if doubtful and dice.chance(0.5):  # what was taken for the value is something else
                printed = misread.text(dice, printed)
            draw = dice.random()
            # Without a place in the document there would be nothing to doubt.
            leaf["citation"] = [] if draw < 0.02 and not doubtful else [self._citation(printed, page)]
            if draw > 0.98:
                leaf["citation"].append(self._citation(printed, page))
        return leaf

    def _citation(self, printed: str, page: int | None) -> Json:
        dice = self.dice
        citation: dict[str, Json] = {"page": page or 1 + int(dice.random() ** 3 * self.pages), "matching_text": printed}
        if dice.random() < 0.7:
            x, y, w = dice.random() * 400, dice.random() * 760, 10 + dice.random() * 150
            boxes = [{"x": round(x, 2), "y": round(y, 2), "w": round(w, 2), "h": 11.04}]
            if dice.random() < 0.03:  # the text runs over two lines
                boxes.append({"x": 72, "y": round(y + 12.5, 2), "w": round(w / 2, 2), "h": 11.04})
            citation["bounding_boxes"] = boxes
            if dice.random() < 0.8:
                citation["page_dimensions"] = {"width": 612, "height": 792}
        return citation


def _as_printed(dice: Dice, value: Json) -> str:
    if value is True or value is False:
        return "☒" if value else "☐"
    if isinstance(value, str):
        return value[:300]
    return f"{value:,.2f}" if round(value, 2) == value and dice.random() < 0.5 else str(value)
