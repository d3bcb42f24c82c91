"""Messages for each cause of failure, and retries."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.encoders.hub.fetch import fetch
from retrieval.errors import WeightsNotAvailableError
from support.hub.client import use
from support.hub.faults import Fault
from support.hub.repository import Repository
from support.hub.server import Hub, serve

REPO, SPEC = "maker/small-clap", "clap:maker/small-clap"


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the seconds of sleeps without sleeping."""
    seconds: list[float] = []
    monkeypatch.setattr("time.sleep", seconds.append)
    return seconds


@pytest.fixture
def hub(
    small_clap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> Iterator[Hub]:
    with serve(Hub({REPO: Repository.from_folder(small_clap)})) as running:
        use(running, tmp_path / "cache", monkeypatch)
        yield running


def message(model: str = SPEC) -> str:
    with pytest.raises(WeightsNotAvailableError) as caught:
        fetch(model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_invalid_token_is_named_and_fetching_works_without_it(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_valid"
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "the hub refuses the access token; set HF_TOKEN to a valid one" in message()
    monkeypatch.setenv("HF_TOKEN", "hf_valid")
    assert fetch(SPEC)
    monkeypatch.delenv("HF_TOKEN")
    assert fetch(SPEC)


def test_a_gated_repository_names_the_page_to_accept_at(hub: Hub) -> None:
    repository = hub.repositories[REPO]
    repository.gated = True
    assert f"gated; accept its terms at {hub.endpoint}/{REPO}, then set HF_TOKEN" in message()


def test_a_private_repository_is_missing_without_a_token(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories[REPO].private = True
    hub.token = "hf_valid"
    assert "the hub has no such model, or it is private; check the name" in message()
    monkeypatch.setenv("HF_TOKEN", "hf_valid")
    assert fetch(SPEC)


def test_a_rate_limit_is_waited_for(hub: Hub, slept: list[float]) -> None:
    hub.faults = [Fault("/api/*", "429", times=1, retry_after=7)]
    assert fetch(SPEC)
    assert slept == [7.0]


def test_a_persistent_rate_limit_is_reported(hub: Hub, slept: list[float]) -> None:
    hub.faults = [Fault("/api/*", "429", retry_after=7)]
    assert "limits the rate of requests; try again in 7 s" in message()
    assert slept == [7.0]


def test_a_long_rate_limit_is_reported_at_once(hub: Hub, slept: list[float]) -> None:
    hub.faults = [Fault("/api/*", "429", retry_after=3_600)]
    assert "try again in 3600 s" in message()
    assert slept == []


@pytest.mark.parametrize("status", ["500", "503"])
def test_a_failing_server_is_tried_three_times(hub: Hub, slept: list[float], status: str) -> None:
    hub.faults = [Fault("/api/*", status, times=2)]
    assert fetch(SPEC)
    assert slept == [1.0, 2.0]
    hub.requests.clear()
    hub.faults = [Fault("/api/*", status)]
    assert f"the hub's server failed 3 times (status {status}); try again later" in message()
    assert len(hub.paths("GET")) == 3


def test_denied_access_is_named(hub: Hub) -> None:
    hub.faults = [Fault("/api/*", "403")]
    assert "the hub denies access (status 403)" in message()


def test_a_login_page_and_an_absent_network_have_different_messages(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.faults = [Fault("*", "html")]
    assert f"{hub.endpoint} responds, but not as a model hub" in message()
    use("http://127.0.0.1:9", tmp_path / "other", monkeypatch)  # a closed port
    assert "http://127.0.0.1:9 cannot be reached" in message()


def test_a_web_page_instead_of_a_file_fails(hub: Hub, tmp_path: Path) -> None:
    hub.faults = [Fault("*/model.safetensors", "html", method="GET")]
    with pytest.raises(Exception, match="small-clap") as caught:
        fetch(SPEC)
    assert "\n" not in str(caught.value)
    hub.faults.clear()
    assert fetch(SPEC)
