"""The operator's console: pages that show a fleet and steer it, in a browser.

Every number on a page comes from the public API, which pages call in process with the role of whoever signed in; so
a page may do just what that role may, and what the API lacks is added to the API.

How a page is made:

1. A module in `pages` with a `router` whose `route_class` is `ConsoleRoute`, and a line in `PAGES` of `pages/all.py`.
   With `NAV = Link("Devices", "/console/devices")` it is in the navigation; `role` hides it from lesser roles.
2. Its handlers are `async`, take `who: Operator`, ask by `await who.get("/v1/…")` and return
   `who.show("devices.html", …)`. To change something, a form posts; the handler calls `await who.send("POST", "/v1/…",
   {…})` and returns `who.go("/console/…")`. Whatever is raised becomes a page by itself, problems of the API as well;
   `who.show(…, problem=error)` shows a form once more, with what speaks against it.
3. A template in `templates` that extends `base.html` and fills `title` and `content`. All values are escaped; there are
   no inline scripts or styles, the policy forbids them. Each form has `{{ form_token() }}`; `may("publisher")` tells
   what is shown. A part that is to stay current is `<div data-refresh="/console/…" data-every="5">`: its contents are
   replaced by the answer of that path, which is made by a template of its own that the page includes.
4. A row in the tables of `tests/console`, which open every page as every role.
"""
