"""Every relative link of every tracked Markdown document leads to a file, and to a heading in it."""

import pathlib
import re
import subprocess
import sys


def anchors(path):
    """The fragments that a page's headings can be reached by."""
    found = set()
    fenced = False
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        if not fenced and (heading := re.match(r"#+ +(.*)", line)):
            text = re.sub(r"[`*\[\]]|\(.*?\)", "", heading[1]).strip().lower()
            found.add(re.sub(r"[^\w\- ]", "", text).replace(" ", "-"))
    return found


def main():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        check=True, capture_output=True, text=True,
    )
    broken = []
    for name in listed.stdout.splitlines():
        page = pathlib.Path(name)
        if not page.exists():
            continue
        text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, fragment = target.partition("#")
            linked = (page.parent / path) if path else page
            if not linked.exists():
                broken.append(f"{name}: {target} is not there")
            elif fragment and linked.suffix == ".md" and fragment not in anchors(linked):
                broken.append(f"{name}: {target} has no such heading")
    print("\n".join(broken) or "all links lead somewhere")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
