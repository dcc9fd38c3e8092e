"""Row keys: the same for the same place on every load, and others everywhere else."""

import numpy as np

from llama_extract_dlt.tables.row_keys import Keys, child_keys, encode, run_keys


def test_keys_never_change():
    """Whoever saved a reference to a row finds it after a reload, with any later version of the source."""
    keys = child_keys(run_keys(["run-1", "run-2"]), ("data",))
    assert encode(keys).to_pylist() == ["Vg1nSsuDgl5g", "IFRnbN0TDRas"]


def test_each_place_has_another_key():
    runs = run_keys([f"run-{number}" for number in range(50)])
    above = runs.take(np.repeat(np.arange(50), 20))
    index = np.tile(np.arange(20), 50)
    steps = [("data",), ("items",), ("items", "tags"), ("",)]
    made = [runs, *(child_keys(above, step, index) for step in steps)]
    made.append(child_keys(child_keys(above, ("data",), index), ("data",), index))
    ids = encode(Keys.concat(made)).to_pylist()
    assert len(set(ids)) == len(ids) == 50 + 5 * 1000
    assert {len(one) for one in ids} == {12}


def test_a_key_depends_on_its_own_row_alone():
    both, one = run_keys(["a", "b"]), run_keys(["b"])
    places = np.array([1])
    assert encode(child_keys(both, ("x",), 3).take(places)) == encode(child_keys(one, ("x",), 3))
