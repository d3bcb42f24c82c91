"""The rules for host, origin, fetch metadata, method and token; one test for each."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from retrieval.serving.access import Access
from retrieval.serving.guard import SECURITY_HEADERS, Guard
from support.served_toys import HOST, PORT

CSP = (
    "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
BEARER = {"authorization": "Bearer programs' token"}
NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


async def routes(scope, receive, send) -> None:
    """Answer every request that the guard lets through with its path."""
    headers = [(b"content-type", b"text/plain"), (b"content-security-policy", b"none")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


def client(access: Access | None = None, host: str = HOST, **headers: str) -> TestClient:
    guard = Guard(routes, access or Access(PORT, bearer="programs' token"))
    return TestClient(guard, f"http://{host}", headers=headers, follow_redirects=False)


def without_token(**changes) -> Access:
    return Access(PORT, session=None, **changes)


def cookie_of(access: Access) -> str:
    return access.cookie.partition(";")[0]


@pytest.mark.parametrize("host", [HOST, "localhost:1", "[::1]:8000", "127.0.0.1", "LocalHost"])
def test_names_of_this_machine_are_answered(host: str) -> None:
    assert client(without_token()).get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        f"evil.example:{PORT}",
        "127.0.0.1.evil.example",
        "localhost.",
        "",
        "[::1]evil.example",
        "[::1].evil.example",
        "127.0.0.1@evil.example",
        "127.0.0.1, evil.example",
        "127.0.0.1:80@evil.example",
        "127.0.0.1/evil.example",
        "evil.example#127.0.0.1",
    ],
)
def test_fault_35_a_foreign_host_is_refused(host: str) -> None:
    answer = client(**BEARER).get("/", headers={"host": host})
    assert (answer.status_code, answer.headers["x-content-type-options"]) == (403, "nosniff")


def test_a_named_host_is_answered() -> None:
    access = without_token(names=frozenset({"photos.example.org"}))
    assert client(access).get("/", headers={"host": "photos.example.org"}).status_code == 200
    assert client(access).get("/", headers={"host": "other.example.org"}).status_code == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", f"http://localhost:{PORT}", "http://127.0.0.1:1"]
)
def test_fault_35_a_foreign_origin_is_refused(origin: str) -> None:
    for method in ("GET", "POST"):
        answer = client(**BEARER).request(method, "/api/search", headers={"origin": origin})
        assert answer.status_code == 403


def test_the_own_origin_is_answered() -> None:
    answer = client(**BEARER).post("/api/search", headers={"origin": f"http://{HOST}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "unknown"])
def test_fault_35_requests_of_other_sites_are_refused(site: str) -> None:
    answer = client(**BEARER).get("/api/search", headers={"sec-fetch-site": site})
    assert answer.status_code == 403


@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_requests_of_the_page_are_answered(site: str) -> None:
    headers = {"sec-fetch-site": site}
    assert client(**BEARER).get("/api/search", headers=headers).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_link_on_another_site_opens_the_page_only(site: str) -> None:
    headers = {"sec-fetch-site": site, **NAVIGATION}
    access = without_token()
    assert client(access).get("/?q=dog", headers=headers).status_code == 200
    assert client(access).get("/media/c/1", headers=headers).status_code == 403
    assert client(access).post("/", headers=headers).status_code == 403
    framed = headers | {"sec-fetch-dest": "iframe"}
    assert client(access).get("/", headers=framed).status_code == 403


@pytest.mark.parametrize(
    "path",
    ["/api/search", "/media/c/1", "/thumbnails/c/1", "/health", "/metrics", "/openapi.json", "/x"],
)
def test_fault_33_every_route_needs_a_token(path: str) -> None:
    answer = client().get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "token is needed" in answer.json()["error"]


@pytest.mark.parametrize(
    "value", ["Bearer wrong", "Bearer ", "Basic programs' token", "programs' token", "Bearer é"]
)
def test_fault_33_a_wrong_token_is_refused(value: str) -> None:
    header = {"authorization": value.encode("latin-1")}
    assert client().get("/health", headers=header).status_code == 401


def test_the_token_of_programs_is_answered() -> None:
    assert client(**BEARER).get("/health").text == "/health"


def test_fault_33_the_printed_address_works_once() -> None:
    access = Access(PORT)
    token = access.one_time_token()
    first = client(access).get(f"/?token={token}")
    assert (first.status_code, first.headers["location"]) == (303, "/")
    assert token not in str(first.headers)
    assert client(access).get(f"/?token={token}").status_code == 401


def test_a_second_visit_with_the_cookie_goes_to_the_page() -> None:
    access = Access(PORT)
    answer = client(access, cookie=cookie_of(access)).get("/?token=used")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "set-cookie" not in answer.headers


def test_the_cookie_is_closed_to_scripts_and_other_sites_and_names_the_port() -> None:
    access = Access(PORT)
    answer = client(access).get(f"/?token={access.one_time_token()}")
    name, _, rest = answer.headers["set-cookie"].partition("=")
    assert name == f"retrieval-{PORT}"
    assert rest.split("; ")[1:] == ["Path=/", "HttpOnly", "SameSite=Strict"]
    assert len(rest.split(";")[0]) >= 43


def test_the_cookie_opens_every_route_of_its_port() -> None:
    access = Access(PORT)
    cookie = cookie_of(access)
    assert client(access, cookie=cookie).get("/media/c/1").status_code == 200
    other = cookie.replace(str(PORT), str(PORT + 1))
    assert client(access, cookie=other).get("/media/c/1").status_code == 401


def test_fault_33_a_token_in_the_address_opens_the_page_only() -> None:
    access = Access(PORT, bearer="programs' token")
    token = access.one_time_token()
    assert client(access).get(f"/api/search?token={token}").status_code == 401
    assert client(access).head(f"/?token={token}").status_code == 401
    assert client(access).get("/?token=programs' token").status_code == 401
    assert client(access).get(f"/?token={token}").status_code == 303


def test_a_browser_without_a_session_gets_a_page_that_keeps_the_search() -> None:
    answer = client().get("/?q=a+dog&token=x&where=<script>", headers=NAVIGATION)
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("text/html")
    assert 'href="/?q=a+dog&amp;where=%3Cscript%3E' in answer.text
    assert "<script" not in answer.text


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
def test_fault_35_other_methods_are_refused(method: str) -> None:
    answer = client(**BEARER).request(method, "/api/search")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")


@pytest.mark.parametrize("status_of", ["/", "/nothing"])
def test_fault_35_there_is_no_cors(status_of: str) -> None:
    headers = {"origin": f"http://{HOST}", "access-control-request-method": "POST"}
    for method in ("GET", "OPTIONS"):
        answer = client(**BEARER).request(method, status_of, headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_fault_36_every_response_has_the_security_headers() -> None:
    answers = [
        client(**BEARER).get("/"),
        client().get("/"),
        client(host="evil.example").get("/"),
        client(**BEARER).put("/"),
    ]
    assert [answer.status_code for answer in answers] == [200, 401, 403, 405]
    for answer in answers:
        assert answer.headers.get_list("content-security-policy") == [CSP]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert set(SECURITY_HEADERS) <= set(answer.headers)


def test_a_long_address_is_refused() -> None:
    answer = client(**BEARER).get(f"/api/search?q={'a' * 40_000}")
    assert answer.status_code == 414


@pytest.mark.parametrize("sent", ["/photos/api/search", "/api/search"])
def test_the_root_path_may_be_sent_or_removed_by_the_proxy(sent: str) -> None:
    access = Access(PORT, bearer="programs' token", root_path="/photos")
    assert client(access, **BEARER).get(sent).text == "/api/search"


@pytest.mark.parametrize(("query", "expected"), [("", "/photos/"), ("?q=a+b", "/photos/?q=a+b")])
def test_the_root_path_without_a_slash_leads_to_the_page(query: str, expected: str) -> None:
    access = without_token(root_path="/photos")
    answer = client(access).get(f"/photos{query}")
    assert (answer.status_code, answer.headers["location"]) == (303, expected)
    assert client(Access(PORT, root_path="/photos")).get("/photos").status_code == 401


def test_the_root_path_is_in_the_cookie_and_in_redirects() -> None:
    access = Access(PORT, root_path="/photos")
    answer = client(access).get(f"/photos/?token={access.one_time_token()}")
    assert answer.headers["location"] == "/photos/"
    assert "Path=/photos;" in answer.headers["set-cookie"]


def test_a_websocket_is_refused() -> None:
    from starlette.websockets import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect), client(**BEARER).websocket_connect("/"):
        pass
