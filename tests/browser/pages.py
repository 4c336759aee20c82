"""Opens the documentation pages, /redoc and /docs, in a Chromium and uses them as a person would.

Run by `make browser`. TENANTRY_URL is the server, CHROMIUM the browser's path. Both pages are other
people's scripts under our Content-Security-Policy: a new version of either may ask for a script, a
font or a host that the policy refuses, and then the page is broken while the server answers 200.
"""

import json
import os
import unittest
import urllib.request
import uuid
from collections.abc import Sequence

from playwright.sync_api import ConsoleMessage, Locator, Page, expect, sync_playwright

URL = os.environ["TENANTRY_URL"]
CHROMIUM = os.environ["CHROMIUM"]
CHROMIUM_ARGUMENTS = (
    # Chromium's sandbox starts neither for root nor in most containers; the pages are our own.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PASSWORD = "a fine password"

# The pages are scripts of more than a megabyte; a busy machine takes its time to run them.
expect.set_options(timeout=30_000)

# The server is on this machine, whatever proxy the environment names.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(path: str, body: dict | None = None) -> dict:
    """Calls the API without a browser: GET, or POST when there is a body. An error status raises."""
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(URL + path, data, {"Content-Type": "application/json"})
    with _DIRECT.open(request, timeout=30) as answer:
        return json.load(answer)


def documented_operations() -> list[list[str]]:
    """The method, the path and the summary of everything that /openapi.json has."""
    paths = call("/openapi.json")["paths"]
    return sorted(
        [method.upper(), path, operation["summary"]]
        for path, operations in paths.items()
        for method, operation in operations.items()
    )


def new_organization() -> tuple[str, str]:
    """An organization that no other test knows: its name, and the email of its admin."""
    name = f"browser-{uuid.uuid4().hex[:12]}"
    email = f"{name}@example.com"
    call("/org/create", {"organization_name": name, "email": email, "password": PASSWORD})
    return name, email


class DocumentationPage(unittest.TestCase):
    """A page in a fresh profile that remembers what it requested and what it complained about."""

    def setUp(self) -> None:
        playwright = self.enterContext(sync_playwright())
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        self.addCleanup(browser.close)
        context = browser.new_context(viewport={"width": 1400, "height": 1000})
        self.requested: set[str] = set()
        self.complaints: list[str] = []
        # Of the context, not of the page: what the page's workers request counts too.
        context.on("request", lambda request: self.requested.add(request.url))
        context.on("requestfailed", lambda request: self.complaints.append(f"{request.url}: {request.failure}"))
        context.on("weberror", lambda error: self.complaints.append(f"uncaught: {error.error}"))
        context.on("console", self._hear)
        self.page: Page = context.new_page()

    def _hear(self, message: ConsoleMessage) -> None:
        # "verbose" are the browser's own hints to authors, which it shows nobody who did not ask for them.
        if message.type != "verbose":
            self.complaints.append(f"{message.type}: {message.text} ({message.location['url']})")

    def assert_shows_all(self, operations: Locator, parts: Sequence[str]) -> None:
        """These elements are the documented operations; `parts` find the method, path and summary in each."""
        documented = documented_operations()
        visible = operations.filter(visible=True)
        expect(visible).to_have_count(len(documented))
        read = "(all, parts) => all.map(each => parts.map(part => each.querySelector(part).innerText.trim()))"
        self.assertEqual(documented, sorted(visible.evaluate_all(read, parts)))

    def assert_quiet_and_self_contained(self) -> None:
        """Nothing went wrong that a browser tells in its console, and no other host was asked for anything."""
        self.page.wait_for_load_state("networkidle")
        self.assertEqual([], self.complaints)
        self.assertIn(f"{URL}/openapi.json", self.requested)
        ours = (f"{URL}/", f"blob:{URL}/", "data:")
        self.assertEqual([], sorted(url for url in self.requested if not url.startswith(ours)))


class Redoc(DocumentationPage):
    def setUp(self) -> None:
        super().setUp()
        self.page.goto(f"{URL}/redoc")

    def test_every_operation_is_shown(self) -> None:
        operations = self.page.locator("[data-section-id^='operation/']")
        self.assert_shows_all(operations, (".http-verb", ".http-verb + span", "h2"))
        self.assert_quiet_and_self_contained()

    def test_the_search_finds_an_operation_by_a_word_of_its_summary(self) -> None:
        self.page.get_by_role("textbox", name="Search").fill("rename")
        results = self.page.locator("[data-role='search:results']").get_by_role("menuitem")
        found = results.filter(has_text="Rename an organization")
        expect(found).to_have_count(1)
        found.click()
        expect(self.page.get_by_role("heading", name="Rename an organization")).to_be_in_viewport()
        self.assert_quiet_and_self_contained()


class SwaggerUi(DocumentationPage):
    def setUp(self) -> None:
        super().setUp()
        self.page.goto(f"{URL}/docs")

    def open(self, operation_id: str) -> Locator:
        """Unfolds one operation."""
        operation = self.page.locator(f".opblock[id$='-{operation_id}']")
        operation.locator(".opblock-summary-control").click()
        return operation

    def log_in(self, email: str) -> None:
        """Fills in the form behind "Authorize", as far as the OAuth2 password flow needs it."""
        self.page.get_by_role("button", name="Authorize", exact=True).click()
        flow = self.page.locator(".auth-container", has_text="OAuth2, password")
        flow.get_by_label("username:").fill(email)
        flow.get_by_label("password:").fill(PASSWORD)
        flow.get_by_role("button", name="Apply given OAuth2 credentials").click()
        expect(flow).to_contain_text("Authorized")
        flow.get_by_role("button", name="Close").click()

    def execute(self, operation: Locator) -> tuple[str, dict]:
        """Presses "Execute" and reads the status and the body that the page then shows."""
        operation.get_by_role("button", name="Execute").click()
        answer = operation.locator(".live-responses-table .response")
        body = answer.locator("code")
        expect(body).to_be_visible()
        return answer.locator(".response-col_status").inner_text(), json.loads(body.inner_text())

    def test_every_operation_is_shown_and_unfolds(self) -> None:
        operations = self.page.locator(".opblock")
        self.assert_shows_all(operations, [f".opblock-summary-{part}" for part in ("method", "path", "description")])
        for operation in operations.all():
            operation.locator(".opblock-summary-control").click()
            expect(operation.get_by_role("button", name="Execute")).to_be_visible()
        self.assert_quiet_and_self_contained()

    def test_an_admin_who_authorized_sees_what_only_admins_see(self) -> None:
        name, email = new_organization()
        self.log_in(email)
        get = self.open("get_organization")
        get.get_by_placeholder("organization_name").fill(name)
        status, body = self.execute(get)
        self.assertEqual("200", status)
        self.assertEqual(name, body["organization"]["organization_name"])
        self.assertEqual(email, body["organization"]["admin"]["email"])
        self.assert_quiet_and_self_contained()

    def test_an_admin_who_authorized_renames_the_organization(self) -> None:
        name, email = new_organization()
        self.log_in(email)
        update = self.open("update_organization")
        update.locator("textarea").fill(
            json.dumps({"organization_name": name, "new_organization_name": f"{name}-new"})
        )
        status, body = self.execute(update)
        self.assertEqual("200", status)
        self.assertEqual(f"{name}-new", body["organization"]["organization_name"])
        found = call(f"/org/get?organization_name={name}-new")
        self.assertEqual(body["organization"]["id"], found["organization"]["id"])
        self.assert_quiet_and_self_contained()


if __name__ == "__main__":
    unittest.main()
