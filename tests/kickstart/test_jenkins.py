"""The pipeline and its job, as far as can be told without a Jenkins: what they call is there, and takes those words."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, need

PIPELINE = (REPOSITORY / "Jenkinsfile").read_text()
JOBS = (REPOSITORY / "kickstart/jobs.groovy").read_text()
PARSE = "new org.codehaus.groovy.control.CompilationUnit().with { addSource(new File(args[0])); compile(3) }"

# As the shell gets it: in Groovy a backslash is written twice.
BLOCKS = [
    (block or line).replace("\\\\", "\\")
    for block, line in re.findall(r"\bsh (?:'''(.*?)'''|'(.*?)'\n)", PIPELINE, re.DOTALL)
]


def stage(name: str) -> str:
    """The text of one stage, to the beginning of the next part."""
    return re.split(r"\n        stage\(|\n    post ", PIPELINE.split(f"stage('{name}')")[1])[0]


def commands() -> list[list[str]]:
    """The words of each command that is one of this tree's, with variables as they are written."""
    lines = "\n".join(BLOCKS).replace("\\\n", " ").splitlines()
    words = (shlex.split(line) for line in lines)
    return [found for found in words if found and found[0].startswith(("kickstart/", "delivery/", "rpm/"))]


def groovy(source: Path) -> subprocess.CompletedProcess[str]:
    """Parse it, to the phase in which nothing is looked up that Jenkins alone has."""
    java = shutil.which("java")
    need(java and shutil.which("groovy"), "groovy")
    home = Path(os.path.realpath(str(java))).parent.parent
    environment = {"PATH": os.environ["PATH"], "JAVA_HOME": str(home)}
    return subprocess.run(
        ["groovy", "-e", PARSE, str(source)], env=environment, capture_output=True, text=True, timeout=100
    )


@pytest.mark.parametrize("name", ["Jenkinsfile", "kickstart/jobs.groovy"])
def test_groovy_reads_it(name: str, tmp_path: Path) -> None:
    """Groovy's own parser takes it, and would not take it with a brace less."""
    done = groovy(REPOSITORY / name)
    assert done.returncode == 0, done.stderr
    broken = tmp_path / "broken.groovy"
    broken.write_text((REPOSITORY / name).read_text().rstrip().removesuffix("}"))
    assert groovy(broken).returncode != 0


def test_shell_is_clean() -> None:
    """What runs is read by shellcheck; no secret is put into it by Groovy, which would show it."""
    need(shutil.which("shellcheck"), "shellcheck")
    assert len(BLOCKS) == len(re.findall(r"\bsh\b ?[('\"]", PIPELINE)) >= 5
    assert not re.search(r'\bsh\b ?\(?"', PIPELINE)
    for block in BLOCKS:
        # Variables come from Jenkins.
        argv = ["shellcheck", "--shell=sh", "--exclude=SC2154", "-"]
        done = subprocess.run(argv, input=block, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("words", commands(), ids=lambda words: " ".join(words[:2]))
def test_command_takes_its_options(words: list[str]) -> None:
    """Each option that is written there is one that the command's --help names."""
    program, *rest = words
    inner = [rest[0]] if program == "delivery/deliver" else []
    helped = [[program, *inner]] + ([["kickstart/make-kickstart"]] if program == "kickstart/build-image" else [])
    known: set[str] = set()
    for argv in helped:
        done = subprocess.run([*argv, "--help"], cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=60)
        known |= set(re.findall(r"--[a-z][a-z-]*", done.stdout))
    asked = {word for word in rest if word.startswith("--")}
    assert asked and asked <= known


def test_make_has_its_targets() -> None:
    """What is left to make is there."""
    targets = set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    asked = {name for block in BLOCKS for name in re.findall(r"\bmake ([a-z0-9-]+)", block)}
    assert asked == {"test", "rpm"} and asked <= targets


def test_nothing_is_published_before_it_is_built() -> None:
    """A stage that fails ends the pipeline: all that servers see is in the last one, and the links move last of all."""
    names = re.findall(r"stage\('(\w+)'\)", PIPELINE)
    assert names == ["test", "packages", "image", "publish"]
    assert not any("deliver" in stage(name) for name in names[:-1])
    published = [words[1] for words in commands() if words[0] == "delivery/deliver"]
    assert published == ["publish", "warm-up", "release"]
    # What is archived is still there: `cleanup` is the one part of `post` that comes after `success`.
    assert (
        re.search(r"success \{.*archiveArtifacts.*cleanup \{\s+sh 'rm ", PIPELINE, re.DOTALL)
        and "always {" not in PIPELINE
    )
    assert "--no-release" in stage("publish") and "catchError" not in PIPELINE and "|| true" not in PIPELINE


def test_job_has_the_same_parameters() -> None:
    """Jenkins takes the job's at the first run, and the pipeline's at all others."""
    kinds = {"string": "stringParam", "choice": "choiceParam"}
    text = r"defaultValue: ('[^']*')|choices: (\[[^]]*\])"
    declared = re.findall(rf"(string|choice)\(name: '(\w+)', (?:{text}), description: '([^']*)'\)", PIPELINE)
    job = re.findall(r"(\w+Param)\('(\w+)', ('[^']*'|\[[^]]*\]), '([^']*)'\)", JOBS)
    assert [(kinds[kind], name, value or choices, said) for kind, name, value, choices, said in declared] == job
    assert {"KERNELVERSION", "BRANCH", "BUILD"} <= {name for _, name, _, _ in job}


def test_every_word_of_the_place_is_explained() -> None:
    """Credentials and variables that Jenkins has to have are in the documentation."""
    kitchen = (REPOSITORY / "docs/kitchen.md").read_text()
    wanted = set(re.findall(r"credentialsId: '([\w-]+)'|sshagent\(\['([\w-]+)'\]\)", PIPELINE))
    names = {first or second for first, second in wanted}
    own = {"KERNELVERSION", "BRANCH", "BUILD", "EL", "NUMBER", "SOURCE_DATE_EPOCH", "PWD", "GNUPGHOME", "WORKSPACE_TMP"}
    bound = set(re.findall(r"variable: '(\w+)'", PIPELINE))
    names |= set(re.findall(r"\$([A-Z_]+)", "\n".join(BLOCKS))) - own - bound
    assert len(names) > 8 and {name for name in names if f"`{name}`" not in kitchen} == set()
