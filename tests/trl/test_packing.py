import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from abcgrpo.trl.resume.packing import load_packed, save_packed

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
nests = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc/", max_size=3), inner, max_size=3)
)


@given(nests)
@settings(max_examples=100)
def test_a_nest_comes_back_as_it_was(tmp_path_factory, value):
    stem = tmp_path_factory.mktemp("packed") / "value"
    save_packed(value, stem)
    assert repr(load_packed(stem)) == repr(value)


def test_tensors_bit_for_bit_and_of_their_own_size(tmp_path):
    whole = torch.tensor([[1.0, math.nan, -0.0], [math.inf, 1e-45, 0.1]])
    value = {"rows": [whole[0], whole[1]], "none": None, "scalar": torch.tensor(3), "half": whole.bfloat16()}
    save_packed(value, tmp_path / "value")
    back = load_packed(tmp_path / "value")
    assert torch.equal(back["rows"][1].view(torch.int32), whole[1].view(torch.int32))
    assert torch.equal(back["rows"][0].view(torch.int32), whole[0].view(torch.int32))
    assert back["scalar"].shape == ()
    assert back["half"].dtype == torch.bfloat16
    assert back["none"] is None


@pytest.mark.parametrize(("value", "message"), [({"a": [object()]}, "/a/0 is a object"), ({1: 2}, "key 1")])
def test_what_cannot_be_kept_is_named(tmp_path, value, message):
    with pytest.raises(TypeError, match=message):
        save_packed(value, tmp_path / "value")
