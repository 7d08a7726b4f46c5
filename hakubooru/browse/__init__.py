"""The browser: a page on this machine that shows what a selection holds, and in which a data set is put together.

    with hakubooru.open("danbooru2023.db") as db, Browser(db, images="images/") as browser:
        browser.show()
        browser.wait()

It needs the extra `browse`: pip install '.[browse]' in the folder of hakubooru.
"""

from hakubooru.errors import InputError

try:
    from hakubooru.browse.server import Browser
except ImportError as error:
    raise InputError(
        f"the browser needs the extra `browse` ({error}): pip install '.[browse]' in the folder of hakubooru"
    ) from error

__all__ = ["Browser"]
