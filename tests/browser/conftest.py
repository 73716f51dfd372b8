"""A real Chromium before the test project's admin, served by a thread of the tests' own process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.test import Client

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
)
WIDTH, HEIGHT = 1280, 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("browser")


def skip_or_fail(reason: str) -> None:
    """Skip on a laptop, fail where CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Return a running Chromium."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        skip_or_fail("The browser tests need Playwright: pip install playwright.")
    program = next((found for name in CHROMIUMS if (found := shutil.which(name))), None)
    if program is None:
        skip_or_fail("The browser tests need a Chromium: apt-get install chromium.")
    # Playwright's event loop runs in this thread, where Django then takes every query for an accident.
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=QUIET)
        yield browser
        browser.close()


class StrictPolicy:
    """Forbids everything that does not come from the server's own files; Django's own middleware where there is one."""

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        response = self.get_response(request)
        response["Content-Security-Policy"] = (
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
        )
        return response


@pytest.fixture
def strict_policy(settings: Any) -> None:
    """Serve every page under a content security policy without inline script; from Django 6 on without inline style."""
    if django.VERSION < (6,):
        settings.MIDDLEWARE = [f"{__name__}.StrictPolicy", *settings.MIDDLEWARE]
        return
    from django.utils.csp import CSP

    settings.MIDDLEWARE = ["django.middleware.csp.ContentSecurityPolicyMiddleware", *settings.MIDDLEWARE]
    # The admin's own few styles carry the nonce, from Django 6.1 on.
    style = [CSP.SELF, CSP.NONCE] if django.VERSION >= (6, 1) else [CSP.SELF, CSP.UNSAFE_INLINE]
    settings.SECURE_CSP = {
        "default-src": [CSP.SELF],
        "script-src": [CSP.SELF, CSP.NONCE] if django.VERSION >= (6, 1) else [CSP.SELF],
        "style-src": style,
        "img-src": [CSP.SELF, "data:"],
    }


@pytest.fixture
def open_page(
    chromium: Any, live_server: Any, strict_policy: None, logpipe_settings: Any
) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a page as somebody who is logged in; whatever the browser complains of fails."""
    logpipe_settings(RELAY="worker")
    contexts: list[Any] = []
    complaints: list[str] = []

    def open_as(user: User, *, colours: str = "light") -> Any:
        context = chromium.new_context(
            base_url=live_server.url, viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=colours
        )
        contexts.append(context)
        client = Client()
        client.force_login(user)
        cookie = django_settings.SESSION_COOKIE_NAME
        context.add_cookies([{"name": cookie, "value": client.cookies[cookie].value, "url": live_server.url}])
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if _is_complaint(message) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: _is_own(request.url, live_server.url) or complaints.append(request.url))
        return page

    yield open_as
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def boss(transactional_db: None) -> User:
    """Return somebody who may do everything."""
    return User.objects.create(username="ann", is_staff=True, is_superuser=True)


def _is_complaint(message: Any) -> bool:
    """A browser asks for an icon that no admin has."""
    return message.type == "error" and "favicon.ico" not in message.location.get("url", "")


def _is_own(url: str, server: str) -> bool:
    return url.startswith((server, "data:"))
