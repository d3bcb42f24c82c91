from collections import Counter

from benchmarks.suites.demo_video import _twins


def test_every_caption_describes_one_video() -> None:
    videos, asked = _twins(4)
    assert len(videos) == 16
    assert list(asked) == ["captions of two events in order", "captions of motion"]
    for said in asked.values():
        assert said
        for number, caption in said:
            assert [caption.describes(video) for video in videos].count(True) == 1
            assert caption.describes(videos[number])
    order = Counter(number // 2 for number, _ in asked["captions of two events in order"])
    assert all(number < 4 for number in order)
