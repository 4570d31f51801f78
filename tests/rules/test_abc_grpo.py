import json
import math
from dataclasses import FrozenInstanceError

import pytest

from abcgrpo import Boundaries

INF = math.inf


def test_named_settings():
    assert Boundaries() == Boundaries.uniform(0.2) == Boundaries(0.2, 0.2, 0.2, 0.2)
    assert Boundaries.grpo(0.1) == Boundaries(0.1, INF, INF, 0.1)
    assert Boundaries.clip_higher(0.2, 0.28) == Boundaries(0.28, INF, INF, 0.2)
    assert Boundaries.dual_clip(0.2, c=3) == Boundaries(0.2, INF, 2.0, 0.2)
    assert Boundaries.two_sided(0.2, delta=4) == Boundaries(0.2, INF, 3.0, 0.2)


@pytest.mark.parametrize("name", ["eps_pos_high", "eps_pos_low", "eps_neg_high", "eps_neg_low"])
@pytest.mark.parametrize("value", [-0.1, math.nan, -INF, "much", None, True])
def test_a_bad_threshold_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        Boundaries(**{name: value})


def test_the_words_of_a_file_are_numbers():
    assert Boundaries(eps_pos_high="inf", eps_neg_low="0.1") == Boundaries(eps_pos_high=INF, eps_neg_low=0.1)


def test_json_has_no_infinity():
    text = json.dumps(Boundaries.grpo().parameters(), allow_nan=False)
    assert Boundaries(**json.loads(text)) == Boundaries.grpo()


def test_rules_exclude_bounds_inside_the_trust_region():
    with pytest.raises(ValueError, match="c must"):
        Boundaries.dual_clip(0.2, c=1)
    with pytest.raises(ValueError, match="delta must"):
        Boundaries.two_sided(0.2, delta=1.2)


def test_frozen():
    with pytest.raises(FrozenInstanceError):
        Boundaries().eps_pos_high = 1.0
