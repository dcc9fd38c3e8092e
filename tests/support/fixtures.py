"""Fixtures of the folders whose tests begin with an empty LlamaCloud."""

from collections.abc import Callable, Iterator

import pytest

from llama_cloud_emulator import Emulator
from support.agents import Agent
from support.warehouse import Warehouse


@pytest.fixture
def cloud() -> Iterator[Emulator]:
    """A LlamaCloud with nothing but the default agent."""
    with Emulator(runs=0, corpus="invoices") as emulator:
        emulator.delete_agent(emulator.agents()[0]["id"])
        yield emulator


@pytest.fixture
def letters(cloud: Emulator) -> Agent:
    return Agent(cloud)


@pytest.fixture
def house(cloud: Emulator, warehouse: Callable[[Emulator], Warehouse]) -> Warehouse:
    return warehouse(cloud)


@pytest.fixture
def elsewhere(warehouse: Callable[[Emulator], Warehouse]) -> Callable[[Warehouse], Warehouse]:
    """Gives a warehouse to a machine that has never loaded into it."""

    def move(house: Warehouse) -> Warehouse:
        house.pipeline.drop()
        return warehouse(house.cloud)

    return move
