"""The egress guard: every spelling of a closed address is refused before anybody connects."""

# ruff: noqa: RUF001 - deceitful look-alikes are the point here

from ipaddress import ip_address, ip_network

import pytest

from config.settings import Settings
from jobs.egress import EgressRefusedError, Policy, check_url, resolve

PUBLIC = Policy()
LOCAL = Policy.from_settings(Settings(egress_allow=("127.0.0.1/32:9000", "10.0.0.0/8", "[fd00::/8]:8080")))

CLOSED_LITERALS = [
    "127.0.0.1",
    "127.0.0.1.",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "api.localhost",
    "0.0.0.0",
    "0",
    "127.1",
    "127.0.1",
    "2130706433",
    "0177.0.0.1",
    "017700000001",
    "0x7f000001",
    "0x7F.1",
    "0x7f.0.0.0x1",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::169.254.169.254]",
    "[64:ff9b:1::808:808]",
    "[2002:7f00:1::]",
    "[2001:0:808:808::1]",
    "[2001:db8::1]",
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "169.254.169.254",
    "[fd00:ec2::254]",
    "100.64.0.1",
    "100.127.255.255",
    "[fc00::1]",
    "[fdff::1]",
    "[fe80::1]",
    "[fe80::1%eth0]",
    "[fe80::1%25eth0]",
    "[fec0::1]",
    "[ff02::1]",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "１２７.０.０.１",
    "127。0。0。1",
    "①②⑦.⓪.⓪.①",
    "ｌｏｃａｌｈｏｓｔ",
    "[::ffff:10.0.0.1]",
]

MALFORMED = [
    "",
    "http",
    "http:",
    "http://",
    "http:///path",
    "http:/127.0.0.1/",
    "//example.com/",
    "example.com",
    "file:///etc/passwd",
    "ftp://example.com/",
    "gopher://example.com/",
    "data:image/png;base64,AAAA",
    "dict://example.com:11211/",
    "javascript:alert(1)",
    "http://good@127.0.0.1/",
    "http://user:secret@example.com/",
    "http://@example.com/",
    "http://example.com@127.0.0.1/",
    "http://example.com\\@127.0.0.1/",
    "http://127.0.0.1\\.example.com/",
    "http://example.com /",
    " http://example.com/",
    "http://example.com/a b",
    "http://example.com/\r\nHost: evil",
    "http://exa\tmple.com/",
    "http://example.com\x00/",
    "http://example.com\xa0/",
    "http://example.com:99999/",
    "http://example.com:abc/",
    "http://example.com:80:80/",
    "http://example.com:-80/",
    "http://example.com:８０/",
    "http://exa%6dple.com/",
    "http://127.0.0.1%2f.example.com/",
    "http://.example.com/",
    "http://example..com/",
    "http://example.com../",
    "http://-example.com/",
    "http://256.256.256.256/",
    "http://1.2.3.4.5/",
    "http://08.8.8.8/",
    "http://8.8.8.8.0x/x",
    "http://4294967296/",
    "http://0x100000000/",
    "http://[::1/",
    "http://[::1]x/",
    "http://[127.0.0.1]/",
    "http://[::g]/",
    "http://" + "a" * 64 + ".com/",
    "http://" + "a." * 130 + "com/",
    "http://example.com/" + "a" * 2048,
    "http://example.com/\ud800",
    "http://\ud800.com/",
]


@pytest.mark.parametrize("host", CLOSED_LITERALS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_closed_address_is_refused_in_every_spelling(scheme: str, host: str) -> None:
    with pytest.raises(EgressRefusedError):
        check_url(f"{scheme}://{host}/photo.jpg", PUBLIC)


@pytest.mark.parametrize("url", MALFORMED)
def test_a_malformed_or_deceitful_url_is_refused(url: str) -> None:
    with pytest.raises(EgressRefusedError):
        check_url(url, PUBLIC)


@pytest.mark.parametrize("port", [0, 1, 22, 25, 6379, 5432, 8080, 65535])
def test_other_ports_are_refused(port: int) -> None:
    with pytest.raises(EgressRefusedError, match=f"Port {port} "):
        check_url(f"http://example.com:{port}/", PUBLIC)


def test_ports_are_a_setting() -> None:
    policy = Policy.from_settings(Settings(egress_ports=(443, 8443)))
    assert check_url("https://example.com:8443/", policy).port == 8443
    with pytest.raises(EgressRefusedError):
        check_url("http://example.com/", policy)


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("http://example.com", "http://example.com/"),
        ("HTTPS://Example.COM./A?b=C%20d#frag", "https://example.com/A?b=C%20d"),
        ("https://example.com:443/x", "https://example.com/x"),
        ("http://example.com:443/x", "http://example.com:443/x"),
        ("http://example.com:/x", "http://example.com/x"),
        ("http://example.com?x=1", "http://example.com/?x=1"),
        ("http://bücher.example/ü?ü", "http://xn--bcher-kva.example/%C3%BC?%C3%BC"),
        ("http://8.8.8.8/", "http://8.8.8.8/"),
        ("http://134744072/", "http://8.8.8.8/"),
        ("http://[2606:4700:4700:0::1111]/", "http://[2606:4700:4700::1111]/"),
        ("http://good.example#@127.0.0.1/", "http://good.example/"),
        ("http://good.example/?u=a@b", "http://good.example/?u=a@b"),
        ("http://under_score.example/", "http://under_score.example/"),
    ],
)
def test_a_public_url_passes_in_one_spelling(url: str, canonical: str) -> None:
    assert check_url(url, PUBLIC).url == canonical


def test_the_checked_url_carries_host_header_and_target() -> None:
    checked = check_url("http://[2606:4700::1]:443/a?b#c", PUBLIC)
    assert (checked.authority, checked.target) == ("[2606:4700::1]:443", "/a?b")
    assert checked.literal == ip_address("2606:4700::1")


@pytest.mark.parametrize(
    "closed", ["127.0.0.1", "10.0.0.1", "::1", "fe80::1%eth0", "::ffff:10.0.0.1", "64:ff9b::a00:1"]
)
def test_a_name_with_a_closed_answer_is_refused(closed: str) -> None:
    checked = check_url("http://127.0.0.1.nip.io/", PUBLIC)
    with pytest.raises(EgressRefusedError):
        resolve(checked, lambda _: [closed], PUBLIC)
    with pytest.raises(EgressRefusedError):
        resolve(checked, lambda _: ["8.8.8.8", closed], PUBLIC)


def test_no_answer_reads_like_a_closed_one() -> None:
    checked = check_url("http://internal.example/", PUBLIC)
    texts = []
    for answers in ([], ["10.0.0.1"]):
        with pytest.raises(EgressRefusedError) as refused:
            resolve(checked, lambda _, found=answers: found, PUBLIC)
        texts.append(str(refused.value))
    assert texts[0] == texts[1]


def test_public_answers_come_back_once_each_as_they_will_be_called() -> None:
    checked = check_url("http://example.com/", PUBLIC)
    answers = ["8.8.8.8", "::ffff:8.8.8.8", "8.8.8.8", "2606:4700::1", "64:ff9b::808:808"]
    assert [str(a) for a in resolve(checked, lambda _: answers, PUBLIC)] == [
        "8.8.8.8",
        "2606:4700::1",
        "64:ff9b::808:808",
    ]


def test_a_literal_needs_no_resolver() -> None:
    def resolver(host: str) -> list[str]:
        raise AssertionError(host)

    assert resolve(check_url("http://8.8.8.8/", PUBLIC), resolver, PUBLIC) == (ip_address("8.8.8.8"),)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9000/",
        "http://localhost:9000/",
        "http://0x7f000001:9000/",
        "http://[::ffff:127.0.0.1]:9000/",
        "http://10.1.2.3/",
        "https://10.1.2.3/",
        "http://[fd00::1]:8080/",
    ],
)
def test_the_allow_list_opens_networks_and_ports(url: str) -> None:
    assert resolve(check_url(url, LOCAL), lambda _: [], LOCAL)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",  # another port of an allowed address
        "http://127.0.0.1:8080/",
        "http://127.0.0.2:9000/",
        "http://10.1.2.3:9000/",  # a network without a port opens the usual ports only
        "http://11.0.0.1:9000/",
        "http://8.8.8.8:9000/",  # public, on a port that is open for another address
        "http://[fd00::1]/",
        "http://[::1]:9000/",
        "http://192.168.0.1/",
    ],
)
def test_the_allow_list_opens_nothing_else(url: str) -> None:
    with pytest.raises(EgressRefusedError):
        check_url(url, LOCAL)


def test_a_name_is_held_to_the_allow_list() -> None:
    checked = check_url("http://catalog.internal:9000/", LOCAL)
    assert resolve(checked, lambda _: ["127.0.0.1"], LOCAL) == (ip_address("127.0.0.1"),)
    for answers in (["10.0.0.1"], ["8.8.8.8"], ["127.0.0.1", "8.8.8.8"]):
        with pytest.raises(EgressRefusedError):
            resolve(checked, lambda _, found=answers: found, LOCAL)


def test_an_allowed_network_may_be_public_on_another_port() -> None:
    policy = Policy(allow=((ip_network("8.8.8.0/24"), 8443),))
    assert check_url("https://8.8.8.8:8443/", policy)
    with pytest.raises(EgressRefusedError):
        check_url("https://9.9.9.9:8443/", policy)
