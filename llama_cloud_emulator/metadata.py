"""Field metadata for made-up data: a tree of confidences, citations and reasons with the shape of the data."""

from typing import Any

from llama_cloud_emulator.dice import Dice

Json = Any

_REASONS = (
    "Stated explicitly in the header of page 1.",
    "Inferred from the table; the column is labelled 'Qty'.",
    "VERBATIM EXTRACTION",
    "The value appears twice; the later one was taken as it is signed.",
)


def tree(dice: Dice, config: dict[str, Json], value: Json) -> Json:
    """The tree with the shape of `value`; None where there is nothing to say."""
    if isinstance(value, dict):
        fields = {}
        for key, item in value.items():
            if item is not None and (branch := tree(dice, config, item)) is not None:
                fields[key] = branch
        if config["use_reasoning"] and "reasoning" not in value and dice.chance(0.25):
            fields["reasoning"] = dice.pick(_REASONS)
        return fields
    if isinstance(value, list):
        # An element without metadata keeps its place: lists pair by position.
        below = [None if item is None else tree(dice, config, item) for item in value]
        return [{} if item is None else item for item in below]
    return _leaf(dice, config, value) if dice.random() < 0.84 else None


def _leaf(dice: Dice, config: dict[str, Json], value: Json) -> Json:
    leaf: dict[str, Json] = {}
    if config["confidence_scores"]:
        extraction = round(1 - dice.random() ** 3 * 0.5, 4)
        parsing = round(1 - dice.random() ** 4 * 0.2, 4)
        leaf["confidence"] = round(extraction * parsing, 4)
        leaf["extraction_confidence"] = extraction
        if dice.random() < 0.5:
            leaf["parsing_confidence"] = parsing
    if config["use_reasoning"] and dice.random() < 0.6:
        leaf["reasoning"] = dice.pick(_REASONS)
    if config["cite_sources"]:
        draw = dice.random()
        leaf["citation"] = [] if draw < 0.02 else [_citation(dice, value)]
        if draw > 0.98:
            leaf["citation"].append(_citation(dice, value))
    return leaf


def _citation(dice: Dice, value: Json) -> Json:
    citation: dict[str, Json] = {"page": 1 + int(dice.random() ** 3 * 4), "matching_text": _as_printed(dice, value)}
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
    return f"{value:,.2f}" if dice.random() < 0.5 else str(value)
