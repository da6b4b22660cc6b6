"""Parse the HTML page of a search."""

import json
import re


def plots(page):
    """Return the plotly figures embedded in the page."""
    return json.loads(re.search(r'<script type="application/json" id="plots">(.*?)</script>', page, re.DOTALL)[1])


def without_plotly(page):
    """Return the page without the source code of plotly."""
    return re.sub(r"<script>/\*\*.*?</script>", "", page, count=1, flags=re.DOTALL)


def titles(page):
    """Return the section titles."""
    return re.findall(r"<h2>(.*?)</h2>", page)
