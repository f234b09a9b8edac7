"""The operators' dashboards: a table of pages, each answered as HTML, JSON and CSV."""
