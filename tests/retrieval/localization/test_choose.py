from pathlib import Path

import numpy as np
import pytest

from retrieval.errors import QueryError, SpaceMismatchError, WeightsNotAvailableError
from retrieval.localization import choose
from retrieval.localization.choose import choose_localizers
from retrieval.localization.hammer import CPU_ITEMS, HammerLocalizer
from retrieval.localization.similarity import SimilarityLocalizer
from retrieval.types import Medium, MomentQuery, Space
from support.small_hammer import write_hammer

SPACE = Space("toy-ffffffff", "toy", 16, (Medium.VIDEO,), "f" * 64)
OTHER = Space("toy-00000000", "toy", 16, (Medium.VIDEO,), "0" * 64)


def kinds(name: str, *spaces: Space) -> list[type]:
    localizers = choose_localizers(name, spaces, device="cpu")
    return [type(getattr(each, "localizer", each)) for each in localizers]


def test_auto_selects_bundled_hammer_if_it_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "BUNDLED", tmp_path)
    assert kinds("auto", SPACE) == [SimilarityLocalizer]
    write_hammer(tmp_path)
    assert kinds("auto", OTHER, SPACE) == [HammerLocalizer, SimilarityLocalizer]
    assert kinds("hammer", SPACE) == [HammerLocalizer, SimilarityLocalizer]
    assert kinds("auto", OTHER) == [SimilarityLocalizer]
    assert kinds("similarity", SPACE) == [SimilarityLocalizer]


def test_the_bundled_hammer_is_loaded_when_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "BUNDLED", tmp_path)
    write_hammer(tmp_path)
    hammer, _ = choose_localizers("auto", [SPACE], device="cpu")
    assert "localizer" not in vars(hammer)
    assert hammer.max_items == CPU_ITEMS
    assert hammer.can_answer(MomentQuery(np.ones(16, np.float32), "a"), SPACE, Medium.VIDEO)
    assert not hammer.can_answer(MomentQuery(np.ones(16, np.float32)), SPACE, Medium.VIDEO)


def test_hammer_of_another_space_fails(tmp_path: Path) -> None:
    write_hammer(tmp_path)
    with pytest.raises(SpaceMismatchError, match=r"digest ffffffff, .* has: toy-00000000"):
        choose_localizers(f"hammer:{tmp_path}", [OTHER])


@pytest.mark.parametrize("name", ["anvil", "hammer:", "similarity:x", ""])
def test_unknown_localizer_fails(name: str) -> None:
    with pytest.raises(QueryError, match="expected auto, similarity, hammer"):
        choose_localizers(name, [SPACE])


def test_folder_without_hammer_fails(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotAvailableError, match="is no folder"):
        choose_localizers(f"hammer:{tmp_path / 'none'}", [SPACE])
    with pytest.raises(WeightsNotAvailableError, match=r"config\.json is missing"):
        choose_localizers(f"hammer:{tmp_path}", [SPACE])
