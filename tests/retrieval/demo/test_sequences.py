import numpy as np
import pytest

from retrieval.demo.scenes import Motion
from retrieval.demo.sequences import OPPOSITES, ORDERS, caption_order, motion_twins, order_twins


@pytest.mark.parametrize("seed", range(5))
def test_order_twins_differ_in_order_only(seed: int) -> None:
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
def test_motion_twins_have_opposite_motions(seed: int) -> None:
    twins = motion_twins(np.random.default_rng(seed))
    (one, first), (other, second) = twins
    assert (one.events[0].motion, other.events[0].motion) in OPPOSITES
    assert one.events[0].scene == other.events[0].scene
    assert [event.motion for event in (one.events[1], other.events[1])] == [Motion.STILL] * 2
    assert first.describes(one)
    assert not first.describes(other)
    assert second.describes(other)


def test_captions_state_orders_in_both_directions() -> None:
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
