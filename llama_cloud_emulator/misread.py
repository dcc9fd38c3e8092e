"""Another reading of the same document: what a scanner or a model takes for something that looks like it."""

import re
from collections.abc import Collection, Iterator
from typing import Any

from llama_cloud_emulator.dice import Dice

Json = Any

_DIGITS = {"0": "8", "1": "7", "2": "7", "3": "8", "4": "9", "5": "6", "6": "5", "7": "1", "8": "3", "9": "4"}
_LETTERS = {
    "O": "0",
    "S": "5",
    "B": "8",
    "a": "o",
    "c": "e",
    "e": "c",
    "i": "l",
    "l": "i",
    "n": "u",
    "é": "e",
    "ü": "u",
}
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d(T|$)")


def text(dice: Dice, printed: str, alike: dict[str, str] = _DIGITS | _LETTERS) -> str:
    """The text with one character taken for another; without its last one where no character looks like another."""
    places = [place for place, letter in enumerate(printed) if letter in alike]
    if not places:
        return printed[:-1] or printed
    place = dice.pick(places)
    return printed[:place] + alike[printed[place]] + printed[place + 1 :]


def value(dice: Dice, read: str | int | float) -> str | int | float:
    """Another value of the same type; a date stays one."""
    if not isinstance(read, str):
        return type(read)(text(dice, str(read), _DIGITS))
    if _ISO_DATE.match(read):
        return f"{read[:8]}{int(read[8:10]) % 28 + 1:02d}{read[10:]}"
    return text(dice, read)


def again(dice: Dice, data: Json, fields: Collection[str]) -> Json:
    """Changes some values of these fields, at least one, and nothing else."""
    places = list(_places(data, fields))
    for holder, key in [place for place in places if dice.chance(0.3)] or places[:1]:
        holder[key] = value(dice, holder[key])
    return data


def _places(holder: Json, fields: Collection[str], field: str = "") -> Iterator[tuple[Json, str | int]]:
    """Where a value of these fields stands: an object and its key, or a list and a position."""
    for key, item in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
        name = key if isinstance(key, str) else field
        if isinstance(item, dict | list):
            yield from _places(item, fields, name)
        elif name in fields and item is not None:
            yield holder, key
