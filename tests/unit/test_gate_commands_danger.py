"""Commands: which programs are seen, what a person must be asked about, what is refused."""

from __future__ import annotations

import anyio
import pytest

from kernel.directive import Mount
from kernel.gate.commands import ARGUMENT_BYTES_MAX, ARGUMENTS_MAX, CommandLayer, danger, resolve_command
from kernel.gate.decision import Case, Denied
from kernel.gate.shell_line import DEPTH_MAX
from kernel.syscalls.target import CommandClaim, CommandTarget
from tests.unit.gate_case import case_of

WORK = (Mount("/w"),)


def line(text: str) -> CommandTarget:
    found = resolve_command(CommandClaim((text,), shell=True), WORK)
    assert isinstance(found, CommandTarget), found
    return found


def argv(*words: str) -> CommandTarget:
    found = resolve_command(CommandClaim(words), WORK)
    assert isinstance(found, CommandTarget), found
    return found


DANGEROUS = [
    "rm -rf /",
    "rm  -r   -f  /",
    "rm -fr -- /",
    "rm --recursive --force /",
    "rm --recur /etc",
    "/bin/rm -rf /",
    "rm -rf ~",
    "rm -rf ~/",
    "rm -rf $HOME/*",
    'rm -rf "${HOME}"',
    "rm -rf /home/alice",
    "rm -r /usr/../",
    "rm -rf //",
    "cd /tmp;rm -rf ~",
    "cd x &&rm -rf /*",
    "ls\nrm -rf /",
    "true||rm -rf /",
    "(cd x; rm -rf /)",
    "{ rm -rf /; }",
    "if true; then rm -rf /; fi",
    "for f in *; do rm -rf /; done",
    "case $x in a) rm -rf /;; esac",
    "f() { rm -rf /; }; f",
    "function f { rm -rf /; }; f",
    "r\\m -rf /",
    "'rm' -rf /",
    '"r"m -rf /',
    "$'\\x72m' -rf /",
    "rm${IFS}-rf${IFS}/",
    "rm$IFS-rf$IFS/",
    "{rm,-rf,/}",
    "A=1 B=2 rm -rf /",
    "env A=1 rm -rf /",
    "env -u A -- rm -rf /",
    "env -S 'rm -rf /'",
    "nice -n 5 rm -rf /",
    "nohup rm -rf /",
    "timeout -s KILL 5 rm -rf /",
    "timeout --signal KILL 5 rm -rf /",
    "xargs -I {} rm -rf /",
    "exec rm -rf /",
    "command rm -rf /",
    "busybox rm -rf /",
    "bash -c 'rm -rf /'",
    "sh -lc 'rm -rf /'",
    "bash -c 'bash -c \"rm -rf /\"'",
    "eval 'rm -rf /'",
    "eval rm -rf /",
    "echo $(rm -rf /)",
    'echo "$(rm -rf /)"',
    "echo `rm -rf /`",
    "cat <(rm -rf /)",
    "bash <<EOF\nrm -rf /\nEOF",
    "bash <<< 'rm -rf /'",
    "echo a#b; rm -rf /",
    "echo a # it's\nrm -rf /",
    "cat <<EOF\ntext\nEOF\nrm -rf /",
    "find / -name x -delete",
    "find . -exec rm -rf / \\;",
    "sudo ls",
    "/usr/bin/sudo ls",
    "su -c 'ls'",
    "doas ls",
    "pkexec ls",
    "mkfs /dev/sda",
    "mkfs.ext4 x",
    "dd if=/dev/zero of=/dev/sda",
    "dd of=/dev/../dev/sda if=x",
    "echo x > /dev/sda",
    "echo x >/dev/sda1",
    "> /dev/sda",
    "cp a /dev/shm/../sda",
    "echo x | tee /dev/sda",
    "git push --force",
    "git push -f origin main",
    "git push -uf origin main",
    "git push --force-with-lease",
    "git push origin +main",
    "git push origin :main",
    "git push --mirror",
    "git -C x -c a=b push -f",
    "git --git-dir=x push -f",
    "chmod -R 777 /",
    "chmod -R 777 ~",
    "chown -R me /etc",
    ":(){ :|:& };:",
    ":(){ :|: & };:",
    "bomb() { bomb | bomb & }; bomb",
    "shutdown now",
    "/sbin/reboot",
    "halt",
    "poweroff",
    "init 0",
    "systemctl reboot",
    "kill -9 -1",
    "echo 'not closed",
    'echo "not closed',
    "echo $(not closed",
]

HARMLESS = [
    "ls -la /",
    "rm -rf build",
    "rm -rf ./build /tmp/x/y",
    "rm file",
    "rm /etc",
    "echo rm -rf /",
    "echo 'sudo rm -rf /'",
    "grep -r sudo .",
    "cat <<EOF\nsudo reboot\nEOF",
    "echo x # sudo reboot",
    "git push",
    "git push origin main",
    "git commit -m 'push -f'",
    "git log --force",
    "dd if=a of=b",
    "dd if=a of=/dev/null",
    "cp a /dev/shm/a",
    "ls 2>&1 >/dev/null",
    "echo x > out",
    "chmod -R 755 src",
    "chmod 777 x",
    "find . -delete",
    "find . -name '*.py' -exec grep x {} +",
    "kill 123",
    "kill -9 123",
    "echo $((1 + 2))",
    "for f in *.txt; do wc -l $f; done",
    "python3 -c 'print(1)'",
    "init x",
    "f() { echo hi; }; f",
    "systemctl status x",
]


@pytest.mark.parametrize("text", DANGEROUS)
def test_a_dangerous_line_is_seen_however_it_is_written(text: str) -> None:
    """Spaces, separators, quotes, wrappers, substitutions and absolute paths do not hide the deed."""
    assert danger(line(text)), text


@pytest.mark.parametrize("text", HARMLESS)
def test_a_harmless_line_raises_no_question(text: str) -> None:
    """Words that only look dangerous, as data or elsewhere, are let be."""
    assert not danger(line(text)), text


@pytest.mark.parametrize(
    "words",
    [
        ("rm", "-rf", "/"),
        ("/usr/bin/rm", "-rf", "/"),
        ("sudo", "ls"),
        ("env", "X=1", "sudo", "ls"),
        ("bash", "-c", "cd x; sudo ls"),
        ("git", "push", "-f"),
        ("dd", "of=/dev/sda"),
        ("mkfs.xfs", "x"),
        ("find", "/", "-delete"),
    ],
)
def test_structured_arguments_do_not_evade(words: tuple[str, ...]) -> None:
    """The rules hold for argv just as for a line."""
    assert danger(argv(*words))


def test_a_word_of_structured_arguments_is_data() -> None:
    """Without a shell, `;` and `$(…)` in an argument are text."""
    assert not danger(argv("echo", "; sudo ls", "$(sudo ls)"))
    assert argv("echo", "; sudo ls").programs == ("echo",)


@pytest.mark.parametrize(
    ("text", "programs"),
    [
        ("git status && make -j4 | tee log", ("git", "make", "tee")),
        ("/usr/bin/git status", ("git",)),
        ("env A=1 nice -n 5 make", ("env", "nice", "make")),
        ("./git status", ("./git",)),
        ("bin/tool", ("./bin/tool",)),
        ("../evil", ("../evil",)),
        ("/w/bin/git", ("/w/bin/git",)),
        ("/opt/x/tool", ("/opt/x/tool",)),
        ("echo \"$(date)\" 'x'", ("date", "echo")),
        ("$CC -c x.c", ("$CC",)),
        ('$"git" status', ("git",)),
        ("gi{t,} status", ("git",)),
        ("echo ${x:-$(git status)} y", ("git", "echo")),
        ("cat <<E\n$(git status) it's\nE\nls", ("cat", "git", "ls")),
        ("cat <<'E'\n$(git status)\nE\nls", ("cat", "ls")),
        ("time -p git status", ("git",)),
        ("{fd}>log git status", ("git",)),
        ("env -iu A git status", ("env", "git")),
        ("env -vS 'git status'", ("env", "git")),
        ("watch -n 5 'git status'", ("watch", "git")),
        ("script -qc 'git status' /dev/null", ("script", "git")),
        ("flock lock -c 'git status'", ("flock", "git", "git status")),
        ("trap 'git status' EXIT", ("trap", "git")),
        ("prlimit --nofile=3 git status", ("prlimit", "git")),
    ],
)
def test_programs_are_named(text: str, programs: tuple[str, ...]) -> None:
    """System programs go by base name; any other goes by its path, so it never passes for one."""
    assert line(text).programs == programs


def test_a_workspace_that_holds_a_system_folder_lends_no_name() -> None:
    """A program below a mount is the workspace's own, even in a folder called /usr/bin."""
    found = resolve_command(CommandClaim(("/usr/bin/git",)), (Mount("/usr"),))
    assert isinstance(found, CommandTarget)
    assert found.programs == ("/usr/bin/git",)


@pytest.mark.parametrize(
    ("claim", "says"),
    [
        (CommandClaim(()), "empty"),
        (CommandClaim(("",)), "empty"),
        (CommandClaim((" ",), shell=True), "empty"),
        (CommandClaim(("a", "b"), shell=True), "one line"),
        (CommandClaim(("a\0b",)), "NUL"),
        (CommandClaim(("a", "\ud800")), "valid text"),
        (CommandClaim(("x",) * (ARGUMENTS_MAX + 1)), "too many"),
        (CommandClaim(("x", "y" * (ARGUMENT_BYTES_MAX + 1))), "too long"),
    ],
)
def test_a_command_that_cannot_run_says_why(claim: CommandClaim, says: str) -> None:
    """Every bad command is refused before any layer, with what to do."""
    found = resolve_command(claim, WORK)
    assert isinstance(found, Denied)
    assert says in found.reason
    assert found.remedy


def test_the_bounds_refuse_from_one_above() -> None:
    """Exactly as many and as long arguments as allowed pass."""
    assert isinstance(resolve_command(CommandClaim(("x",) * ARGUMENTS_MAX), WORK), CommandTarget)
    assert isinstance(resolve_command(CommandClaim(("x", "y" * ARGUMENT_BYTES_MAX)), WORK), CommandTarget)


def test_nesting_is_bounded() -> None:
    """A line nested beyond reading is asked about rather than read for ever."""
    deep = "echo " + "$(" * (DEPTH_MAX + 5) + "ls" + ")" * (DEPTH_MAX + 5)
    assert "cannot be read" in danger(line(deep))
    for hidden in ("${a:-" * 20_000 + "}" * 20_000, "{a,b}" * 2_000):
        assert "cannot be read" in danger(line(f"echo {hidden}"))
    fine = "echo " + "$(" * 3 + "ls" + ")" * 3
    assert not danger(line(fine))


@pytest.mark.parametrize(
    "text", ["curl x", "/usr/bin/curl x", "ls; curl x", "env curl x", "./curl x", "bash -c 'curl x'"]
)
def test_a_denied_program_is_refused_wherever_it_stands(text: str) -> None:
    """The settings' list holds for every program in the line, by any path."""
    case = case_of(command=line(text))
    refused = anyio.run(CommandLayer(("curl",)).check, case)
    assert isinstance(refused, Denied)
    assert refused.layer == "commands"
    assert "curl" in refused.reason


def test_programs_that_are_not_denied_pass() -> None:
    """The list refuses what it names and nothing else."""
    case: Case = case_of(command=line("curlx; ls curl"))
    assert anyio.run(CommandLayer(("curl",)).check, case) is None
    assert anyio.run(CommandLayer(()).check, case_of(command=line("curl x"))) is None
