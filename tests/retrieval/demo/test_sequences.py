import numpy as np
import pytest

from retrieval.demo.scenes import Motion
from retrieval.demo.sequences import OPPOSITES, ORDERS, caption_order, motion_twins, order_twins


@pytest.mark.parametrize("seed", range(5))
def test_twins_of_order_show_the_same_and_are_told_apart(seed: int) -> None:
    (one, first), (other, second) = order_twins(np.random.default_rng(seed))
    shown = [(event.scene, event.motion) for event in one.events]
    swapped = [(event.scene, event.motion) for event in other.events]
    assert swapped == [shown[1], shown[0], shown[2]]
    assert one.duration_seconds == other.duration_seconds
    assert first.describes(one)
    assert second.describes(other)
    assert not first.describes(other)
    assert not second.describes(one)
    assert any(
        first.text == form.format(first=first.events[0].text, second=first.events[1].text)
        for form in ORDERS
    )


@pytest.mark.parametrize("seed", range(5))
def test_twins_of_motion_move_in_opposite_ways(seed: int) -> None:
    twins = motion_twins(np.random.default_rng(seed))
    (one, first), (other, second) = twins
    assert (one.events[0].motion, other.events[0].motion) in OPPOSITES
    assert one.events[0].scene == other.events[0].scene
    assert [event.motion for event in (one.events[1], other.events[1])] == [Motion.STILL] * 2
    assert first.describes(one)
    assert not first.describes(other)
    assert second.describes(other)


def test_orders_are_said_both_ways_round() -> None:
    (video, said), _ = order_twins(np.random.default_rng(0))
    texts = {
        caption_order(*said.events, np.random.default_rng(seed)).text.split(said.events[0].text)[0]
        for seed in range(30)
    }
    assert "first " in texts
    assert f"{said.events[1].text} after " in texts
    assert all(
        caption_order(*said.events, np.random.default_rng(s)).describes(video) for s in (1, 2)
    )
