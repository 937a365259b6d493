"""``python -m tests.audit [ADDRESS]`` checks whether the libcurl that comes with pycurl has a known
vulnerability.

The wheel of pycurl contains its own libcurl, which updates of the system do not replace. The curl project
publishes a list of vulnerabilities with the affected versions (https://ossf.github.io/osv-schema/). Without a
connection nothing is looked up, and the program says so. It exits with 1 if there is a vulnerability that the
list does not rate as low.
"""

import json
import sys
import urllib.request
from typing import Any

import pycurl

LIST = "https://curl.se/docs/vuln.json"
PATIENCE = 20.0


def vulnerabilities(found: list[dict[str, Any]], version: str) -> list[str]:
    """Return those of ``found`` that affect libcurl of this version, one line each, without those of low
    severity."""
    return [
        f"{each['id']}: {each['summary']} ({severity})"
        for each in found
        if any(version in affected.get("versions", ()) for affected in each["affected"])
        and (severity := each.get("database_specific", {}).get("severity", "unknown")).lower() != "low"
    ]


def main() -> int:
    version = pycurl.version_info()[1]
    try:
        with urllib.request.urlopen(sys.argv[1] if sys.argv[1:] else LIST, timeout=PATIENCE) as answer:
            listed = json.load(answer)
    except OSError as failure:
        print(f"libcurl {version} was not looked up: {failure}")
        return 0
    found = vulnerabilities(listed, version)
    print("\n".join(found) or f"libcurl {version} has no known vulnerability")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
