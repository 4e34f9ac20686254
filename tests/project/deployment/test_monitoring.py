"""The dashboard, the alerts and the autoscaler's rule in a real Prometheus, on figures of a server under load."""

from __future__ import annotations

import json
import math
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.paths import ROOT
from tests.support.programs.debian import program
from tests.support.server.prometheus import SCRAPE_SECONDS, Prometheus, running_prometheus
from tests.support.server.server_process import Server, ready

pytestmark = pytest.mark.system

ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
AUTOSCALER = ROOT / "deploy" / "prometheus" / "autoscaler.yaml"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "cpu2vec.json").read_text())
PANELS = {panel["title"] + str(panel["id"]): panel for panel in DASHBOARD["panels"] if panel["type"] != "row"}
RULES = {rule["alert"]: rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]}

LABELS = {"namespace": "weaviate", "pod": "embeddings-0"}
"""What Prometheus' discovery in Kubernetes adds."""

CALLERS = 2

VARIABLES = {"$job": ".*", "$instance": ".*", "$__rate_interval": f"{8 * SCRAPE_SECONDS}s"}
"""What Grafana puts in place of them where all is selected."""

WHERE = 'job="cpu2vec", instance="a:8080"'
ANSWERED = f'cpu2vec_requests_total{{{WHERE}, route="/vectors", status="%s"}}'
PROBED = f'cpu2vec_requests_total{{{WHERE}, route="/.well-known/ready", status="503"}}'
WAITED = f'cpu2vec_queue_seconds_bucket{{{WHERE}, le="%s"}}'
FIRES: dict[str, dict[str, str]] = {
    "Cpu2vecDown": {f"up{{{WHERE}}}": "0x20"},
    "Cpu2vecErrors": {ANSWERED % 200: "0+60x20", ANSWERED % 500: "0+6x20"},
    "Cpu2vecDeadlineMisses": {f"cpu2vec_deadline_misses_total{{{WHERE}}}": "0+1x20"},
    "Cpu2vecCallersLeave": {
        f"cpu2vec_requests_cancelled_total{{{WHERE}}}": "0+5x20",
        ANSWERED % 200: "0+60x20",
    },
    "Cpu2vecRestarts": {f"cpu2vec_worker_restarts_total{{{WHERE}}}": "0x10 1x10"},
    "Cpu2vecMemory": {
        f'cpu2vec_resident_memory_bytes{{{WHERE}, process="master"}}': "20x20",
        f'cpu2vec_resident_memory_bytes{{{WHERE}, process="worker-0"}}': "90x20",
        f"cpu2vec_memory_limit_bytes{{{WHERE}}}": "100x20",
    },
    "Cpu2vecBodiesWait": {f"cpu2vec_bodies_waiting{{{WHERE}}}": "3x20"},
    "Cpu2vecSaturated": {WAITED % "5.0": "0+50x20", WAITED % "10.0": "0+100x20", WAITED % "+Inf": "0+100x20"},
}
"""Series, by the minute, on which each alert fires after 20 minutes."""

QUIET = {
    f"up{{{WHERE}}}": "1x20",
    ANSWERED % 200: "0+6000x20",
    ANSWERED % 400: "0+60x20",
    PROBED: "0+30x20",
    f"cpu2vec_deadline_misses_total{{{WHERE}}}": "7x20",
    f"cpu2vec_requests_cancelled_total{{{WHERE}}}": "0+1x20",
    f"cpu2vec_worker_restarts_total{{{WHERE}}}": "2x20",
    f'cpu2vec_resident_memory_bytes{{{WHERE}, process="master"}}': "60x20",
    f'cpu2vec_resident_memory_bytes{{{WHERE}, process="worker-0"}}': "60x20",
    f"cpu2vec_memory_limit_bytes{{{WHERE}}}": "100x20",
    f"cpu2vec_bodies_waiting{{{WHERE}}}": "3 0 3 0 3 0 3 0 3 0 3 0 3 0 3 0 3 0 3 0 3",
    WAITED % "5.0": "0+100x20",
    WAITED % "10.0": "0+100x20",
    WAITED % "+Inf": "0+100x20",
}
"""A busy server that is well, although it has had its troubles."""


@pytest.fixture(scope="module")
def server(default_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready(default_bundle, tmp_path_factory.mktemp("server") / "log") as server:
        yield server


@pytest.fixture(scope="module")
def prometheus(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that has scraped the server under load for some seconds."""
    done = threading.Event()

    def load() -> None:
        number = 0
        while not done.is_set():
            with server.connect() as connection:
                assert connection.embed(f"a text about {number} boats").status == 200
                assert connection.request("POST", "/vectors", b"{}").status == 400
            number += 1

    threads = [threading.Thread(target=load) for _ in range(CALLERS)]
    with running_prometheus(tmp_path_factory.mktemp("prometheus"), server.port, LABELS, [ALERTS]) as prometheus:
        for thread in threads:
            thread.start()
        try:
            prometheus.wait_for_scrapes(4)
            yield prometheus
        finally:
            done.set()
            for thread in threads:
                thread.join()


def promtool(*arguments: object, given: bytes = b"") -> str:
    command = [program("promtool", "prometheus"), *map(str, arguments)]
    ran = subprocess.run(command, input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert ran.returncode == 0, ran.stdout.decode()
    return ran.stdout.decode()


def with_values(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def values(series: list[dict[str, Any]]) -> list[float]:
    return [float(each["value"][1]) for each in series]


def test_metrics_follow_prometheus_conventions(server: Server):
    with server.connect() as connection:
        connection.embed("a text")
        scrape = connection.request("GET", "/metrics").body
    assert promtool("check", "metrics", given=scrape) == ""


@pytest.mark.parametrize("name", PANELS)
def test_every_panel_of_the_dashboard_has_figures(prometheus: Prometheus, name: str):
    for target in PANELS[name]["targets"]:
        expression = with_values(target["expr"])
        assert "$" not in expression
        found = prometheus.query(expression)
        assert found, expression
        assert all(math.isfinite(value) for value in values(found)), expression
        labels = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        assert labels <= set(found[0]["metric"])


def test_the_dashboard_shows_what_the_server_does(prometheus: Prometheus):
    by_status = next(panel for panel in PANELS.values() if panel["title"] == "Requests by route and status")
    found = {
        (series["metric"]["route"], series["metric"]["status"]): float(series["value"][1])
        for series in prometheus.query(with_values(by_status["targets"][0]["expr"]))
    }
    assert set(found) == {("/vectors", "200"), ("/vectors", "400")}
    assert min(found.values()) > 0
    computed = "sum(cpu2vec_texts_total) + sum(cpu2vec_texts_coalesced_total)"
    answered = 'sum(cpu2vec_requests_total{route="/vectors", status="200"})'
    (missing,) = values(prometheus.query(f"{computed} - {answered}"))
    assert abs(missing) <= CALLERS


def test_every_metric_of_the_dashboard_and_of_the_alerts_exists(prometheus: Prometheus):
    written = (ROOT / "deploy" / "grafana" / "cpu2vec.json").read_text() + ALERTS.read_text()
    used = set(re.findall(r"\bcpu2vec_[a-z_]+", written))
    assert used
    assert used <= set(prometheus.get("label/__name__/values"))


def test_panels_do_not_overlap():
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_no_figure_turns_red_at_a_number_that_says_nothing():
    stats = [panel for panel in PANELS.values() if panel["type"] == "stat"]
    assert stats
    for panel in stats:
        defaults = panel["fieldConfig"]["defaults"]
        # NOTE: Grafana's own default is red from 80 on, whatever the unit.
        assert defaults.get("color", {}).get("mode") == "fixed" or "thresholds" in defaults, panel["title"]


@pytest.mark.parametrize("name", [name for name, panel in PANELS.items() if panel["fieldConfig"]["overrides"]])
def test_every_override_of_a_panel_finds_what_it_changes(prometheus: Prometheus, name: str):
    panel = PANELS[name]
    there = {"byFrameRefID": {target["refId"] for target in panel["targets"]}, "byName": columns(prometheus, panel)}
    for override in panel["fieldConfig"]["overrides"]:
        matcher = override["matcher"]
        assert matcher["options"] in there[matcher["id"]]


def test_the_table_puts_every_column_in_its_place(prometheus: Prometheus):
    (table,) = (panel for panel in PANELS.values() if panel["type"] == "table")
    (organize,) = table["transformations"]
    assert set(organize["options"]["indexByName"]) == columns(prometheus, table) - set(LABELS)


def columns(prometheus: Prometheus, panel: dict[str, Any]) -> set[str]:
    """The labels that a panel shows in columns of their own: none, unless it is a table."""
    if panel["type"] != "table":
        return set()
    (series,) = prometheus.query(with_values(panel["targets"][0]["expr"]))
    return set(series["metric"]) - set(panel["transformations"][0]["options"]["excludeByName"])


def test_prometheus_evaluates_all_alerts_and_none_fires(prometheus: Prometheus):
    def rules() -> dict[str, dict[str, Any]]:
        return {rule["name"]: rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]}

    prometheus.wait_for_scrapes(1)
    assert set(rules()) == set(RULES)
    assert {name: rule["health"] for name, rule in rules().items()} == dict.fromkeys(RULES, "ok")
    assert [name for name, rule in rules().items() if rule["state"] == "firing"] == []


def test_each_alert_fires_when_it_should_and_not_on_a_busy_server_that_is_well(tmp_path: Path):
    assert set(FIRES) == set(RULES)
    tests = [unit_test(series, name, fires=True) for name, series in FIRES.items()]
    tests += [unit_test(QUIET, name, fires=False) for name in RULES]
    file = tmp_path / "tests.yaml"
    # JSON is YAML, too.
    file.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))
    assert "SUCCESS" in promtool("test", "rules", file)


def unit_test(series: dict[str, str], alert: str, fires: bool) -> dict[str, Any]:
    """In the shape of promtool: whether an alert fires after 20 minutes. Its sentence is left to the rule."""
    expected = f'ALERTS{{alertname="{alert}", alertstate="firing"}}'
    samples = [{"labels": f"{{severity={RULES[alert]['labels']['severity']!r}}}", "value": 1}]
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": line} for name, line in series.items()],
        "promql_expr_test": [
            {
                "expr": f"count by (severity) ({expected})",
                "eval_time": "20m",
                "exp_samples": samples if fires else [],
            }
        ],
    }


def test_the_autoscaler_is_told_the_queue_of_each_pod(prometheus: Prometheus):
    adapter, autoscaler = yaml.safe_load_all(AUTOSCALER.read_text())
    (rule,) = yaml.safe_load(adapter["data"]["config.yaml"])["rules"]
    found = prometheus.get("series", **{"match[]": rule["seriesQuery"]})
    names = {series["__name__"] for series in found}
    (metric,) = autoscaler["spec"]["metrics"]
    assert names == {metric["pods"]["metric"]["name"]}
    filled = {"Series": names.pop(), "LabelMatchers": 'namespace="weaviate",pod=~"embeddings-0"', "GroupBy": "pod"}
    expression = re.sub(r"<<\.(\w+)>>", lambda match: filled[match[1]], rule["metricsQuery"])
    (series,) = prometheus.query(expression)
    assert series["metric"] == {"pod": "embeddings-0"}
    assert 0 <= float(series["value"][1]) < float(metric["pods"]["target"]["averageValue"])
