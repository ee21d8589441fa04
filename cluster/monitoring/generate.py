"""`python -m cluster.monitoring.generate`: write what is generated and kept in the repository.

These are the dashboards as Grafana's JSON, the alert rules as YAML, and the pages `docs/metrics.md` and
`docs/runbook.md`.
"""

import json
from pathlib import Path

import yaml

from cluster.monitoring.alerts import rules
from cluster.monitoring.documents import metrics_page, runbook_page

PACKAGE = Path(__file__).parent
DASHBOARDS = PACKAGE / "dashboards"
RULES = PACKAGE / "rules.yml"


def contents() -> dict[Path, str]:
    """Return every generated file with what belongs into it."""
    from cluster.monitoring.grafana import dashboards

    docs = PACKAGE.parents[1] / "docs"
    files = {DASHBOARDS / name: json.dumps(model, indent=1) + "\n" for name, model in dashboards().items()}
    return files | {
        RULES: yaml.safe_dump(rules(), sort_keys=False, width=1000),
        docs / "metrics.md": metrics_page(),
        docs / "runbook.md": runbook_page(),
    }


def main() -> None:
    """Write all files."""
    for path, content in contents().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
