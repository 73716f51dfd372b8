"""A payload is shown to those who may see it, redacted unless they may see all of it, and each look is written down."""

from __future__ import annotations

import gzip
import json
import pickle

import pytest
from django.test import Client

from logpipe_signals.admin import payloads
from logpipe_signals.models import TrailEntry
from logpipe_signals.models.dead_letters import Side
from tests.unit.admin.conftest import SECRET, Somebody, header, letter, message, shown, url

pytestmark = pytest.mark.django_db(databases=["default", "subscriber"])
VIEW, PAYLOAD, WHOLE = "view_deadletter", "view_payload", "view_unredacted_payload"
BAD = b"json:{\xff not json"


def looks() -> list[tuple[str, str]]:
    return list(TrailEntry.objects.order_by("pk").values_list("who", "action"))


def test_a_payload_is_pretty_and_redacted_and_the_look_is_written_down(somebody: Somebody) -> None:
    row = letter(value=message(), headers=[header("logpipe-identity", "person:12"), header("to", f"<{SECRET}>")])

    text = shown(somebody(VIEW, PAYLOAD), "payload", row.pk)

    assert "&quot;last_name&quot;: &quot;Schmoe&quot;" in text
    assert "person:12" in text
    assert SECRET not in text
    assert looks() == [("somebody", "looked")]


def test_all_of_it_is_for_those_who_may_see_all_of_it(somebody: Somebody) -> None:
    row = letter(value=message())

    text = shown(somebody(VIEW, PAYLOAD, WHOLE), "payload", row.pk, whole="1")

    assert SECRET in text
    assert looks() == [("somebody", "looked_at_all")]


@pytest.mark.parametrize(
    ("permissions", "page", "query"),
    [
        ((VIEW,), "payload", {}),
        ((VIEW, PAYLOAD), "payload", {"whole": "1"}),
        ((VIEW, PAYLOAD), "download", {}),
        ((PAYLOAD, WHOLE), "payload", {}),
        ((PAYLOAD, WHOLE), "download", {}),
    ],
)
def test_a_permission_less_is_a_refusal_and_no_look(
    somebody: Somebody, permissions: tuple[str, ...], page: str, query: dict[str, str]
) -> None:
    row = letter(value=message())
    assert somebody(*permissions).get(url(page, row.pk), query).status_code == 403
    assert looks() == []


def test_what_it_would_take_is_not_offered(somebody: Somebody) -> None:
    row = letter(value=message())
    text = shown(somebody(VIEW), "change", row.pk)
    assert url("payload", row.pk) not in text
    assert url("download", row.pk) not in text
    assert "Can look at payloads" in text


@pytest.mark.parametrize(
    "value",
    [BAD, b"no format at all", message(kind="unheard-of"), b"json:[1]", b"\x00\x01", b"gzip:" + b"x" * 20],
    ids=["undecodable", "no format", "unknown type", "no object", "binary", "no gzip"],
)
def test_what_cannot_be_redacted_is_shown_to_those_only_who_may_see_everything(
    somebody: Somebody, value: bytes
) -> None:
    row = letter(value=value)
    client = somebody(VIEW, PAYLOAD)

    assert "Not shown" in shown(client, "change", row.pk)
    assert client.get(url("payload", row.pk)).status_code == 403


def test_bytes_that_cannot_be_read_are_shown_as_text_and_digits(somebody: Somebody) -> None:
    text = shown(somebody(VIEW, WHOLE), "payload", letter(value=BAD).pk, whole="1")
    assert "json:{\\xff not json" in text
    assert "6a 73 6f 6e 3a 7b ff" in text


def test_the_download_is_the_bytes_as_they_were_read(somebody: Somebody) -> None:
    row = letter(value=BAD)
    response = somebody(VIEW, WHOLE).get(url("download", row.pk))
    assert response.content == BAD
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"].startswith("attachment")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert looks() == [("somebody", "downloaded")]


# --- content is data --------------------------------------------------------------------------------------------------


def test_script_in_a_message_a_header_a_key_or_an_error_is_text(admin: Client) -> None:
    script = "<script>alert(1)</script>"
    row = letter(
        value=message(first_name=script, **{script: script}),
        key=script.encode(),
        identity=script,
        topic=script,
        error=script,
        traceback=script,
        reason=script,
        headers=[header(script, script)],
    )
    known = letter(value=message(first_name=script), headers=[header(script, script)])
    pages = [shown(admin, "changelist"), shown(admin, "change", row.pk), shown(admin, "payload", known.pk)]
    pages += [shown(admin, "payload", row.pk, whole="1"), shown(admin, "changelist", model="overview")]

    for text in pages:
        assert "<script>alert" not in text


class Bomb:
    """Would raise where it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('read')",)


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_a_pickle_is_never_read_here(admin: Client, logpipe_settings: object, allowed: bool, packed: bool) -> None:
    logpipe_settings(ALLOW_INCOMING_PICKLE=allowed)  # type: ignore[operator]
    value = b"pickle:" + pickle.dumps(Bomb())
    row = letter(value=b"gzip:" + gzip.compress(value) if packed else value)

    assert "It is a pickle" in shown(admin, "change", row.pk)
    assert "It is a pickle" in shown(admin, "payload", row.pk, whole="1")


def test_a_message_that_unpacks_to_gigabytes_is_not_unpacked(admin: Client) -> None:
    row = letter(value=b"gzip:" + gzip.compress(b"json:" + b" " * 20_000_000))
    assert "unpacks to more than" in shown(admin, "change", row.pk)


def test_a_large_payload_is_cut_on_the_page_and_whole_in_the_download(admin: Client) -> None:
    value = message(first_name="x" * 200_000)
    row = letter(value=value)

    page = shown(admin, "payload", row.pk)

    assert len(page) < 2 * payloads.LONGEST_SHOWN
    assert "The download has all of it" in page
    assert admin.get(url("download", row.pk)).content == value


def test_a_payload_too_large_to_be_read_is_told_by_its_size(admin: Client) -> None:
    row = letter(value=message(first_name="x" * 5_000_000))
    text = shown(admin, "payload", row.pk, whole="1")
    assert "too large to be read here" in text
    assert len(text) < 4 * payloads.LONGEST_SHOWN


def test_json_as_deep_as_it_gets_is_no_server_error(admin: Client) -> None:
    deep = b'json:{"type":"person","version":1,"message":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}"
    deeper = deep.replace(b'{"a":', b'{"a":' * 200).replace(b"}", b"}" * 200)
    for value in (deep, deeper):
        assert admin.get(url("change", letter(value=value).pk)).status_code == 200
        assert admin.get(url("payload", letter(value=value).pk), {"whole": "1"}).status_code == 200


# --- a publisher's ----------------------------------------------------------------------------------------------------


def test_what_capture_kept_is_redacted_too(somebody: Somebody) -> None:
    kept = json.dumps({"person/1": {"first_name": "Joe", "email": SECRET}, "!error": f"{SECRET} is no address"})
    row = letter(side=Side.PUBLISHER, publication="people.person:people", value=message(), payload=kept.encode())

    text = shown(somebody(VIEW, PAYLOAD), "payload", row.pk)

    assert "person/1" in text
    assert SECRET not in text


def test_a_tombstone_says_that_it_is_one(admin: Client) -> None:
    assert "tombstone" in shown(admin, "payload", letter(value=None).pk)
