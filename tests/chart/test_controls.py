"""Controls: each check of the chart fails if the chart does not do what the check is about."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click import UsageError

from tests.chart import rendering, test_secure, test_true, test_upgrade
from tests.chart.rendering import CHART


@dataclass(frozen=True, slots=True)
class Mutant:
    """A chart with a mistake, and the check that must notice it."""

    file: str
    text: str
    mistake: str
    check: Callable[..., None]
    arguments: tuple[Any, ...] = ("production",)


MUTANTS = {
    "mistyped variable": Mutant(
        "workers.yaml",
        "SEQUENCE_WORKER_STANDBYS",
        "SEQUENCE_WORKER_STANDBY",
        test_true.test_every_variable_is_a_setting_that_the_process_reads,
    ),
    "variable of another process": Mutant(
        "gateway.yaml",
        "SEQUENCE_GATEWAY_HOST",
        "SEQUENCE_CONSOLE_HOST",
        test_true.test_every_variable_is_a_setting_that_the_process_reads,
    ),
    "value out of range": Mutant(
        "workers.yaml", 'value: "9464"', 'value: "94640"', test_true.test_every_process_loads_its_settings
    ),
    "file that is not mounted": Mutant(
        "_environment.tpl", "/kafka-password}", "/password}", test_true.test_every_file_that_a_variable_names_is_mounted
    ),
    "unknown command": Mutant(
        "jobs.yaml", '"topics" "apply"', '"topics" "create"', test_true.test_every_command_exists
    ),
    "service links": Mutant(
        "_pod.tpl",
        "enableServiceLinks: false",
        "enableServiceLinks: true",
        test_true.test_kubernetes_sets_no_variable_that_looks_like_a_setting,
        (),
    ),
    "another port": Mutant(
        "console.yaml", '"port" 8090', '"port" 8080', test_true.test_every_port_is_the_one_that_the_process_listens_on
    ),
    "unknown path": Mutant(
        "workers.yaml", "/health/ready", "/ready", test_true.test_every_probe_asks_a_path_that_the_process_answers
    ),
    "short grace period": Mutant(
        "_pod.tpl",
        "{{ $values.terminationGracePeriodSeconds }}",
        "20",
        test_true.test_kubernetes_waits_longer_than_a_shutdown_takes,
    ),
    "slow readiness probe": Mutant(
        "gateway.yaml",
        "periodSeconds: 2",
        "periodSeconds: 5",
        test_true.test_shutdown_delay_covers_the_failures_of_the_readiness_probe,
    ),
    "short startup probe": Mutant(
        "gateway.yaml",
        "failureThreshold: 60",
        "failureThreshold: 20",
        test_true.test_startup_probe_waits_longer_than_the_gateway_waits_for_kafka,
    ),
    "another consumer group": Mutant(
        "keda.yaml",
        '"%s-%s" $kafka',
        '"%s.%s" $kafka',
        test_true.test_keda_counts_the_lag_of_the_workers_own_group_and_topic,
    ),
    "writable file system": Mutant(
        "_pod.tpl",
        "readOnlyRootFilesystem: true",
        "readOnlyRootFilesystem: false",
        test_secure.test_pods_keep_the_restricted_pod_security_standard,
    ),
    "fixed user": Mutant(
        "_pod.tpl",
        "allowPrivilegeEscalation: false",
        "runAsUser: 10001",
        test_secure.test_no_pod_needs_a_user_of_its_own,
    ),
    "state outside the volume": Mutant(
        "workers.yaml",
        "value: /var/lib/sequence/worker",
        "value: /opt/worker",
        test_secure.test_writable_paths_are_volumes,
    ),
    "password in a variable": Mutant(
        "_environment.tpl",
        'SEQUENCE_KAFKA_PASSWORD_FILE, value: {{ include "sequence.secrets.directory" . }}/kafka-password',
        "SEQUENCE_KAFKA_PASSWORD, valueFrom: {secretKeyRef: {name: a, key: b}}",
        test_secure.test_secrets_are_files_of_secrets_alone,
    ),
    "password of another process": Mutant(
        "gateway.yaml",
        '(list "kafka")',
        '(list "kafka" "writer")',
        test_secure.test_each_process_gets_only_the_passwords_that_it_needs,
    ),
    "version in a selector": Mutant(
        "_names.tpl",
        "app.kubernetes.io/component: {{ .component }}",
        "app.kubernetes.io/component: {{ .component }}\nversion: {{ .root.Chart.Version | quote }}",
        test_upgrade.test_pods_of_a_newer_chart_of_the_same_image_are_not_restarted,
        (),
    ),
    "tables before topics": Mutant(
        "jobs.yaml",
        'ternary "1" "2"',
        'ternary "2" "1"',
        test_upgrade.test_topics_and_tables_are_created_before_the_pods,
    ),
    "workers replaced at any time": Mutant(
        "workers.yaml",
        "{type: RollingUpdate}",
        "{type: OnDelete}",
        test_upgrade.test_one_worker_is_replaced_at_a_time_once_the_one_before_is_ready,
    ),
    "selector of every pod": Mutant(
        "_names.tpl",
        "app.kubernetes.io/component: {{ .component }}",
        "a: b",
        test_upgrade.test_selectors_find_the_pods_of_their_component_alone,
    ),
    "replicas beside an autoscaler": Mutant(
        "gateway.yaml",
        "if not $gateway.autoscaling.enabled",
        "if true",
        test_upgrade.test_replicas_are_left_to_the_autoscaler,
        (),
    ),
}


@pytest.fixture
def chart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the chart, which the checks read."""
    copied = tmp_path / "mutant"
    shutil.copytree(CHART, copied)
    for module in (rendering, test_upgrade):
        monkeypatch.setattr(module, "CHART", copied)
    rendering.rendered.cache_clear()
    yield copied
    rendering.rendered.cache_clear()


@pytest.mark.parametrize("mistake", MUTANTS)
def test_mistake_fails_the_check(chart: Path, tmp_path: Path, mistake: str) -> None:
    mutant = MUTANTS[mistake]
    file = chart / "templates" / mutant.file
    text = file.read_text()
    assert mutant.text in text
    file.write_text(text.replace(mutant.text, mutant.mistake))
    needs_path = "tmp_path" in mutant.check.__annotations__

    with pytest.raises((AssertionError, KeyError, ValueError, UsageError)):
        mutant.check(*mutant.arguments, *([tmp_path] if needs_path else []))


def test_copy_without_a_mistake_passes(chart: Path, tmp_path: Path) -> None:
    assert chart != CHART
    test_true.test_every_command_exists("minimal")
    test_secure.test_secrets_are_files_of_secrets_alone("minimal")
    test_upgrade.test_pods_of_a_newer_chart_of_the_same_image_are_not_restarted(tmp_path)
