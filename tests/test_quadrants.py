import pytest
import torch

from abcgrpo import Boundaries, clip_events, clip_shares

RATIO = torch.tensor([[1.3, 0.7, 1.1, 1.3], [1.3, 0.7, 0.9, 5.0], [9.0, 0.1, 9.0, 0.1]])
MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1]])


def test_events_by_hand():
    events = clip_events(RATIO, torch.tensor([1.0, -1.0, 0.0]), MASK)
    assert events.q1.nonzero().tolist() == [[0, 0]]
    assert events.q2.nonzero().tolist() == [[0, 1]]
    assert events.q3.nonzero().tolist() == [[1, 1]]
    assert events.q4.nonzero().tolist() == [[1, 0], [1, 3]]
    assert events.counts().tolist() == [1, 1, 1, 2]


def test_thresholds_are_their_own():
    events = clip_events(RATIO, torch.tensor([1.0, -1.0, 0.0]), MASK, at=Boundaries(0.05, 0.5, 1.0, 0.05))
    assert events.counts().tolist() == [2, 0, 2, 1]


def test_a_ratio_of_one_is_no_event():
    assert clip_events(torch.ones(2, 3), torch.tensor([1.0, -1.0]), torch.ones(2, 3)).counts().sum() == 0


def test_steps_without_an_event_are_left_out_of_the_share():
    counts = torch.tensor([[0.0, 0, 0, 0], [1, 0, 0, 3], [0, 0, 2, 2]])
    assert clip_shares(counts) == pytest.approx([0.125, 0, 0.25, 0.625])


def test_no_event_at_all_has_no_share():
    assert clip_shares(torch.zeros(3, 4)) is None
