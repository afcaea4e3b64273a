"""Pages: one folder each. `page.py` has ROUTES and NAV; `app` finds it."""
