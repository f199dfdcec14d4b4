"""A Scrapy spider with FilesPipeline: the framework downloads, and puts the files where it is told.

In:   BASE_URL, API_KEY, PARALLEL.  Out: calls/ID.json, calls/ID.txt, calls/ID.mp3 in the current folder.

Scrapy checks no certificates unless told to; that costs it nothing, so it is left so. FilesPipeline computes an MD5 of each file.
"""

# mypy: ignore-errors
# Scrapy is in an environment of its own.

import json
import os
from pathlib import Path

import scrapy
from scrapy.crawler import CrawlerProcess
from scrapy.pipelines.files import FilesPipeline

LIST = f"{os.environ['BASE_URL']}/user/calls?per_page=100&page="
CALLS = Path("calls")


class Recordings(FilesPipeline):
    """Names each recording after its call."""

    def get_media_requests(self, item, info):
        """Ask for the recording, where there is one."""
        if item["recording_url"]:
            yield scrapy.Request(item["recording_url"])

    def file_path(self, request, response=None, info=None, *, item=None):
        """Return its name."""
        return f"{item['id']}.mp3"


class Texts:
    """Writes metadata and transcript."""

    def process_item(self, item):
        """Write both."""
        (CALLS / f"{item['id']}.json").write_text(json.dumps(item))
        (CALLS / f"{item['id']}.txt").write_text(item["transcript"] or "")
        return item


class Calls(scrapy.Spider):
    """Walks the list: the first page tells how many there are."""

    name = "calls"

    def ask(self, number, callback):
        """Return the request for one page."""
        headers = {"Authorization": f"Bearer {os.environ['API_KEY']}"}
        return scrapy.Request(f"{LIST}{number}", headers=headers, callback=callback)

    async def start(self):
        """Ask for the first page."""
        yield self.ask(1, self.parse_first)

    def parse_first(self, response):
        """Pass on the first page's calls, and ask for the other pages."""
        yield from (self.ask(number, self.parse) for number in range(2, response.json()["last_page"] + 1))
        yield from self.parse(response)

    def parse(self, response):
        """Pass on a page's calls."""
        yield from response.json()["data"]


if __name__ == "__main__":
    CALLS.mkdir()
    process = CrawlerProcess(
        {
            "ITEM_PIPELINES": {Texts: 1, Recordings: 2},
            "FILES_STORE": str(CALLS),
            "CONCURRENT_REQUESTS": int(os.environ["PARALLEL"]),
            "CONCURRENT_REQUESTS_PER_DOMAIN": int(os.environ["PARALLEL"]),
            "LOG_LEVEL": "ERROR",
            # What is on by default and only costs here: each of them made it faster, or made no difference.
            "COOKIES_ENABLED": False,
            "COMPRESSION_ENABLED": False,
            "HTTPPROXY_ENABLED": False,
            "REDIRECT_ENABLED": False,
            "REFERER_ENABLED": False,
            "REMOTE_CONTROL_ENABLED": False,
            "TELNETCONSOLE_ENABLED": False,
        }
    )
    process.crawl(Calls)
    process.start()
