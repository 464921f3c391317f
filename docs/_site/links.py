"""Links to files of the repository outside docs/ lead to the repository; one that leads nowhere is a warning."""

import logging
import posixpath
import re
from pathlib import Path

log = logging.getLogger("mkdocs.hooks.links")
ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(?<=\]\()(\.\.?/[^)#\s]+|[\w-]+/?[\w./-]*)(#[^)\s]*)?(?=\))")


def on_page_markdown(markdown, page, config, files):
    """The page with links outside docs/ made absolute."""
    folder = posixpath.dirname(f"docs/{page.file.src_uri}")

    def absolute(found):
        path = posixpath.normpath(posixpath.join(folder, found[1]))
        inside = path.removeprefix("docs/")
        if inside != path and (files.get_file_from_path(inside) or path.startswith("docs/reference/")):
            return found[0]
        target = ROOT / path
        if not target.exists():
            log.warning("%s: no file %s", page.file.src_uri, path)
        kind = "tree" if target.is_dir() else "blob"
        return f"{config.extra['repository'].rstrip('/')}/{kind}/main/{path}{found[2] or ''}"

    return LINK.sub(absolute, markdown)
