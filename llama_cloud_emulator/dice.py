"""Random values that a seed decides."""

import random
from collections.abc import Sequence
from datetime import date
from typing import TypeVar

T = TypeVar("T")


class Dice(random.Random):
    """Random values that are the same under every Python version: all of them derive from `random()`."""

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.random() * len(options))]

    def upto(self, low: int, high: int) -> int:
        return low + int(self.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        return self.random() < probability

    def digits(self, count: int) -> str:
        return f"{int(self.random() * 10**count):0{count}d}"

    def uuid(self) -> str:
        text = f"{int(self.random() * 2**52):013x}{int(self.random() * 2**52):013x}{int(self.random() * 2**24):06x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[int(text[16], 16) % 4]}{text[17:20]}-{text[20:]}"

    def day(self) -> date:
        return date.fromordinal(self.upto(738886, 739555))  # 2024-01-01 to 2025-10-31

    def money(self, high: float) -> int | float:
        # A model writes 1200 as often as 1200.00, so the first amounts of a column may all be integers.
        amount = self.random() * high
        return int(amount) if self.random() < 0.2 else round(amount, 2)
