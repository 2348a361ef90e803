"""What every benchmark must have."""

import subprocess

import pytest

from evobourse.experiments.benchmarks.own_process import process_command
from evobourse.experiments.benchmarks.run import find_benchmarks, load_benchmark, run_benchmark
from evobourse.experiments.config.runnable import describe_settings, read_settings
from evobourse.experiments.errors import ConfigError

BENCHMARKS = find_benchmarks()
NAMES = {
    *("order_book", "exchange", "merge", "search", "executors", "tracking", "scoring", "planner"),
    *("gpu", "minds", "kill_drill"),
}


def test_all_benchmarks_are_found():
    assert set(BENCHMARKS) >= NAMES


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_is_what_its_source_declares_and_explains_its_settings(name):
    benchmark = load_benchmark(name)
    assert BENCHMARKS[name].declared == benchmark.BENCHMARK
    assert callable(benchmark.run)
    assert read_settings(benchmark.Settings, (), name) == benchmark.Settings()
    rows = describe_settings(benchmark.Settings)
    assert [key for key, _, meaning in rows if not meaning] == []


def test_the_runner_hands_over_settings_and_a_report(monkeypatch, told):
    planner = load_benchmark("planner")
    monkeypatch.setattr(
        planner, "run", lambda settings, report: report.figure("minds", settings.minds, "1")
    )
    run_benchmark("planner", ["minds=5"])
    [figure] = told()
    assert (figure["bench"], figure["value"]) == ("planner", 5)
    with pytest.raises(ConfigError, match="benchmark 'planer' is unknown; did you mean 'planner'"):
        run_benchmark("planer")
    with pytest.raises(ConfigError, match="benchmark merge: unknown key 'methods'"):
        run_benchmark("merge", ["methods=linear"])
    with pytest.raises(ConfigError, match="merge method 'linea' is unknown; did you mean 'linear'"):
        run_benchmark("merge", ["only=linea"])


def test_a_function_in_a_process_of_its_own_gets_its_arguments():
    from evobourse.experiments.benchmarks.exchange import print_peak

    command = process_command(print_peak, agents=50)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 10**7
